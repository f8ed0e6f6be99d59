"""A connection to an endpoint that never blocks: TCP, TLS where the endpoint has it, HTTP/2."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from validation.load.http2.frames import ProtocolError
from validation.load.http2.protocol import Answer, Calls
from validation.milvus.wire import Endpoint

_READ_BYTES = 2**18
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Between attempts to connect: doubled each time, as gRPC does."""


class Channel:
    """One connection; when it is lost, the next call makes it anew.

    Args:
        endpoint: The server.
        blocks: The header blocks of calls.

    Attributes:
        calls: The HTTP/2 connection; None while there is none.
        failure: Why the last attempt failed or the connection was lost; empty while there is one.

    Raises:
        OSError: The host's name is not known.
        ssl.SSLError: A certificate or key of ours cannot be read.
    """

    def __init__(self, endpoint: Endpoint, *blocks: bytes) -> None:
        parts = urlsplit(f"//{endpoint.address}")
        host = parts.hostname or ""
        self._addresses = socket.getaddrinfo(host, parts.port, type=socket.SOCK_STREAM)
        self._name = endpoint.server_name or host
        self._context = _context(endpoint) if endpoint.secure else None
        self._blocks = blocks
        self._attempts = 0
        self._pause = _FIRST_PAUSE
        self._again_at = 0.0
        self._socket: socket.socket | None = None
        self._connecting = False
        self.calls: Calls | None = None
        self.failure = ""

    @property
    def socket(self) -> socket.socket | None:
        """The socket to wait for; None while there is none."""
        return self._socket

    @property
    def room(self) -> int:
        """How many calls may be started now; 0 while it is being connected."""
        return self.calls.room if self.calls is not None else 0

    @property
    def connecting(self) -> bool:
        """Whether it is being connected: who waits may get `room`."""
        return self._socket is not None and self.calls is None

    @property
    def wants_to_write(self) -> bool:
        """Whether there is something to do once the socket takes bytes."""
        return self._connecting or (self.calls is not None and bool(self.calls.out))

    def connect(self) -> bool:
        """Begin to connect, unless the last attempt failed a moment ago; return whether it does."""
        if self._socket is not None or time.monotonic() < self._again_at:
            return self._socket is not None
        family, kind, protocol, _, address = self._addresses[self._attempts % len(self._addresses)]
        self._attempts += 1
        self._socket = one = socket.socket(family, kind, protocol)
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connecting = True
        code = one.connect_ex(address)
        if code not in {0, errno.EINPROGRESS}:
            self._lose(f"no connection: {os.strerror(code)}")
        return self._socket is not None

    def advance(self, *, readable: bool) -> list[Answer]:
        """Do what can be done now and return the calls that ended.

        Args:
            readable: Whether there is something to be read.
        """
        ended: list[Answer] = []
        try:
            if self._socket is None or (self.calls is None and not self._connected()):
                return ended
            if readable:
                self._read(ended)
            self._write()
        except (OSError, ProtocolError) as error:
            return ended + self._lose(_told(error, connected=self.calls is not None))
        if self.calls is not None and self.calls.closing and not self.calls.under_way:
            return ended + self._lose(self.calls.closing, pause=False)
        return ended

    def _write(self) -> None:
        out = self.calls.out if self.calls is not None else None
        if out and self._socket is not None:
            try:
                del out[: self._socket.send(out)]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return

    def close(self) -> None:
        """Close it; calls under way are forgotten."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self.calls = None, None

    def _connected(self) -> bool:
        """Go on with connecting and the TLS handshake; return whether both are done."""
        assert self._socket is not None  # noqa: S101  (the caller looked)
        if self._connecting and not isinstance(self._socket, ssl.SSLSocket):
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            if self._context is not None:
                self._socket = self._context.wrap_socket(
                    self._socket, server_hostname=self._name, do_handshake_on_connect=False
                )
        if isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.do_handshake()
            except ssl.SSLWantReadError:
                self._connecting = False
                return False
            except ssl.SSLWantWriteError:
                self._connecting = True
                return False
            if self._socket.selected_alpn_protocol() != "h2":
                raise ProtocolError("the server does not offer HTTP/2 over TLS")
        self._connecting = False
        self.calls, self.failure, self._pause = Calls(*self._blocks), "", _FIRST_PAUSE
        return True

    def _read(self, ended: list[Answer]) -> None:
        assert self._socket is not None and self.calls is not None  # noqa: S101, PT018
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise ConnectionAbortedError("closed by the server")
            ended += self.calls.receive(data)
            # What TLS has taken from the socket and not handed over, no selector tells of.
            if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                return

    def _lose(self, why: str, *, pause: bool = True) -> list[Answer]:
        ended = self.calls.lost(why) if self.calls is not None else []
        self.close()
        self._connecting, self.failure = False, why
        if pause:
            self._again_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return ended


def _told(error: Exception, *, connected: bool) -> str:
    """Return why a connection failed, in words that are the same for all failures of a kind."""
    if isinstance(error, ProtocolError):
        return f"HTTP/2: {error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'failed').replace('_', ' ').lower()}"
    start = "connection lost" if connected else "no connection"
    text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return f"{start}: {text}"


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yield a path under which some bytes can be read that are on no disk."""
    number = os.memfd_create("milvus-kit")
    try:
        os.write(number, content)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    roots = endpoint.root_certificates
    context = ssl.create_default_context(cadata=roots.decode() if roots else None)
    context.set_alpn_protocols(["h2"])
    if endpoint.certificate is not None:
        # The standard library takes them as files only: these two are in memory alone.
        with (
            _in_memory(endpoint.certificate) as certificate,
            _in_memory(endpoint.key or b"") as key,
        ):
            context.load_cert_chain(certificate, key)
    return context
