"""A TCP link that stalls: what lies between a client and a server on a bad network."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_CHUNK = 1 << 16
_SHORT = 1 << 12
"""Only short pieces are held back: answers to searches, and not the megabytes of a read-back, which
would take minutes and prove nothing more."""


@contextlib.contextmanager
def stalling(host: str, port: int, *, every: int, seconds: float) -> Iterator[int]:
    """Listen on loopback and pass everything on; hold every n-th piece of an answer back.

    Args:
        host: Of the server.
        port: Of the server.
        every: Which pieces are held back, counted on each connection.
        seconds: For how long. What comes behind them on the same connection waits as well.

    Yields:
        The port to connect to.
    """
    open_sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_sockets.append(listener)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection((host, port), timeout=10)
                    server.settimeout(None)
                    for one in (client, server):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    open_sockets.extend((client, server))
                    _pump(client, server, 0, 0)
                    _pump(server, client, every, seconds)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            for one in open_sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


def _pump(source: socket.socket, sink: socket.socket, every: int, seconds: float) -> None:
    """Copy one direction in a thread of its own until either end closes."""

    def copy() -> None:
        pieces = 0
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                pieces += len(data) < _SHORT
                if every and len(data) < _SHORT and pieces % every == 0:
                    time.sleep(seconds)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=copy, daemon=True).start()
