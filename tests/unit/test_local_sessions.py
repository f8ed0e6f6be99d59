"""Leases of a Milvus that ended are revoked, and no others; etcd is a stub of its gateway."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from validation.local import sessions

KEYS = [{"key": "aQ==", "lease": "71"}, {"key": "aW5k"}, {"key": "cA==", "lease": "72"}]


class Etcd(ThreadingHTTPServer):
    """What it was asked to revoke, and what it answers to that before it does."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Gateway)
        self.asked: list[str] = []
        self.statuses: list[int] = []


class Gateway(BaseHTTPRequestHandler):
    """Etcd with two sessions; it may have no leader for a while, or know no lease any more."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        assert isinstance(server, Etcd)
        if self.path == "/v3/kv/range":
            return self._answer(200, {"kvs": KEYS})
        server.asked.append(asked["ID"])
        return self._answer(server.statuses.pop(0) if server.statuses else 200, {})

    def _answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # noqa: A002  (its name there)
        """Say nothing."""


@pytest.fixture
def etcd():
    server = Etcd()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "milvus").mkdir()
    return tmp_path


def test_the_leases_of_all_sessions_are_revoked_once(etcd, folder):
    sessions.note(folder, etcd.server_port)
    sessions.end(folder, etcd.server_port, lambda: True)
    assert sorted(etcd.asked) == ["71", "72"]
    sessions.end(folder, etcd.server_port, lambda: True)
    assert len(etcd.asked) == 2


def test_an_etcd_without_a_leader_is_asked_again_and_a_lease_that_ran_out_is_none(etcd, folder):
    sessions.note(folder, etcd.server_port)
    etcd.statuses = [503, 503, 404]
    sessions.end(folder, etcd.server_port, lambda: True)
    assert etcd.asked == ["72", "72", "72", "71"]


def test_a_server_that_ends_again_is_not_waited_for(folder, etcd):
    sessions.note(folder, etcd.server_port)
    sessions.end(folder, 9, lambda: False)
    assert etcd.asked == []


def test_an_etcd_that_is_silent_is_no_failure(folder):
    sessions.note(folder, 9)
    sessions.end(folder, 9, lambda: True)
    assert list((folder / "milvus").iterdir()) == []
