"""The fault proxy with nothing armed: a client of raw sockets sees what it sees without the proxy.

Every test talks to a store directly and through the proxy, and compares.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

import pytest
import s3_servers
from test_s3_tls import certificate

from validation.s3.faults.proxy import Certificate, FaultProxy
from validation.s3.faults.tls import Tls

SECONDS = 5
"""For an answer that is there at once, if it comes at all."""
GET = b"GET /milvus/key HTTP/1.1\r\nHost: store\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"""HTTP/1.1 200 OK\r
Transfer-Encoding: gzip, chunked\r
Trailer: x\r
\r
3;ext=1\r
abc\r
0002\r
de\r
0\r
x: 1\r
y: 2\r
\r
"""
BODY = bytes(range(256)) * 40


def put(body=b"", length=None, *more):
    fields = [b"Host: store", b"Content-Length: %d" % (length or len(body)), *more]
    return b"\r\n".join([b"PUT /milvus/key HTTP/1.1", *fields, b"", b""]) + body


@contextlib.contextmanager
def store(serve):
    """A store that does with each connection what a test says, and then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(accepted):
        with accepted, contextlib.suppress(OSError):
            serve(accepted)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                threading.Thread(target=one, args=(accepted,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(120)


def connected(endpoint):
    parts = urlsplit(endpoint)
    return socket.create_connection((parts.hostname, parts.port), timeout=SECONDS)


def received(connection, mark=None):
    """Return what comes up to a mark, or up to the end, and how that was."""
    found, how = bytearray(), "open"
    try:
        while mark is None or not found.endswith(mark):
            piece = connection.recv(65_536)
            if not piece:
                how = "closed"
                break
            found += piece
    except TimeoutError:
        how = "silent"
    except ConnectionResetError:
        how = "reset"
    return bytes(found), how


def both_ways(serve, talk):
    """Return what a client has from a store directly, after it was the same through the proxy."""
    with store(serve) as endpoint, FaultProxy(endpoint) as proxy:
        with connected(endpoint) as connection:
            direct = talk(connection)
        with connected(proxy.endpoint) as connection:
            through = talk(connection)
        assert through == direct
        return direct


def asking(*requests, half_close=False):
    """Return a talk that sends all requests at once and reads up to the end."""

    def talk(connection):
        connection.sendall(b"".join(requests))
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return received(connection)

    return talk


def heads(connection):
    """Give each head a client sends, up to its half-close; bodies have to be taken."""
    while True:
        head, how = received_head(connection)
        if how != "open":
            return
        yield head


def received_head(connection):
    found = b""
    while not found.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            return found, "closed"
        found += piece
    return found, "open"


def taken(connection, count):
    while count:
        count -= len(connection.recv(min(count, 65_536)))


def answering(answer, *, times=1):
    """Return a store that answers so often, and then closes."""

    def serve(connection):
        for _ in range(times):
            received_head(connection)
            connection.sendall(answer)

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ],
    ids=["1.1", "1.0", "empty"],
)
def test_a_body_that_ends_with_the_connection_passes_whole(answer):
    assert both_ways(answering(answer), asking(GET)) == (answer, "closed")


@pytest.mark.parametrize("tokens", [b"close", b"close, x", b"x, Close"])
def test_a_store_that_says_it_closes_is_seen_to_close(tokens):
    answer = OK.replace(b"\r\n\r\n", b"\r\nConnection: %s\r\n\r\n" % tokens)
    assert both_ways(answering(answer), asking(GET)) == (answer, "closed")


def test_a_store_that_closes_an_idle_connection_is_seen_to_close_before_the_next_request():
    def talk(connection):
        connection.sendall(GET)
        first = received(connection, OK)
        return first, received(connection)

    assert both_ways(answering(OK), talk) == ((OK, "open"), (b"", "closed"))


def test_an_answer_that_nobody_asked_for_passes():
    timeout = b"HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n"
    assert both_ways(lambda connection: connection.sendall(timeout), received) == (
        timeout,
        "closed",
    )


@pytest.mark.parametrize("status", [102, 103])
def test_every_interim_answer_passes_and_the_final_one_after_it(status):
    interim = b"HTTP/1.1 %d Wait\r\nLink: </x>\r\n\r\n" % status
    answers = interim * 2 + OK
    found = both_ways(answering(answers, times=2), asking(GET, GET))
    assert found == (answers * 2, "closed")


def test_interim_answers_are_not_counted_as_the_stores_answers():
    answers = b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK
    with store(answering(answers)) as endpoint, FaultProxy(endpoint) as proxy:
        with connected(proxy.endpoint) as connection:
            assert asking(GET)(connection) == (answers, "closed")
        assert proxy.script.answered == {200: 1}


def waiting_a_little(connection):
    """Send a body after a while, told to or not, as clients do that expect to be told."""
    connection.sendall(put(BODY, None, b"Expect: 100-continue")[: -len(BODY)])
    connection.settimeout(0.3)
    first = received(connection, b"\r\n\r\n")
    connection.settimeout(SECONDS)
    connection.sendall(BODY)
    return first, received(connection)


def test_a_client_that_waits_in_vain_to_be_told_to_go_on_goes_on():
    def serve(connection):
        received_head(connection)
        taken(connection, len(BODY))
        connection.sendall(OK)

    assert both_ways(serve, waiting_a_little) == ((b"", "silent"), (OK, "closed"))


def test_a_client_that_waits_is_told_to_go_on():
    def serve(connection):
        received_head(connection)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        taken(connection, len(BODY))
        connection.sendall(OK)

    told = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert both_ways(serve, waiting_a_little) == ((told, "open"), (OK, "closed"))


def test_a_client_that_is_refused_while_it_waits_asks_again_on_the_same_connection():
    refusal = b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"
    answers = [refusal, OK]

    def serve(connection):
        for _, answer in zip(heads(connection), answers, strict=False):
            connection.sendall(answer)

    def talk(connection):
        connection.sendall(put(b"", len(BODY), b"Expect: 100-continue"))
        first = received(connection, refusal)
        connection.sendall(GET)
        return first, received(connection, OK)

    assert both_ways(serve, talk) == ((refusal, "open"), (OK, "open"))


@pytest.mark.parametrize("mebibytes", [16, 64])
def test_a_store_that_refuses_a_large_object_early_is_heard(tmp_path, mebibytes):
    refused = put(b"", mebibytes << 20, b"Authorization: AWS4-HMAC-SHA256 nonsense")

    def answer(endpoint):
        with connected(endpoint) as connection:
            connection.sendall(refused)
            with contextlib.suppress(OSError):  # it may close before it has all
                for _ in range(mebibytes):
                    connection.sendall(bytes(1 << 20))
            return received(connection)[0]

    with s3_servers.minio(tmp_path) as endpoint, FaultProxy(endpoint) as proxy:
        for found in (answer(endpoint), answer(proxy.endpoint)):
            assert found.startswith(b"HTTP/1.1 400 ")
            assert b"<Code>" in found


def test_a_store_that_answers_early_and_takes_no_more_is_heard_by_a_client_that_still_sends():
    stay = threading.Event()

    def serve(connection):
        received_head(connection)
        connection.sendall(OK)
        stay.wait(SECONDS)

    def talk(connection):
        sending = threading.Thread(target=send, args=(connection,), daemon=True)
        sending.start()
        return received(connection, OK)

    def send(connection):
        with contextlib.suppress(OSError):
            connection.sendall(put(bytes(64 << 20)))

    try:
        assert both_ways(serve, talk) == (OK, "open")
    finally:
        stay.set()


@pytest.mark.parametrize("half_close", [False, True], ids=["", "half-closed"])
@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n"),
        (GET.replace(b"GET", b"DELETE"), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n"),
        (
            GET,
            CHUNKED,
        ),
        (GET, OK),
    ],
    ids=["HEAD", "204", "304", "chunked", "length"],
)
def test_the_end_of_an_answer_is_found_and_the_next_request_passes(request_, answer, half_close):
    found = both_ways(answering(answer, times=3), asking(*[request_] * 3, half_close=half_close))
    assert found == (answer * 3, "closed")


def test_pipelined_requests_with_bodies_are_told_apart():
    chunked = (
        b"PUT /milvus/key HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;x=y\r\nabcde\r\n3\r\nGET\r\n0\r\nx-amz-trailer: 1\r\n\r\n"
    )
    seen = []

    def serve(connection):
        arrived, _ = received(connection)
        seen.append(arrived)
        connection.sendall(OK * 4)

    requests = [put(BODY), chunked, GET, put(b"GET / HTTP/1.1\r\n\r\n")]
    with store(serve) as endpoint, FaultProxy(endpoint) as proxy:
        with connected(proxy.endpoint) as connection:
            found = asking(*requests, half_close=True)(connection)
        assert found == (OK * 4, "closed")
        assert seen == [b"".join(requests)]
        assert proxy.script.answered == {200: 4}
        assert proxy.script.failed == {}


def test_a_reset_by_the_store_is_seen_as_one():
    def serve(connection):
        received_head(connection)
        connection.sendall(OK[:-1])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(0.1)  # it would overtake what was sent

    found, how = both_ways(serve, asking(GET))
    assert (found, how) == (OK[:-1], "reset")


def test_a_client_that_goes_away_is_seen_to_go_by_the_store():
    gone = threading.Event()

    def serve(connection):
        received_head(connection)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        gone.set()

    with store(serve) as endpoint, FaultProxy(endpoint) as proxy:
        connection = connected(proxy.endpoint)
        connection.sendall(GET)
        connection.close()
        assert gone.wait(SECONDS)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [(b"HELLO\r\n\r\n", b"WHAT?\r\n\r\n"), (GET, b"220 an SMTP server\r\n\r\nis this")],
    ids=["request", "answer"],
)
def test_what_is_not_http_passes_all_the_same_and_is_counted(request_, answer):
    with store(answering(answer)) as endpoint, FaultProxy(endpoint) as proxy:
        with connected(proxy.endpoint) as connection:
            assert asking(request_)(connection) == (answer, "closed")
        assert any("passed on unread" in what for what in proxy.script.failed)


def test_over_tls_bodies_pass_both_ways_at_once_and_end_in_order(tmp_path):
    """The store sends a body back while it comes, which is more than any buffer holds."""
    certificate(tmp_path)
    trusted = tmp_path / "public.crt"
    shown = Certificate(trusted, tmp_path / "private.key")
    body = BODY * 2_000

    def serve(connection):
        received_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        left = len(body)
        while left:
            piece = connection.recv(65_536)
            left -= len(piece)
            connection.sendall(piece)

    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(store(serve))
        inner = stack.enter_context(FaultProxy(plain, certificate=shown))
        outer = FaultProxy(inner.endpoint, certificate=shown, trusting=trusted)
        proxy = stack.enter_context(outer)
        connection = stack.enter_context(connected(proxy.endpoint))
        tls = Tls(connection, ssl.create_default_context(cafile=trusted), "127.0.0.1")
        tls.handshake()
        sending = threading.Thread(target=tls.sendall, args=(put(body),))
        sending.start()
        found, how = received(tls)
        sending.join(120)
    assert (found.endswith(body), how) == (True, "closed")
    assert inner.script.failed == proxy.script.failed == {}
