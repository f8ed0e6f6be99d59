"""What passes through the fault proxy with nothing armed, beside the direct way, in the same run.

The promise: 1 GB/s or 0.9 of the direct rate, whichever is lower. Source, proxy and sink are bare
loops in processes of their own, so that neither a store nor an S3 client is what is measured.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from validation.s3.faults.proxy import FaultProxy

BODY = 8 << 20
CONNECTIONS, REQUESTS, ROUNDS = 16, 16, 5
_REQUEST = b"GET /bucket/key HTTP/1.1\r\nHost: source\r\n\r\n"
_HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n".encode()


def main() -> int:
    """Measure both ways in turn and print the medians."""
    with _process(_source) as source, _process(_proxy, source) as proxy:
        direct, through = [], []
        for _ in range(ROUNDS):
            direct.append(_rate(source))
            through.append(_rate(proxy))
    rate, ratio = statistics.median(through), statistics.median(through) / statistics.median(direct)
    print(f"fault proxy: {rate / 1e9:.2f} GB/s, {ratio:.2f} of the direct rate")
    return 0 if rate >= 1e9 or ratio >= 0.9 else 1  # noqa: PLR2004  (the promise)


@contextmanager
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


def _proxy(upstream: int, pipe: Connection) -> None:
    with FaultProxy(f"http://127.0.0.1:{upstream}") as proxy:
        pipe.send(int(proxy.endpoint.rpartition(":")[2]))
        pipe.recv()


def _source(pipe: Connection) -> None:
    """Answer every request with the same body."""
    body = bytes(1 << 20)

    def serve(accepted: socket.socket) -> None:
        while accepted.recv(4_096):
            accepted.sendall(_HEAD)
            for _ in range(BODY // len(body)):
                accepted.sendall(body)

    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def _rate(port: int) -> float:
    """Return bytes a second over several connections at once."""

    def read() -> None:
        buffer = bytearray(1 << 20)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(REQUESTS):
                connection.sendall(_REQUEST)
                left = BODY + len(_HEAD)
                while left:
                    left -= connection.recv_into(buffer, min(left, len(buffer)))

    readers = [threading.Thread(target=read) for _ in range(CONNECTIONS)]
    started = time.perf_counter()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return CONNECTIONS * REQUESTS * BODY / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
