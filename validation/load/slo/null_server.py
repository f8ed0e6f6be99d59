"""A server that does nothing: it answers every call at once with the same bytes.

What a client costs shows beside a server that costs next to nothing. It is a process of its own,
`main`, which listens on loopback alone and ends when whoever started it closes its standard input.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
from collections.abc import Iterator

import hpack

from validation.load import process
from validation.load.http2 import frames
from validation.load.http2.frames import HEAD, HEAD_BYTES
from validation.load.http2.protocol import framed
from validation.load.process import pipe

_READ = 1 << 18


@contextlib.contextmanager
def running(reply: bytes) -> Iterator[str]:
    """Run the server in a process of its own and yield its address, ``host:port``.

    Args:
        reply: A serialised message of at most 16 KiB.
    """
    with process.running(__name__) as one:
        pipe(one.stdin).write(len(reply).to_bytes(4, "big") + reply)
        pipe(one.stdin).flush()
        yield pipe(one.stdout).readline().decode().strip()


def main() -> None:
    """Serve until standard input ends."""
    source = sys.stdin.buffer
    reply = source.read(int.from_bytes(source.read(4), "big"))
    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as ready:
        sys.stdout.write(f"127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        ready.register(source, selectors.EVENT_READ, None)
        ready.register(listener, selectors.EVENT_READ, None)
        while True:
            for key, _ in ready.select():
                if key.fileobj is source:
                    return
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ready.register(connection, selectors.EVENT_READ, _Peer(connection, reply))
                elif not key.data.answer():
                    ready.unregister(key.fileobj)
                    key.data.connection.close()


class _Peer:
    """One connection of a client."""

    def __init__(self, connection: socket.socket, reply: bytes) -> None:
        self.connection = connection
        self._head = _block({":status": "200", "content-type": "application/grpc"})
        self._end = _block({"grpc-status": "0"})
        self._reply = framed(reply)
        self._rest, self._greeted, self._taken = b"", False, 0

    def answer(self) -> bool:
        """Answer what has come; return False once the client is gone."""
        try:
            came = self.connection.recv(_READ)
            if came:
                self.connection.sendall(self._answers(came))
        except OSError:
            return False
        return bool(came)

    def _answers(self, came: bytes) -> bytes:
        data, at, out = self._rest + came, 0, bytearray()
        if not self._greeted:
            if len(data) < len(frames.PREFACE):
                self._rest = data
                return b""
            at, self._greeted = len(frames.PREFACE), True
            out += frames.settings({})
        while len(data) - at >= HEAD_BYTES:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            size = high << 16 | low
            if len(data) - at < HEAD_BYTES + size:
                break
            at += HEAD_BYTES + size
            if kind == frames.DATA:
                self._taken += size
                if flags & frames.END_STREAM:
                    out += frames.frame(frames.HEADERS, frames.END_HEADERS, stream, self._head)
                    out += frames.frame(frames.DATA, 0, stream, self._reply)
                    last = frames.END_HEADERS | frames.END_STREAM
                    out += frames.frame(frames.HEADERS, last, stream, self._end)
            elif kind == frames.SETTINGS and not flags & frames.ACK:
                out += frames.frame(frames.SETTINGS, frames.ACK, 0)
        self._rest = data[at:]
        if self._taken:
            out += frames.window_update(0, self._taken)
            self._taken = 0
        return bytes(out)


def _block(fields: dict[str, str]) -> bytes:
    """Return a header block that no table is needed for: our client announces one of size 0."""
    literals = [hpack.NeverIndexedHeaderTuple(*field) for field in fields.items()]
    return hpack.Encoder().encode(literals, huffman=False)
