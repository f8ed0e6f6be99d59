"""The stand-ins keep secrets secret, see drift, and know what cannot be changed in place."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from tests.e2e.standins import installation
from tests.e2e.standins.kubernetes_provider import objects, wire
from tests.e2e.standins.kubernetes_provider.provider import KubernetesProvider
from tests.e2e.toolchain.provide import Toolchain

CLAIM = {"kind": "PersistentVolumeClaim", "spec": {"resources": {"requests": {"storage": "1Gi"}}}}


def test_a_secret_stays_one_on_its_way_through_also_inside_a_list():
    data = {"env": [{"name": "A", "value": "hidden"}], "open": 1}
    message = wire.write(data, {("env", 0, "value")})
    assert "hidden" in str(message)
    again, secrets = wire.read(message)
    assert again == data
    assert secrets == {("env", 0, "value")}


def test_whole_numbers_stay_whole():
    again, _ = wire.read(wire.write({"replicas": 3, "share": 0.5}))
    assert again == {"replicas": 3, "share": 0.5}
    assert isinstance(again["replicas"], int)


def test_an_unknown_value_is_seen_however_deep():
    assert wire.has_unknown({"a": [{"b": wire.UNKNOWN}]})
    assert not wire.has_unknown({"a": [{"b": "known"}]})


@pytest.mark.parametrize(
    "token", ["kubernetes:helm.sh/v3:Release", "kubernetes:core/v1:ConfigMapPatch"]
)
def test_what_only_the_published_provider_can_is_refused_by_name(token):
    with pytest.raises(ValueError, match=token):
        objects.kind_of(token)


def test_a_name_that_was_given_once_is_kept():
    first = objects.named({"metadata": {}}, {}, "web", b"seed")
    again = objects.named({"metadata": {}}, first, "web", b"other")
    assert first["metadata"]["name"] == again["metadata"]["name"]
    assert objects.is_autonamed(again)


def test_a_quantity_written_another_way_is_no_change():
    live = {**CLAIM, "spec": {"resources": {"requests": {"storage": "1024Mi"}}}}
    assert objects.projected(CLAIM, live) == CLAIM


def test_a_changed_live_value_shows_and_a_server_set_one_does_not():
    live = {**CLAIM, "spec": {**CLAIM["spec"], "volumeName": "pv-1"}, "extra": 1}
    assert objects.projected(CLAIM, live) == CLAIM
    drifted = {**CLAIM, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert objects.projected(CLAIM, drifted) != CLAIM


@pytest.mark.parametrize(
    ("kind", "path", "replaced"),
    [
        ("Deployment", ("spec", "replicas"), False),
        ("Deployment", ("spec", "selector", "matchLabels", "app"), True),
        ("StatefulSet", ("spec", "template", "spec"), False),
        ("StatefulSet", ("spec", "serviceName"), True),
        ("PersistentVolumeClaim", ("spec", "resources", "requests"), False),
        ("PersistentVolumeClaim", ("spec", "storageClassName"), True),
        ("ConfigMap", ("data", "a"), False),
        ("Service", ("metadata", "name"), True),
    ],
)
def test_only_a_field_that_cannot_change_makes_a_new_object(kind, path, replaced):
    assert bool(objects.replaces(kind, {}, {}, [path])) is replaced


def test_a_named_config_map_is_changed_and_an_autonamed_one_replaced():
    named = objects.named({"metadata": {}}, {}, "settings", b"seed")
    assert objects.replaces("ConfigMap", named, named, [("data", "a")])
    assert not objects.replaces("ConfigMap", {"metadata": {"name": "x"}}, {}, [("data", "a")])


def _command(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install into a home; the plugins that are named are on PATH, as published ones are."""
    monkeypatch.setattr(installation, "_copy", lambda *_: None)
    tools = Toolchain({"pulumi": tmp_path / "tools", "pulumi-sdk": tmp_path / "tools"})
    (tmp_path / "tools").mkdir()

    def on_path(*published: str) -> list[str]:
        folder = tmp_path / "-".join(["published", *published])
        for name in published:
            _command(folder / name)
        # As it is once an engine runs: what was installed earlier comes first.
        monkeypatch.setenv("PATH", f"{tmp_path / 'home' / 'bin'}:{folder}")
        return installation.install(tools, tmp_path / "home")

    return on_path


BOTH = [installation.LANGUAGE, installation.KUBERNETES]


def _standins(home: Path) -> list[str]:
    plugin = home / "plugins" / f"resource-kubernetes-v{version('pulumi-kubernetes')}"
    places = (home / "bin" / installation.LANGUAGE, plugin / installation.KUBERNETES)
    return [place.name for place in places if place.exists()]


def test_a_stand_in_is_used_only_where_the_published_plugin_is_not_on_path(install, tmp_path):
    assert install(installation.LANGUAGE) == [installation.KUBERNETES]
    assert _standins(tmp_path / "home") == [installation.KUBERNETES]


def test_a_stand_in_of_an_earlier_run_gives_way_to_a_published_plugin(install, tmp_path):
    assert install() == _standins(tmp_path / "home") == BOTH
    assert install(*BOTH) == _standins(tmp_path / "home") == []


class _RefusedError(Exception):
    pass


def test_what_is_there_is_not_taken_over(monkeypatch):
    provider = KubernetesProvider("4")
    one = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs"}}
    there = SimpleNamespace(get=lambda _: one, apply=lambda _: pytest.fail("it was taken over"))
    monkeypatch.setattr(provider, "_cluster", lambda: there)

    def abort(_: Any, message: str) -> None:
        raise _RefusedError(message)

    request = provider_pb2.CreateRequest(properties=wire.write(one))
    context: Any = SimpleNamespace(abort=abort)
    with pytest.raises(_RefusedError, match="Namespace theirs: it already exists"):
        provider.Create(request, context)
