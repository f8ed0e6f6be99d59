"""What passes through the fault proxy with nothing armed, beside the direct way, in the same run.

Promised of plain HTTP, up and down: 1 GB/s or 0.9 of the direct rate, whichever is lower; of TLS,
where every byte is decrypted and encrypted once more on the way, half of it. A ratio is the median
of those of pairs, one way right after the other, either of them first in every other pair. Client,
proxy and store are bare loops in processes of their own, so that neither a store nor an S3 client
is what is measured.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from infra.secrets import x509
from validation.s3.faults.proxy import Certificate, FaultProxy

BODY = 8 << 20
CONNECTIONS, ROUNDS = 16, 8
REQUESTS, REQUESTS_OVER_TLS = 16, 4
PIECE = bytes(1 << 20)
_GET = b"GET /bucket/key HTTP/1.1\r\nHost: store\r\n\r\n"
_FOUND = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY
_PUT = b"PUT /bucket/key HTTP/1.1\r\nHost: store\r\nContent-Length: %d\r\n\r\n" % BODY
_DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def main() -> int:
    """Measure both ways in turn, print the medians, and say whether the promise is kept."""
    with tempfile.TemporaryDirectory() as folder:
        shown = _certificate(Path(folder))
        kept = [_compare(request, tls) for tls in (None, shown) for request in (_GET, _PUT)]
    return 0 if all(kept) else 1


def _certificate(folder: Path) -> Certificate:
    authority = x509.authority("benchmark", days=1)
    pair = x509.issue(authority, "store", ["127.0.0.1"], client=False)
    shown = Certificate(folder / "store.crt", folder / "store.key")
    shown.certificate.write_text(pair.certificate + authority.certificate, encoding="ascii")
    shown.key.write_text(pair.key, encoding="ascii")
    return shown


def _compare(request: bytes, shown: Certificate | None) -> bool:
    """Measure one kind of request; return whether what is promised of it holds."""
    trusting = ssl.create_default_context(cafile=shown.certificate) if shown else None
    with _process(_store, shown) as store, _process(_proxy, store, shown) as proxy:
        pairs = []
        for number in range(ROUNDS):
            ways = (store, proxy) if number % 2 else (proxy, store)
            rates = {port: _rate(port, request, trusting) for port in ways}
            pairs.append((rates[store], rates[proxy]))
    rate = statistics.median(through for _, through in pairs)
    ratio = statistics.median(through / direct for direct, through in pairs)
    kept = ratio >= 0.5 if shown else rate >= 1e9 or ratio >= 0.9  # noqa: PLR2004  (the promise)
    way = f"{request.split()[0].decode()} over {'TLS' if shown else 'plain HTTP'}"
    verdict = "kept" if kept else "broken"
    print(f"fault proxy, {way}: {ratio:.2f} of the direct rate, {rate / 1e9:.2f} GB/s ({verdict})")
    return kept


@contextlib.contextmanager
def _process(work: Callable[..., None], *arguments: object) -> Iterator[int]:
    """Run something that listens in a process of its own; give its port."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=work, args=(*arguments, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _proxy(upstream: int, shown: Certificate | None, pipe: Connection) -> None:
    store = f"{'https' if shown else 'http'}://127.0.0.1:{upstream}"
    trusting = shown.certificate if shown else None
    with FaultProxy(store, certificate=shown, trusting=trusting) as proxy:
        pipe.send(int(proxy.endpoint.rpartition(":")[2]))
        pipe.recv()


def _store(shown: Certificate | None, pipe: Connection) -> None:
    """Answer every GET with the same body, and take every PUT's."""
    context = shown.context() if shown else None

    def serve(accepted: socket.socket) -> None:
        buffer = bytearray(PIECE)
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError))
            side = context.wrap_socket(accepted, server_side=True) if context else accepted
            stack.enter_context(side)
            while head := _head(side):
                if head == _PUT:
                    _take(side, BODY, buffer)
                    side.sendall(_DONE)
                else:
                    side.sendall(_FOUND)
                    _send_body(side)

    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def _head(side: socket.socket) -> bytes:
    """Return the next of the two requests there are, which differ before the shorter one ends."""
    head = b""
    while head not in {_GET, _PUT}:
        left = (len(_PUT) if head[:1] == b"P" else len(_GET)) - len(head)
        piece = side.recv(left)
        if not piece:
            return b""
        head += piece
    return head


def _send_body(side: socket.socket) -> None:
    for _ in range(BODY // len(PIECE)):
        side.sendall(PIECE)


def _take(side: socket.socket, count: int, buffer: bytearray) -> None:
    while count:
        taken = side.recv_into(buffer, min(count, len(buffer)))
        if not taken:
            raise ConnectionError("closed before its time")
        count -= taken


def _rate(port: int, request: bytes, trusting: ssl.SSLContext | None) -> float:
    """Return bytes a second over several connections at once."""
    requests = REQUESTS_OVER_TLS if trusting else REQUESTS

    def ask() -> None:
        buffer = bytearray(PIECE)
        with contextlib.ExitStack() as stack:
            side = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            if trusting:
                side = stack.enter_context(trusting.wrap_socket(side, server_hostname="127.0.0.1"))
            for _ in range(requests):
                side.sendall(request)
                if request == _PUT:
                    _send_body(side)
                _take(side, len(_DONE) if request == _PUT else len(_FOUND) + BODY, buffer)

    clients = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    started = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return CONNECTIONS * requests * BODY / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
