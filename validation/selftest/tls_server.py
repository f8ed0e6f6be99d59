"""A server that shakes hands in TLS and says nothing more: what a certificate is looked at with."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

_SECONDS = 5.0


@contextlib.contextmanager
def serving(
    pem: Path,
    *,
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    clients: Path | None = None,
) -> Iterator[int]:
    """Serve on loopback meanwhile; yield the port.

    Args:
        pem: Certificate and key.
        oldest: The oldest protocol that is accepted.
        newest: The newest.
        clients: The CA by which clients prove who they are; they need not if left out.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if oldest < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL accepts the old ones no other way
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # naming the old ones is the point
        context.minimum_version = oldest
        context.maximum_version = newest
    context.load_cert_chain(pem)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, context))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes the thread up
            thread.join()


def _serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), plain:
            plain.settimeout(_SECONDS)
            with context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(1)
