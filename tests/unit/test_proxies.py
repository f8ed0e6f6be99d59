"""No client is led through a proxy that the environment names, but those of the internet."""

from __future__ import annotations

import http.server
import threading

import httpx
import pytest
from pymilvus.grpc_gen.milvus_pb2 import SearchRequest
from search_server import running

from infra.storage.greenlake.session import Session
from validation.common import proxies
from validation.errors import UnreachableError
from validation.local import servers
from validation.milvus.failures import explain
from validation.milvus.metrics import scrape
from validation.milvus.wire import Endpoint, Wire
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.s3.preflight.reach import reach
from validation.target import Milvus, Storage

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A shell in which every client is told to use a proxy that is not there."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, NOBODY)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"milvus_up 1\n" if self.path == "/metrics" else b"OK")

    def log_message(self, format, *args):  # noqa: A002  (its name there)
        pass


@pytest.fixture
def served():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_health_and_metrics_are_asked_directly(served):
    assert servers._answers(f"{served}/healthz")
    assert scrape(Milvus(uri=served, metrics_uri=served)).total("milvus_up") == 1


def test_a_channel_of_ours_leads_to_the_server_itself():
    with running() as (servicer, address):
        wire = Wire(Endpoint(f"http://{address}", address))
        wire.call("Search", SearchRequest(), doing="search")
        wire.close()
        assert servicer.seen


def test_the_management_api_on_this_host_is_asked_directly_and_on_the_internet_by_the_proxy(served):
    session = Session(base_url=served, token_url=served, client_id="a", client_secret="b")
    assert session._http.get(served).status_code == 200
    with pytest.raises(httpx.ConnectError):
        session._http.get("http://192.0.2.1/")  # refused at once: by the proxy that is not there


def test_an_error_names_the_variables_that_were_passed_over_or_obeyed(monkeypatch):
    storage = Storage(provider="s3", endpoint="http://127.0.0.1:1", bucket="b")
    error = explain(httpx.ConnectError("x"), endpoint="http://a:1", doing="search")
    assert "http_proxy" not in str(error)  # it was no question of reaching it
    with pytest.raises(UnreachableError, match=r"http_proxy, .* are set and not used"):
        scrape(Milvus(uri="http://a:1", metrics_uri="http://127.0.0.1:1"))
    with pytest.raises(UnreachableError, match="are set and not used"), translated(storage):
        connect(storage, anonymous=True).list_buckets()
    for name in ("https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.delenv(name)
    assert proxies.passed_over("check it").startswith("check it; http_proxy is set and not used")
    assert proxies.obeyed("check it") == "check it; the proxy that http_proxy names is used"
    monkeypatch.delenv("http_proxy")
    assert proxies.passed_over("check it") == proxies.obeyed("check it") == "check it"


def test_a_server_that_is_not_reached_names_the_variables_too(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    wire = Wire(Endpoint("http://127.0.0.1:1", "127.0.0.1:1"))
    with pytest.raises(UnreachableError, match=r"nothing listens[\s\S]*HTTPS_PROXY"):
        wire.call("Search", SearchRequest(), doing="search")
    wire.close()
    keys = {name: {"value": "k"} for name in ("access_key", "secret_key")}
    document = {"provider": "s3", "endpoint": "http://127.0.0.1:1", "bucket": "milvus", **keys}
    with pytest.raises(UnreachableError, match=r"nothing listens[\s\S]*HTTPS_PROXY"):
        reach(Storage.model_validate(document))
