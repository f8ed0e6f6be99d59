"""Every way in which a kubeconfig is wrong is named at preview, and no key in it is shown."""

from __future__ import annotations

import base64
import copy
import ssl
import threading
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from infra.kubernetes.check import ClusterCheckProvider
from infra.secrets import x509
from tests.infra.api_server import KnowsNobody

AUTHORITY, OTHER = x509.authority("cluster"), x509.authority("another cluster")
ADMIN = x509.issue(AUTHORITY, "admin", [], client=True)
EXPIRED = x509.issue(AUTHORITY, "admin", [], client=True, days=-0.001)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An API server that speaks TLS and knows none of its users, as a real one answers them."""
    folder = tmp_path_factory.mktemp("server")
    leaf = x509.issue(AUTHORITY, "api", ["127.0.0.1"], client=False)
    (folder / "cert").write_text(leaf.certificate)
    (folder / "key").write_text(leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    running = ThreadingHTTPServer(("127.0.0.1", 0), KnowsNobody)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield f"https://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def _data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _kubeconfig(server: str) -> dict[str, Any]:
    user = {
        "client-certificate-data": _data(ADMIN.certificate),
        "client-key-data": _data(ADMIN.key),
    }
    ca = _data(AUTHORITY.certificate)
    cluster = {"server": server, "certificate-authority-data": ca}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "site",
        "contexts": [{"name": "site", "context": {"cluster": "site", "user": "admin"}}],
        "clusters": [{"name": "site", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
    }


def _told(props: dict[str, Any]) -> str:
    """Return what preview shows."""
    found = ClusterCheckProvider().check({}, {"needs": {}, **props}).failures
    assert len(found) == 1
    return found[0].reason


def _broken(server: str, part: str, change: dict[str, str]) -> dict[str, str]:
    document = copy.deepcopy(_kubeconfig(server))
    document[f"{part}s"][0][part].update(change)
    return {"kubeconfig": yaml.safe_dump(document)}


@pytest.mark.parametrize(
    ("part", "change", "told"),
    [
        ("cluster", {"server": "https://127.0.0.1:9"}, "https://127.0.0.1:9: the API server"),
        (
            "cluster",
            {"certificate-authority-data": _data(OTHER.certificate)},
            "the API server's certificate is not accepted",
        ),
        ("cluster", {"certificate-authority-data": _data("x")}, "authority-data is not PEM"),
        ("user", {"client-certificate-data": "a"}, "not base64"),
        ("user", {"client-certificate-data": _data("x")}, "certificate or key is not PEM"),
        ("user", {"client-key-data": _data(EXPIRED.key)}, "do not belong together"),
        ("user", {}, "401 Unauthorized: it does not know the user"),
        (
            "user",
            {
                "client-certificate-data": _data(EXPIRED.certificate),
                "client-key-data": _data(EXPIRED.key),
            },
            "the client certificate of user admin ended on",
        ),
    ],
)
def test_each_fault_of_a_kubeconfig_is_told_apart(server, part, change, told):
    reason = _told(_broken(server, part, change))
    assert told in reason
    assert "-> " in reason
    for secret in (ADMIN.key, EXPIRED.key):
        assert _data(secret)[:40] not in reason


def test_a_context_that_is_not_there_is_named_with_those_that_are():
    text = yaml.safe_dump(_kubeconfig("https://127.0.0.1:9"))
    reason = _told({"kubeconfig": text, "context": "sight"})
    assert "no context sight; it has: site" in reason
    assert "kubernetes.context" in reason


def test_a_kubeconfig_without_a_current_context_asks_for_one():
    document = _kubeconfig("https://127.0.0.1:9") | {"current-context": ""}
    assert "names no current context" in _told({"kubeconfig": yaml.safe_dump(document)})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("planted: [", "not YAML (line 2)"),
        ("planted", "not a kubeconfig"),
        ("planted: {}", "not a kubeconfig"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named_and_not_shown(tmp_path, text, told):
    file = tmp_path / "config"
    file.write_text(f"{text}\n")
    reason = _told({"kubeconfig_file": str(file)})
    assert f"{file}: " in reason
    assert told in reason
    assert "planted" not in reason


def test_a_file_that_is_not_there_is_named(tmp_path):
    reason = _told({"kubeconfig_file": str(tmp_path / "none")})
    assert "kubernetes.kubeconfigFile" in reason
    assert str(tmp_path / "none") in reason


def test_where_no_kubeconfig_is_named_the_one_that_was_looked_for_is(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    reason = _told({})
    assert reason.startswith("KUBECONFIG: ")
    assert str(tmp_path / "none") in reason
