"""What the family security asks of TLS, each answer on a small server of this test."""

import contextlib
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from infra.secrets import x509
from validation.common import handshakes
from validation.common.handshakes import Peer
from validation.errors import UnsupportedError
from validation.security import tls
from validation.selftest.tls_server import serving
from validation.suite.checks import test_security as checks
from validation.target import Target


@contextlib.contextmanager
def grpc_server(credentials=None, *handlers):
    server = grpc.server(ThreadPoolExecutor(2), list(handlers))
    where = "127.0.0.1:0"
    port = (
        server.add_insecure_port(where)
        if credentials is None
        else server.add_secure_port(where, credentials)
    )
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@pytest.fixture
def mutual(tmp_path):
    """Return a CA, what a server of it shows, and what makes a target of a client of it."""
    ca = x509.authority("for this test")
    own = x509.issue(ca, "milvus", ["127.0.0.1"], client=True)
    files = {"ca": ca.certificate, "certificate": own.certificate, "key": own.key}
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    def target(port):
        described = {
            "uri": f"https://127.0.0.1:{port}",
            "tls": {
                "mode": "mutual",
                "ca_file": str(tmp_path / "ca"),
                "client_certificate_file": str(tmp_path / "certificate"),
                "client_key_file": str(tmp_path / "key"),
            },
        }
        return Target.model_validate({"name": "t", "milvus": described})

    pair = [(own.key.encode(), own.certificate.encode())]
    return ca, pair, target


@pytest.mark.parametrize("asks", [True, False])
def test_a_server_that_talks_to_who_has_no_certificate_is_found(mutual, asks):
    ca, pair, described = mutual
    credentials = grpc.ssl_server_credentials(
        pair, ca.certificate.encode(), require_client_auth=asks
    )
    with grpc_server(credentials) as port:
        target = described(port)
        found = {one.name: one.wrong for one in tls.strangers(target)}
        assert [one.name for one in tls.certificate(tls.peers(target)["milvus"]) if one.wrong] == []
    assert found == {"plain text": False, "no client certificate": not asks}


def test_a_server_that_refuses_our_certificate_too_has_kept_nobody_out(mutual):
    _, pair, described = mutual
    other = x509.authority("for another test").certificate.encode()
    credentials = grpc.ssl_server_credentials(pair, other, require_client_auth=True)
    with (
        grpc_server(credentials) as port,
        pytest.raises(ConnectionError, match="with its certificate either"),
    ):
        tls.strangers(described(port))


class Slow(grpc.GenericRpcHandler):
    """Answer the first call, which shows our certificate, and let all others wait.

    Python's gRPC server cannot tell them apart: it asks for no certificate that it does not need.
    """

    def __init__(self):
        self.over = threading.Event()
        self.calls = 0

    def service(self, handler_call_details):  # noqa: ARG002  (its name in the base class)
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, *_):
        self.calls += 1
        if self.calls > 1:
            self.over.wait(30)
        return b""


def test_a_server_that_only_keeps_a_stranger_waiting_has_not_kept_it_out(mutual, monkeypatch):
    monkeypatch.setattr(handshakes, "SECONDS", 2.0)
    _, pair, described = mutual
    slow = Slow()
    with (
        grpc_server(grpc.ssl_server_credentials(pair), slow) as port,
        contextlib.ExitStack() as end,
    ):
        end.callback(slow.over.set)
        with pytest.raises(TimeoutError, match="no answer"):
            tls.strangers(described(port))


def test_a_server_that_says_nothing_in_plain_text_has_not_refused_it(monkeypatch):
    monkeypatch.setattr(handshakes, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        described = {
            "uri": f"https://127.0.0.1:{listening.getsockname()[1]}",
            "tls": {"mode": "server"},
        }
        target = Target.model_validate({"name": "t", "milvus": described})
        with pytest.raises(TimeoutError):
            tls.strangers(target)


def test_a_server_that_talks_without_tls_is_found():
    with grpc_server() as port:
        described = {"uri": f"https://127.0.0.1:{port}", "tls": {"mode": "server"}}
        target = Target.model_validate({"name": "t", "milvus": described})
        assert [one.name for one in tls.strangers(target) if one.wrong] == ["plain text"]


def observed(check, *more):
    """Return what a check hands over: by metric and kind, its samples, or why there are none."""
    found = {}

    def gate(metric, samples=(), *, labels, undeclared=None, not_measured=None, **_):
        found[metric, *labels.values()] = undeclared or not_measured or list(samples)

    check(gate, *more)
    return found


TLS_METRICS = checks.CERTIFICATE


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_is_looked_at_where_clients_need_one(mutual, tmp_path, newest):
    ca, _, described = mutual
    own = x509.issue(ca, "milvus", ["127.0.0.1"], client=False)
    (tmp_path / "server.pem").write_text(own.key + own.certificate)
    with serving(tmp_path / "server.pem", newest=newest, clients=tmp_path / "ca") as port:
        found = observed(checks.test_tls_is_what_it_should_be, described(port), "milvus")
    flaws, days, _ = (found[metric, "milvus"] for metric in TLS_METRICS)
    assert flaws == [0.0, 0.0, 0.0]
    assert days[0] > 1


def test_a_flaw_of_a_certificate_is_told_though_the_protocol_cannot_be_asked(
    mutual, tmp_path, monkeypatch
):
    _, _, described = mutual
    other = x509.issue(x509.authority("another"), "milvus", ["127.0.0.1"], client=False)
    (tmp_path / "server.pem").write_text(other.key + other.certificate)
    with serving(tmp_path / "server.pem") as port:

        def silent(_):
            raise TimeoutError("timed out")

        monkeypatch.setattr(tls, "protocol", silent)
        found = observed(checks.test_tls_is_what_it_should_be, described(port), "milvus")
    flaws, days, protocol = (found[metric, "milvus"] for metric in TLS_METRICS)
    assert flaws == [1.0, 0.0, 0.0]
    assert days[0] > 1
    assert protocol == f"127.0.0.1:{port}: TimeoutError: timed out"


@pytest.mark.parametrize(
    ("lost", "told", "wrong"),
    [
        ("misnamed", tls.certificate, ["chain"]),
        ("weak_cipher", lambda peer: tls.protocol(peer)[0], ["TLS 1.1 or older"]),
    ],
)
def test_what_was_seen_is_told_though_a_later_question_gets_no_answer(
    tmp_path, monkeypatch, lost, told, wrong
):
    def silent(_):
        raise TimeoutError("timed out")

    other = x509.issue(x509.authority("another"), "milvus", ["127.0.0.1"], client=False)
    (tmp_path / "server.pem").write_text(other.key + other.certificate)
    known = tls.trusting(x509.authority("ours").certificate)
    monkeypatch.setattr(handshakes, lost, silent)
    with serving(tmp_path / "server.pem", oldest=ssl.TLSVersion.TLSv1) as port:
        found = told(Peer("127.0.0.1", port, "127.0.0.1", known, alpn=("h2",)))
    assert [one.name for one in found if one.wrong] == wrong


@contextlib.contextmanager
def answering(answer):
    """Serve what is no TLS."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                taken, _ = listening.accept()
                with taken:
                    taken.recv(4096)
                    taken.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


ALERT = bytes([21, 3, 1, 0, 2, 2, 70])
"""TLS's alert protocol_version."""


@pytest.mark.parametrize("ask", [handshakes.old_protocol, handshakes.weak_cipher])
def test_only_the_server_refuses_a_protocol(ask):
    def peer(port):
        return Peer(
            "127.0.0.1", port, "127.0.0.1", tls.trusting(x509.authority("none").certificate)
        )

    for answer in (ALERT, b""):
        with answering(answer) as port:
            assert isinstance(ask(peer(port)), str)
    with answering(b"HTTP/1.1 400 no\r\n\r\n") as port, pytest.raises(UnsupportedError):
        ask(peer(port))


@pytest.mark.parametrize("lost", ["ca", "key"])
def test_a_file_of_tls_that_is_lost_is_why_nothing_is_measured(mutual, tmp_path, lost):
    _, _, described = mutual
    target = described(1)
    (tmp_path / lost).unlink()
    found = observed(checks.test_tls_is_what_it_should_be, target, "milvus")
    found |= observed(checks.test_milvus_does_not_talk_to_who_has_no_tls, target)
    assert len(found) == len(TLS_METRICS) + 1
    assert all(str(tmp_path) in why for why in found.values()), found


def test_a_file_of_the_store_s_tls_that_is_lost_is_why_nothing_is_measured(tmp_path):
    storage = {
        "provider": "minio",
        "endpoint": "https://127.0.0.1:1",
        "bucket": "milvus",
        "tls": {"mode": "server", "ca_file": str(tmp_path / "lost")},
    }
    milvus = {"uri": "http://127.0.0.1:1"}
    target = Target.model_validate({"name": "t", "milvus": milvus, "storage": storage})
    found = observed(checks.test_tls_is_what_it_should_be, target, "s3")
    assert [type(why) for why in found.values()] == [str] * 3
