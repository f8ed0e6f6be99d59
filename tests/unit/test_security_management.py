"""What Milvus's management port serves, asked on small servers of this test."""

import contextlib
import http.server
import json
import socket
import threading
from urllib.parse import urlsplit

import pytest

from validation.common.resources import find
from validation.errors import UnreachableError
from validation.security import management
from validation.suite.checks import test_security as checks
from validation.target import Milvus, Target
from validation.verdicts import rules


class Management(http.server.BaseHTTPRequestHandler):
    """A management port; what is in ``served`` answers everybody, the rest nobody."""

    served: dict[str, tuple[int, object]] = {}  # noqa: RUF012  (replaced whole)

    def do_GET(self):
        usual = {"/metrics": (200, "milvus_proxy_x 1")}
        status, said = {**usual, **self.served}.get(self.path, (401, "no"))
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  (the name that the server looks for)

    def log_message(self, format, *args):  # noqa: A002  (its name in the base class)
        pass


@contextlib.contextmanager
def management_port(served, address="127.0.0.1", port=0):
    handler = type("Handler", (Management,), {"served": served})
    server = http.server.ThreadingHTTPServer((address, port), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def at(base):
    return Milvus(uri="http://127.0.0.1:1", metrics_uri=base)


LIST = "/v2/vectordb/collections/list"


@pytest.mark.parametrize(
    ("served", "wrong"),
    [
        ({}, []),
        ({LIST: (200, {"code": 1800, "message": "user hasn't authenticated"})}, []),
        ({LIST: (200, {"code": 0, "data": ["theirs"]})}, [f"{LIST} lists collections"]),
        ({"/expr": (500, "the expr code is empty")}, ["/expr evaluates expressions"]),
        ({"/debug/pprof/": (200, "")}, ["/debug/pprof/ shows profiles"]),
    ],
)
def test_what_the_management_port_serves_to_anybody_is_found(served, wrong):
    with management_port(served) as base:
        acts = [one for kind in management.tried(at(base)).values() for one in kind]
    assert [one.name for one in acts if one.wrong] == wrong
    assert len(acts) == sum(len(kind) for kind in management.ASKED.values())


@pytest.fixture
def pods(monkeypatch):
    """Return what serves at several addresses of one name, as pods behind a headless Service."""
    named, resolve = [], socket.getaddrinfo

    def resolved(host, *args, **more):
        if host != "milvus-metrics":
            return resolve(host, *args, **more)
        return [one for pod in named for one in resolve(pod, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with contextlib.ExitStack() as stack:

        def serve(*served):
            port = 0
            for number, one in enumerate(served, 2):
                named.append(f"127.0.0.{number}")
                if one is not None:
                    base = stack.enter_context(management_port(one, named[-1], port))
                    port = urlsplit(base).port or 0
            return at(f"http://milvus-metrics:{port}")

        yield serve


DATA_NODE = {"/metrics": (200, "milvus_datanode_x 1")}


def test_every_pod_behind_the_name_is_asked(pods):
    found = management.tried(pods(DATA_NODE, {LIST: (200, {"code": 0})}, {}, None))
    acts = [one for kind in found.values() for one in kind]
    assert [one.name for one in acts if one.wrong] == [f"{LIST} lists collections"]
    assert len(acts) == sum(len(kind) for kind in management.ASKED.values())


def test_pods_without_a_proxy_among_them_say_nothing_of_the_port(pods):
    with pytest.raises(UnreachableError, match="proxy"):
        management.tried(pods(DATA_NODE, DATA_NODE, None))


def test_another_web_server_is_not_taken_for_a_closed_management_port():
    with management_port({"/metrics": (200, "")}) as base, pytest.raises(UnreachableError):
        management.tried(at(base))


def test_a_management_port_that_is_not_there_is_not_taken_for_a_closed_one():
    with management_port({}) as base:
        pass
    with pytest.raises(UnreachableError, match="does not answer"):
        management.tried(at(base))


USERS = {"user": "root", "password": {"value": "not-well-known"}}


def test_a_target_without_a_management_port_declares_none():
    milvus = {"uri": "http://127.0.0.1:1", "auth": USERS}
    target = Target.model_validate({"name": "t", "milvus": milvus})
    seen = {}
    checks.test_the_management_port_serves_nobody_unknown(
        lambda _, *, labels, **more: seen.update({labels["kind"]: more}), target
    )
    assert seen == {
        kind: {"undeclared": "the target has no metrics_uri"} for kind in management.ASKED
    }


def test_prod_s_rule_of_the_management_port_holds_where_it_is_declared():
    (rule,) = [
        one
        for one in rules.load(find("stacks/prod.slo.yaml"))
        if one.gate == "security.management.api"
    ]
    assert rule.required
    assert rule.if_declared
