"""What passes through the fault proxy with nothing armed, beside the direct way, in the same run.

Promised of plain HTTP, up and down: 1 GB/s or 0.9 of the direct rate, whichever is lower. Of TLS
nothing is promised, since every byte is decrypted and encrypted again; its ratio is shown. Client,
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
CONNECTIONS, ROUNDS = 16, 5
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
        kept = [_compare(request, None) for request in (_GET, _PUT)]
        for request in (_GET, _PUT):
            _compare(request, shown)
    return 0 if all(kept) else 1


def _certificate(folder: Path) -> Certificate:
    authority = x509.authority("benchmark", days=1)
    pair = x509.issue(authority, "store", ["127.0.0.1"], client=False)
    shown = Certificate(folder / "store.crt", folder / "store.key")
    shown.certificate.write_text(pair.certificate + authority.certificate, encoding="ascii")
    shown.key.write_text(pair.key, encoding="ascii")
    return shown


def _compare(request: bytes, shown: Certificate | None) -> bool:
    """Measure one kind of request; return whether what is promised of plain HTTP holds for it."""
    trusting = ssl.create_default_context(cafile=shown.certificate) if shown else None
    with _process(_store, shown) as store, _process(_proxy, store, shown) as proxy:
        direct, through = [], []
        for _ in range(ROUNDS):
            direct.append(_rate(store, request, trusting))
            through.append(_rate(proxy, request, trusting))
    rate, ratio = statistics.median(through), statistics.median(through) / statistics.median(direct)
    kept = rate >= 1e9 or ratio >= 0.9  # noqa: PLR2004  (the promise)
    method, _, _ = request.partition(b" ")
    verdict = "nothing promised" if shown else "kept" if kept else "broken"
    print(
        f"fault proxy, {method.decode()} over {'TLS' if shown else 'plain HTTP'}:"
        f" {rate / 1e9:.2f} GB/s, {ratio:.2f} of the direct rate ({verdict})"
    )
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
