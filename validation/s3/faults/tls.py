"""TLS over a connected socket, for one thread that reads beside another that writes.

`ssl.SSLSocket` isn't made for that: OpenSSL's state must not be used by two threads at once, and
where Python locks it (3.13.6), a read that waits keeps the other thread from writing. Here the
lock is held only while bytes are en- or decrypted in memory, never while the network is waited for.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import cast

_PIECE = 1 << 18
"""As many bytes are sent or received in one call: several records of TLS, which are 16 KiB."""
_ROOM = 2 * _PIECE
"""For what is in a piece, and the record that the last one began."""


class Tls:
    """One side's TLS; reads and writes as a socket does.

    Args:
        plain: A connected, blocking socket. It stays the caller's, to shut down and to close.
        context: The settings.
        name: Of the server, where this side is the client.
    """

    def __init__(
        self, plain: socket.socket, context: ssl.SSLContext, name: str | None = None
    ) -> None:
        self._plain = plain
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._state = context.wrap_bio(
            self._arrived, self._leaving, server_side=name is None, server_hostname=name
        )
        self._using = threading.Lock()
        self._sending = threading.Lock()  # what is encrypted leaves in that order
        self._clear = memoryview(bytearray(_ROOM))
        self._at = self._until = 0  # what was decrypted and is still to be read
        self._ended = False

    def handshake(self) -> None:
        """Agree with the other side.

        Raises:
            ssl.SSLError: It came to no agreement; the reason names the other side's alert, if any.
            OSError: The other side is gone.
        """
        while True:
            try:
                self._state.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            else:
                self._flush()
                return

    def recv(self, size: int) -> memoryview:
        """Return some bytes, which hold until the next call; none once the other side has ended.

        Raises:
            OSError: The other side is gone, or what it sends is not TLS.
        """
        while True:
            with self._using:
                self._decrypt()
                found = self._clear[self._at : min(self._at + size, self._until)]
                self._at += len(found)
                asked_for_more = self._leaving.pending  # e.g. an answer to new keys
            if asked_for_more:
                self._flush()
            if found or self._ended:
                return found
            self._receive()

    def _receive(self) -> None:
        data = self._plain.recv(_PIECE)
        with self._using:
            if data:
                self._arrived.write(data)
            else:
                self._arrived.write_eof()

    def _decrypt(self) -> None:
        """Read all there is: what is left would be lost when the other thread calls `finish`."""
        if self._at == self._until:
            self._at = self._until = 0
        while not self._ended:
            try:
                # Into a buffer it returns how many, which its type does not say.
                read = cast("int", self._state.read(_ROOM, self._clear[self._until :]))
            except ssl.SSLWantReadError:
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                read = 0
            self._until += read
            self._ended = not read

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it.

        Raises:
            OSError: The other side is gone.
        """
        view = memoryview(data)
        for at in range(0, len(view), _PIECE):
            self._flush(view[at : at + _PIECE])

    def _flush(self, data: memoryview | bytes = b"") -> None:
        with self._sending:
            with self._using:
                while data:
                    data = data[self._state.write(data) :]
                leaving = self._leaving.read()
            if leaving:
                self._plain.sendall(leaving)

    def finish(self) -> None:
        """Say that no more will be sent; reading goes on.

        Raises:
            OSError: The other side is gone.
        """
        with self._using, contextlib.suppress(ssl.SSLError):
            self._state.unwrap()  # in vain as long as the other side has not ended, too
        self._flush()
