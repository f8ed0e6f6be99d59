"""TLS: what each of Milvus's two clients accepts, each cause of a refusal told apart.

Go verifies with the system's store or SSL_CERT_FILE and wants a subject alternative name; the C++
client reads a CA file through OpenSSL. Both are met by a chain to the declared CA.
"""

from __future__ import annotations

import socket
import ssl
import warnings
from datetime import UTC, datetime
from typing import Any

from validation.errors import UnsupportedError
from validation.s3.conformance.model import Evidence, Need, NotDeclaredError, check, require
from validation.s3.endpoint import CONNECT_SECONDS, asked_of, tls_context
from validation.s3.workspace import Workspace

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""
_TIME_CODES = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_BY = "every role: Go client and C++ client"


def _handshake(space: Workspace, context: ssl.SSLContext) -> dict[str, Any]:
    """Return the peer's certificate and protocol.

    Raises:
        ssl.SSLError: The handshake failed.
    """
    endpoint = asked_of(space.storage)
    if not endpoint.tls:
        raise NotDeclaredError("the endpoint is plain HTTP")
    with (
        socket.create_connection((endpoint.host, endpoint.port), CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as secure,
    ):
        der = secure.getpeercert(binary_form=True) or b""
        return {"parsed": secure.getpeercert() or {}, "der": der, "protocol": secure.version()}


def _pinned(space: Workspace) -> ssl.SSLContext:
    """Return a context that trusts just the certificate that is presented, whoever signed it."""
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=_handshake(space, blind)["der"])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _without_time(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    return context


@check("tls.trusted", by=_BY, breaks="Milvus cannot reach the store (x509: unknown authority)")
def trusted(space: Workspace) -> Evidence:
    """The certificate chains to the declared CA, or to one the system trusts."""
    context = _without_time(tls_context(space.storage))
    context.check_hostname = False
    try:
        found = _handshake(space, context)
    except ssl.SSLCertVerificationError as error:
        require(False, f"the certificate is not trusted: {error.verify_message}")
        return None
    return {"protocol": found["protocol"], "system_store": _system_trusts(space)}


def _system_trusts(space: Workspace) -> bool:
    context = _without_time(ssl.create_default_context())
    context.check_hostname = False
    try:
        _handshake(space, context)
    except ssl.SSLError:
        return False
    return True


@check("tls.host-name", by=_BY, breaks="Milvus cannot reach the store (certificate not valid for)")
def host_name(space: Workspace) -> Evidence:
    """The certificate names the endpoint's host as a subject alternative name."""
    try:
        found = _handshake(space, _without_time(_pinned(space)))
    except ssl.SSLCertVerificationError as error:
        require(False, f"the certificate names another host: {error.verify_message}")
        return None
    return {"names": [value for _, value in found["parsed"].get("subjectAltName", ())]}


@check("tls.validity", by=_BY, breaks="Milvus cannot reach the store (certificate has expired)")
def validity(space: Workspace) -> Evidence:
    """The certificate and all that sign it are valid now."""
    declared = tls_context(space.storage)
    declared.check_hostname = False
    try:
        _handshake(space, declared)
    except ssl.SSLCertVerificationError as error:
        require(error.verify_code not in _TIME_CODES, error.verify_message)
    alone = _pinned(space)
    alone.check_hostname = False
    try:
        found = _handshake(space, alone)
    except ssl.SSLCertVerificationError as error:
        require(False, error.verify_message)
        return None
    end = ssl.cert_time_to_seconds(found["parsed"]["notAfter"])
    return {"days_left": round((end - datetime.now(UTC).timestamp()) / 86_400, 1)}


@check(
    "tls.protocol",
    by="security policy",
    breaks="traffic can be downgraded to protocols that are broken (RFC 8996)",
    need=Need.OPERATION,
)
def protocol(space: Workspace) -> Evidence:
    """TLS 1.1 and older are refused."""
    context = _pinned(space)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # naming the old versions is the point
        try:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        except (ssl.SSLError, ValueError) as error:
            raise UnsupportedError(f"this host's OpenSSL cannot ask for TLS 1.1: {error}") from None
    try:
        found = _handshake(space, context)
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
        reason = str(getattr(error, "reason", "") or "")
        if reason == "NO_PROTOCOLS_AVAILABLE":
            raise UnsupportedError("this host's OpenSSL cannot ask for TLS 1.1") from None
        return {"refused": reason or type(error).__name__}
    require(False, f"{found['protocol']} was accepted")
    return None
