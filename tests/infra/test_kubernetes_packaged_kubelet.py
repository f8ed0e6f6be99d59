"""A host whose package of the kubelet brings a unit of its own, which kubeadm would start too."""

from __future__ import annotations

import dataclasses
import json

import pytest
from test_kubernetes_node import FIT, HOST, PLAN

from infra.kubernetes.node import bootstrap, fitness, inspection, services, teardown
from infra.kubernetes.node.connection import Connection, Result, connected
from infra.kubernetes.node.inspection import Facts, Unit

PACKAGED = Unit("loaded", "activating", "/usr/lib/systemd/system/kubelet.service")
WITH_PACKAGE = dataclasses.replace(FIT, kubelet_unit=PACKAGED)

# As systemd does: a unit that is masked is not started, and one in /etc is not masked.
_SYSTEMCTL = """#!/bin/sh
cd {folder}
case "$1" in
show) printf 'ActiveState=activating\\nLoadState=loaded\\nFragmentPath=%s\\n' "$(cat file)" ;;
mask) touch masked; rm -f running ;;
unmask) rm -f masked ;;
stop) rm -f running ;;
start | restart)
    [ ! -e masked ] || {{ echo "Unit $2 is masked." >&2; exit 1; }}
    touch running ;;
esac
"""
# As kubeadm does: a kubelet that cannot be started is a warning.
_KUBEADM = """#!/bin/sh
systemctl stop kubelet
systemctl restart kubelet || echo "WARNING: unable to start the kubelet service" >&2
"""


@pytest.fixture
def host(monkeypatch, tmp_path):
    for name, text in {"systemctl": _SYSTEMCTL, "kubeadm": _KUBEADM}.items():
        script = tmp_path / name
        script.write_text(text.format(folder=tmp_path), encoding="utf-8")
        script.chmod(0o755)
    (tmp_path / "file").write_text(PACKAGED.file, encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    return tmp_path


@dataclasses.dataclass(frozen=True)
class Recorder(Connection):
    """A host that does as it is told, and remembers what that was."""

    scripts: list[str] = dataclasses.field(default_factory=list)
    record: dict[str, str] = dataclasses.field(default_factory=dict)

    def attempt(self, script: str, *, seconds: float = 0) -> Result:
        del seconds
        self.scripts.append(script)
        if script.startswith("cat ") and "record.json" in script:
            return Result(0, json.dumps(self.record), "")
        return Result(0, "registry.k8s.io/pause:3.10" if "images list" in script else "", "")

    def first(self, part: str) -> int:
        """Return which script was the first with a part; -1 if none had it."""
        return next((n for n, script in enumerate(self.scripts) if part in script), -1)


def prepared(facts: Facts) -> Recorder:
    connection = Recorder(HOST, ())
    bootstrap._prepare(connection, PLAN, facts)
    return connection


def given_back(state: str) -> Recorder:
    record = json.loads(bootstrap._record(PLAN, WITH_PACKAGE, made=True)) | {"kubelet_unit": state}
    connection = Recorder(HOST, (), record=record)
    teardown.give_back(connection)
    return connection


@pytest.mark.usefixtures("host")
def test_the_unit_of_a_package_is_seen():
    with connected(HOST) as connection:
        assert inspection.inspect(connection).kubelet_unit == PACKAGED


def test_kubeadm_starts_no_second_kubelet_while_the_unit_of_a_package_is_masked(host):
    with connected(HOST) as connection:
        services.mask_packaged(connection)
        connection.run("kubeadm init", what="kubeadm init")
        assert not (host / "running").exists()
        services.unmask_packaged(connection)
        services.start_packaged(connection)
        assert (host / "running").exists()


def test_kubeadm_would_start_a_second_kubelet_if_it_were_not_masked(host):
    with connected(HOST) as connection:
        connection.run("kubeadm init", what="kubeadm init")
    assert (host / "running").exists()


def test_the_unit_of_a_package_is_masked_before_a_kubelet_starts():
    connection = prepared(WITH_PACKAGE)
    mask = connection.first("systemctl mask --now kubelet.service")
    assert 0 <= mask < connection.first(f"enable --now {services.KUBELET}")


@pytest.mark.parametrize(
    "facts",
    [
        FIT,
        dataclasses.replace(WITH_PACKAGE, systemd=False),
        dataclasses.replace(WITH_PACKAGE, kubelet_unit=Unit("masked", "inactive", "/dev/null")),
    ],
    ids=["no-such-unit", "no-systemd", "masked-before"],
)
def test_what_is_not_there_or_was_masked_before_is_neither_masked_nor_unmasked(facts):
    assert prepared(facts).first("systemctl mask") == -1
    record = json.loads(bootstrap._record(PLAN, facts, made=True))
    assert record["kubelet_unit"] == ""
    assert given_back("").first(" kubelet.service") == -1


def test_a_host_gets_the_unit_of_its_package_back_once_nothing_of_the_node_is_left():
    connection = given_back("activating")
    unmask, start = (connection.first(f"systemctl {verb}") for verb in ("unmask", "start"))
    removed = connection.first("rm -rf --one-file-system /var/lib/milvus-kit/node")
    assert connection.first("kubeadm reset") < unmask < removed < start


def test_a_unit_that_did_not_run_is_not_started():
    connection = given_back("inactive")
    assert connection.first("systemctl unmask kubelet.service") > 0
    assert connection.first("systemctl start") == -1


def test_a_unit_that_systemd_would_not_mask_is_named_before_anything_is_changed():
    own = dataclasses.replace(PACKAGED, file="/etc/systemd/system/kubelet.service")
    (reason,) = fitness.problems(dataclasses.replace(FIT, kubelet_unit=own), PLAN)
    assert "/etc/systemd/system/kubelet.service would start a second kubelet" in reason
    assert "systemctl disable --now kubelet" in reason
