"""The proxy: listens on loopback, two threads a connection, faults from a script.

.. code-block:: python

    with FaultProxy("http://127.0.0.1:9000") as proxy:
        milvus.start(endpoint=proxy.endpoint)
        proxy.script.arm(Fault(Kind.SLOW_DOWN, every=3))

Requests are passed on as they are, Host header included, so their signatures stay valid.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import threading
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from validation.s3.faults.exchange import Exchange
from validation.s3.faults.script import Script
from validation.s3.faults.stream import Stream
from validation.s3.faults.tls import Tls

_CONNECT_SECONDS = 5.0
_ACCEPT_AGAIN_SECONDS = 0.1
_SOCKET_BUFFER = 4 << 20
"""Large, so that a body passes in few calls: half the CPU of the kernel's default (measured)."""


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A server certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return a server's TLS settings with it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class FaultProxy:
    """A proxy in front of one store; a context manager.

    Args:
        upstream: The store's endpoint, ``http(s)://host:port``.
        host: Address of this host to listen on.
        port: To listen on; 0 takes a free one.
        certificate: Speak TLS with it. It can be changed while the proxy runs.
        trusting: The CA that signed the store's certificate, if that speaks TLS.
    """

    def __init__(
        self,
        upstream: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Certificate | None = None,
        trusting: Path | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        tls = parts.scheme == "https"
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or (443 if tls else 80))
        self.script = Script()
        self._outward = ssl.create_default_context(cafile=trusting) if tls else None
        self._inward = certificate.context() if certificate else None
        self._listener = socket.create_server((host, port), backlog=256)
        _tuned(self._listener)  # what it accepts inherits the buffers
        self._open: set[Stream] = set()
        self._lock = threading.Lock()  # for what is open, and for the certificate it shows
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="fault-proxy", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where clients have to connect."""
        scheme = "https" if self._inward else "http"
        host, port = self._listener.getsockname()[:2]
        return f"{scheme}://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.script.disarm()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.hang_up()

    def present(self, certificate: Certificate) -> None:
        """Present another certificate from now on, e.g. one that has expired.

        Open connections are ended, so that clients meet it at once.
        """
        context = certificate.context()
        with self._lock:
            self._inward = context
        self.hang_up()

    def hang_up(self) -> None:
        """End every open connection, also those that have not got further than their handshake."""
        with self._lock:  # none is closed meanwhile, and its number given to another file
            for stream in self._open:
                stream.shut()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                self._admit(self._listener.accept()[0])
            except (OSError, RuntimeError) as error:  # too many open files, or threads
                if not self._ending.is_set():
                    self.script.note_failure(f"accept a connection: {error}")
                    self._ending.wait(_ACCEPT_AGAIN_SECONDS)

    def _admit(self, accepted: socket.socket) -> None:
        with self._lock:  # one that shows the certificate of now is there to be hung up
            tls = Tls(accepted, self._inward) if self._inward else None
            client = Stream(accepted, self.script.wait_while_stopped, tls)
            self._open.add(client)
        try:
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()
        except RuntimeError:
            self._close(client)
            raise

    def _serve(self, client: Stream) -> None:
        streams = [client]
        try:
            self.script.wait_while_stopped()
            if self._agreed(client):
                streams.append(self._store())
                if streams[1].tls:
                    streams[1].tls.handshake()
                Exchange(client, streams[1], self.script).run()
        except Exception as error:  # noqa: BLE001  (or Milvus would be blamed for it)
            self.script.note_failure(f"reach the store: {error}")
        finally:
            self._close(*streams)

    def _close(self, *streams: Stream) -> None:
        with self._lock:
            self._open -= set(streams)
        for stream in streams:
            stream.close()

    def _agreed(self, client: Stream) -> bool:
        """Return whether a client agreed on TLS, if it is spoken, and count why it did not."""
        try:
            if client.tls:
                client.tls.handshake()
        except ssl.SSLEOFError:
            return False  # it went away, or was hung up
        except ssl.SSLError as error:
            reason = str(error.reason or "")
            if "_ALERT_" in reason:
                self.script.note_refusal(reason.partition("_ALERT_")[2].lower().replace("_", " "))
            else:
                self.script.note_failure(f"agree on TLS: {reason.lower().replace('_', ' ')}")
            return False
        except OSError:
            return False
        return True

    def _store(self) -> Stream:
        plain = socket.create_connection(self.upstream, timeout=_CONNECT_SECONDS)
        plain.settimeout(None)
        _tuned(plain)
        tls = Tls(plain, self._outward, self.upstream[0]) if self._outward else None
        store = Stream(plain, self.script.wait_while_stopped, tls)
        with self._lock:
            self._open.add(store)
        return store


def _tuned(plain: socket.socket) -> None:
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        plain.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
