"""TLS of an endpoint, asked by doing: each flaw told from the others."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from validation.errors import UnsupportedError

SECONDS = 5.0
_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""
_TIME_CODES = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_WEAK = "eNULL:aNULL:EXPORT:RC4:DES:3DES:@SECLEVEL=0"


@dataclasses.dataclass(frozen=True)
class Peer:
    """An endpoint with TLS.

    Args:
        host: Where it listens.
        port: Where it listens.
        name: What its certificate has to name.
        declared: Makes the settings of a client that trusts whom the target declares.
        identify: Gives settings the client's own certificate, where there is one.
        alpn: The protocols that its clients speak, where it insists on one.
    """

    host: str
    port: int
    name: str
    declared: Callable[[], ssl.SSLContext]
    identify: Callable[[ssl.SSLContext], None] = lambda _: None
    alpn: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Shaken:
    """What came of a handshake: the certificate as far as it was verified, and the protocol."""

    parsed: dict[str, Any]
    der: bytes
    protocol: str
    cipher: str


def handshake(peer: Peer, context: ssl.SSLContext) -> Shaken:
    """Return what a handshake shows.

    Raises:
        ssl.SSLError: It failed.
        OSError: Nothing answers.
    """
    if peer.alpn:
        context.set_alpn_protocols(list(peer.alpn))
    with (
        socket.create_connection((peer.host, peer.port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=peer.name) as secure,
    ):
        return Shaken(
            parsed=secure.getpeercert() or {},
            der=secure.getpeercert(binary_form=True) or b"",
            protocol=secure.version() or "",
            cipher=(secure.cipher() or ("",))[0],
        )


def _blind(peer: Peer) -> ssl.SSLContext:
    """Return the client's settings, without any look at the certificate."""
    context = peer.declared()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _pinned(peer: Peer) -> ssl.SSLContext:
    """Return a context that trusts just the certificate that is presented, whoever signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    peer.identify(context)  # mutual TLS refuses whoever has none, before anything is told
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=handshake(peer, _blind(peer)).der)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _without_time(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    return context


def _why_refused(peer: Peer, context: ssl.SSLContext) -> str:
    try:
        handshake(peer, context)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


def untrusted(peer: Peer) -> str:
    """Return why the certificate does not chain to whom we trust; empty if it does."""
    context = _without_time(peer.declared())
    context.check_hostname = False
    return _why_refused(peer, context)


def misnamed(peer: Peer) -> str:
    """Return why the certificate does not name the endpoint; empty if it does."""
    return _why_refused(peer, _without_time(_pinned(peer)))


def out_of_time(peer: Peer) -> str:
    """Return why the certificate, or one that signs it, is not valid now; empty if all are."""
    declared = peer.declared()
    declared.check_hostname = False
    try:
        handshake(peer, declared)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _TIME_CODES:
            return error.verify_message
    alone = _pinned(peer)
    alone.check_hostname = False
    return _why_refused(peer, alone)


def parsed(peer: Peer) -> dict[str, Any]:
    """Return the certificate as it is shown, whether or not it is valid."""
    context = _without_time(_pinned(peer))
    context.check_hostname = False
    return handshake(peer, context).parsed


def days_left(peer: Peer) -> float:
    """Return for how many days the certificate is still valid; none are left of an expired one."""
    end = ssl.cert_time_to_seconds(parsed(peer)["notAfter"])
    return max(0.0, round((end - datetime.now(UTC).timestamp()) / 86_400, 1))


def _accepted(peer: Peer, ciphers: str, newest: ssl.TLSVersion, what: str) -> Shaken | str:
    """Offer nothing but this; return what was agreed on, or how it was refused.

    Raises:
        UnsupportedError: This host's OpenSSL cannot offer it, or ended the handshake itself.
    """
    context = _blind(peer)
    cannot = f"this host's OpenSSL cannot ask for {what}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # naming the old versions is the point
        try:
            context.set_ciphers(ciphers)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
        except (ssl.SSLError, ValueError):
            raise UnsupportedError(cannot) from None
    try:
        return handshake(peer, context)
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
        reason = str(getattr(error, "reason", "") or "") or type(error).__name__
        if not _by_the_peer(error, reason):
            raise UnsupportedError(f"{cannot}: {reason}") from None
        return reason


def _by_the_peer(error: OSError, reason: str) -> bool:
    """Tell whether the other side ended a handshake: by an alert, or by hanging up.

    Any other error is of the OpenSSL of this host, which its own policy may forbid what is asked.
    """
    ended = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    return not isinstance(error, ssl.SSLError) or ended or "ALERT" in reason or "EOF" in reason


def old_protocol(peer: Peer) -> Shaken | str:
    """Return what came of offering TLS 1.1 and older: an agreement, or how it was refused."""
    return _accepted(peer, "ALL:@SECLEVEL=0", ssl.TLSVersion.TLSv1_1, "TLS 1.1")


def weak_cipher(peer: Peer) -> Shaken | str:
    """Return the same of ciphers that are broken, or without encryption or authentication."""
    return _accepted(peer, _WEAK, ssl.TLSVersion.TLSv1_2, "broken ciphers")
