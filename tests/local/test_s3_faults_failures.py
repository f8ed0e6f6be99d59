"""What the fault proxy cannot do is counted, so that nobody takes it for the store's doing."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
import threading
from urllib.parse import urlsplit

import pytest
from test_s3_faults_transparency import (
    GET,
    OK,
    answering,
    asking,
    connected,
    heads,
    put,
    received,
    received_head,
    store,
)
from test_s3_tls import certificate
from waiting import eventually

from validation.s3.faults.proxy import Certificate, FaultProxy
from validation.s3.faults.script import Fault, Kind

CHUNKED = (
    b"PUT /milvus/key HTTP/1.1\r\nHost: store\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\nx-amz-trailer: 1\r\n\r\n"
)


def always(connection):
    for _ in heads(connection):
        connection.sendall(OK)


@pytest.fixture
def proxy():
    with store(always) as endpoint, FaultProxy(endpoint) as running:
        yield running


@contextlib.contextmanager
def no_more_files():
    """Let this process open no file, as if it had opened all it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_are_accepted_again_after_there_were_too_many_files(proxy):
    address = urlsplit(proxy.endpoint)
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(socket.socket()) for _ in range(20)]
        with no_more_files():
            for one in many:  # the files that the first ones give back may serve the next ones
                one.connect((address.hostname, address.port))
            eventually(lambda: any(what.startswith("accept") for what in proxy.script.failed))
        assert all("Too many open files" in what for what in proxy.script.failed)
    with connected(proxy.endpoint) as connection:
        connection.sendall(GET)
        assert received(connection, OK) == (OK, "open")


def test_a_store_that_cannot_be_reached_is_counted():
    with store(answering(OK)) as endpoint:
        pass  # nobody listens there any more
    with FaultProxy(endpoint) as proxy, connected(proxy.endpoint) as connection:
        assert received(connection) == (b"", "closed")
        (what,) = proxy.script.failed
        assert what.startswith("reach the store: ")


def test_a_client_that_speaks_no_tls_is_counted(tmp_path):
    certificate(tmp_path)
    shown = Certificate(tmp_path / "public.crt", tmp_path / "private.key")
    with FaultProxy("http://127.0.0.1:9", certificate=shown) as proxy:
        with connected(proxy.endpoint) as connection:
            asking(GET)(connection)
        assert proxy.script.failed == {"agree on TLS: http request": 1}


def test_clients_and_stores_that_come_and_go_are_no_failures_of_the_proxy(proxy):
    with connected(proxy.endpoint) as connection:
        connection.sendall(GET)
        assert received(connection, OK) == (OK, "open")
    with connected(proxy.endpoint):
        pass
    proxy.hang_up()
    eventually(lambda: not proxy._open)
    assert proxy.script.failed == {}


@pytest.mark.parametrize("kind", [Kind.SLOW_DOWN, Kind.INTERNAL_ERROR])
@pytest.mark.parametrize("waits", [False, True], ids=["", "expecting"])
def test_a_chunked_body_is_refused_in_order_and_counted(proxy, kind, waits):
    proxy.script.arm(Fault(kind, every=2))
    request = CHUNKED.replace(b"Host", b"Expect: 100-continue\r\nHost") if waits else CHUNKED
    with connected(proxy.endpoint) as connection:
        connection.sendall(GET + request)
        found, _ = received(connection, b"</Error>")
    assert found.startswith(OK + b"HTTP/1.1 50")
    assert proxy.script.injected == {kind: 1}
    assert proxy.script.failed == {}


def test_each_nth_of_pipelined_requests_is_refused_in_its_place(proxy):
    proxy.script.arm(Fault(Kind.SLOW_DOWN, every=3))
    with connected(proxy.endpoint) as connection:
        found, _ = asking(*[GET, put(b"ab"), CHUNKED] * 3, half_close=True)(connection)
    answers = [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
    assert answers == [b"200", b"200", b"503"] * 3
    assert proxy.script.injected == {Kind.SLOW_DOWN: 3}


@pytest.mark.parametrize(
    ("kind", "end"),
    [(Kind.LOST_ANSWER, "reset"), (Kind.RESET, "reset"), (Kind.TRUNCATE, "closed")],
)
def test_an_early_answer_meets_its_fault_while_the_body_is_still_sent(kind, end):
    done = threading.Event()

    def refusing(connection):
        received_head(connection)
        connection.sendall(OK)
        done.wait(5)

    with store(refusing) as endpoint, FaultProxy(endpoint) as proxy:
        proxy.script.arm(Fault(kind))
        with connected(proxy.endpoint) as connection:
            connection.sendall(put(b"", 64 << 20) + bytes(100))
            found, how = received(connection)
        eventually(lambda: not proxy._open)
        done.set()
        assert (found, how) == (b"" if kind is Kind.LOST_ANSWER else OK[:-1], end)
        assert proxy.script.injected == {kind: 1}


def test_a_handshake_is_not_completed_under_a_certificate_that_was_replaced_meanwhile(tmp_path):
    shown = []
    for name in ("old", "new"):
        certificate(tmp_path / name)
        shown.append(Certificate(tmp_path / name / "public.crt", tmp_path / name / "private.key"))
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=shown[0].certificate)
    tls = trusting.wrap_bio(arrived, leaving, server_hostname="127.0.0.1")
    with store(answering(OK)) as endpoint, FaultProxy(endpoint, certificate=shown[0]) as proxy:
        with connected(proxy.endpoint) as connection:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    break
                connection.sendall(leaving.read())
                arrived.write(connection.recv(65_536))
            proxy.present(shown[1])
            tls.write(GET)
            with contextlib.suppress(ConnectionError):
                connection.sendall(leaving.read())  # the handshake's last bytes are among them
            assert received(connection)[0] == b""
        assert proxy.script.answered == {}
        assert proxy.script.refused == proxy.script.failed == {}
