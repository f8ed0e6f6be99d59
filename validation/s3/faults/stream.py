"""One side of a connection: heads are read, bodies are moved, on Linux without copying them.

On Linux plain bodies go through a pipe by ``splice``, so that the proxy is not what limits the
store's throughput. TLS, other systems and bodies that are damaged on the way take a buffer.

One thread reads from a stream and another one writes to it. So a stream is closed only when both
are done: to end it before, shut it down, which wakes them.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Callable

from validation.s3.faults.tls import Tls

_BUFFER = 1 << 20
_HEAD_LIMIT = 1 << 18
_PIPE_SIZE = 1 << 20
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ; Python names it only from 3.10 on, and not on every build."""
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_END_OF_LINE = re.compile(rb"\n")


class ClosedError(Exception):
    """This side sends no more."""


class BrokenError(Exception):
    """A side is gone: it was reset, or takes nothing any more.

    Args:
        side: Which one.
    """

    def __init__(self, side: Stream, reason: str) -> None:
        super().__init__(reason)
        self.side = side


class UnreadableError(Exception):
    """What came is not HTTP/1.1; what was not passed on yet is still there to be read."""


class Stream:
    """A socket with what was read from it and not used yet.

    Args:
        plain: A connected, blocking socket.
        hold: Called before bytes are passed; it may wait.
        tls: What is spoken over the socket, if anything.
    """

    def __init__(
        self, plain: socket.socket, hold: Callable[[], None], tls: Tls | None = None
    ) -> None:
        self.socket = plain
        self.hold = hold
        self.rest = bytearray()
        self.tls = tls
        self._link = tls or plain
        self._pipe: tuple[int, int] | None = None
        self._abrupt = False

    def read_head(self) -> bytes:
        """Return what comes up to and with an empty line.

        Raises:
            ClosedError: There is no more.
            BrokenError: The side is gone.
            UnreadableError: It is too long for a head.
        """
        return self._read_up_to(_END_OF_HEAD)

    def read_line(self) -> bytes:
        """Return what comes up to and with the end of a line; raises as `read_head` does."""
        return self._read_up_to(_END_OF_LINE)

    def _read_up_to(self, end: re.Pattern[bytes]) -> bytes:
        searched = 0
        while (found := end.search(self.rest, searched)) is None:
            searched = max(0, len(self.rest) - 2)
            if len(self.rest) > _HEAD_LIMIT:
                raise UnreadableError(f"a head of more than {_HEAD_LIMIT >> 10} KiB")
            self.rest += self._received(65_536)
        return self._taken(found.end())

    def _taken(self, count: int) -> bytes:
        found = bytes(self.rest[:count])
        del self.rest[:count]
        return found

    def _received(self, size: int) -> bytes | memoryview:
        try:
            data = self._link.recv(size)
        except OSError as error:
            raise BrokenError(self, str(error)) from None
        if not data:
            raise ClosedError
        return data

    def wait(self) -> int:
        """Wait until there is something to be read; return how many bytes are there already.

        Raises:
            ClosedError: Nothing will come.
            BrokenError: The side is gone.
        """
        if not self.rest:
            self.rest += self._received(_BUFFER)
        return len(self.rest)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes.

        Raises:
            BrokenError: The side is gone.
        """
        self.hold()
        try:
            self._link.sendall(data)
        except OSError as error:
            raise BrokenError(self, str(error)) from None

    def move(self, count: int, target: Stream) -> None:
        """Move the next bytes to another stream as they are.

        Raises:
            ClosedError: This side ended before; what it sent until then has been moved.
            BrokenError: One of the sides is gone.
        """
        ready = min(count, len(self.rest))
        if ready:
            target.send(self._taken(ready))
            count -= ready
        if count and hasattr(os, "splice") and not (self.tls or target.tls):
            self._splice(count, target)
            return
        while count:
            data = self._received(min(count, _BUFFER))
            target.send(data)
            count -= len(data)

    def _splice(self, count: int, target: Stream) -> None:
        out, into = self._pipe = self._pipe or _wide_pipe()
        while count:
            try:
                moved = os.splice(self.socket.fileno(), into, min(count, _PIPE_SIZE))
            except OSError as error:
                raise BrokenError(self, str(error)) from None
            if not moved:
                raise ClosedError
            count -= moved
            self.hold()
            try:
                while moved:
                    moved -= os.splice(out, target.socket.fileno(), moved)
            except OSError as error:
                raise BrokenError(target, str(error)) from None

    def take(self, count: int) -> bytes:
        """Return the next bytes; raises as `wait` does."""
        while len(self.rest) < count:
            self.rest += self._received(min(_BUFFER, count - len(self.rest)))
        return self._taken(count)

    def drop(self, count: int) -> None:
        """Read the next bytes and forget them; raises as `wait` does."""
        while count:
            count -= len(self._taken(min(count, self.wait())))

    def finish(self, last: bytes | bytearray = b"") -> None:
        """Send the last bytes and say that these were they; the other direction goes on."""
        self.hold()
        with contextlib.suppress(OSError):
            self._link.sendall(last)
            if self.tls:
                self.tls.finish()
            self.socket.shutdown(socket.SHUT_WR)

    def shut(self) -> None:
        """End both directions, and wake who waits in them."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Let the other side see a reset, as after a crash or from a firewall; wake the reader.

        It is sent when the stream is closed; an orderly end, said now, would be seen first.
        """
        self._abrupt = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Give the socket back."""
        with contextlib.suppress(OSError):
            if self._abrupt:
                now = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.socket.close()
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None


def _wide_pipe() -> tuple[int, int]:
    ends = os.pipe()
    with contextlib.suppress(OSError, ImportError):  # a larger pipe only saves time
        import fcntl  # noqa: PLC0415  (Linux has it, and splice is Linux's)

        fcntl.fcntl(ends[1], _SET_PIPE_SIZE, _PIPE_SIZE)
    return ends
