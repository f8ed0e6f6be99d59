"""What went wrong between us and a Milvus server, in words: one mapping for all calls.

gRPC and pymilvus report a wrong port, a wrong password and a missing certificate with the same
exception and a C++ debug string. Here the string is read once, and the user gets the endpoint, the
fact and the next step.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NoReturn

import grpc

from validation.common.proxies import passed_over
from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MeasurementError,
    MilvusKitError,
    UnreachableError,
)

RATE_LIMITED = 8
"""Milvus's code for "not so fast": the same request succeeds a little later."""
DENIED_BY_QUOTA = 9
_DATABASE_NOT_FOUND = 800
_DENIED = (1400, 1401)  # Milvus: privilege not authenticated, privilege not permitted

_NOT_READY = re.compile(r"not ready|not healthy|initializing", re.IGNORECASE)
_LIMITS = {
    RATE_LIMITED: (
        "Milvus limits the rate of requests, and waiting did not help",
        "raise the limit (quotaAndLimits), or ask for less (--rows)",
    ),
    DENIED_BY_QUOTA: (
        "Milvus refuses this for a quota: memory, disk or its time tick's delay",
        "free what is used up, or raise the limit that it names (quotaAndLimits.limitWriting)",
    ),
}

# A sign in gRPC's text, what it means, what to do. The first that is found counts.
_SIGNS = (
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "its certificate is not signed by a CA we trust",
        "give the CA that signed it in milvus.tls.ca_file or ca_pem",
    ),
    (
        ("Hostname Verification", "Peer name", "not in peer certificate"),
        "its certificate is for another name",
        "use the name in the certificate in the URI, or set milvus.tls.server_name",
    ),
    (
        ("WRONG_VERSION_NUMBER", "wrong version number", "RECORD_LAYER_FAILURE"),
        "we speak TLS and the server does not",
        "write http:// and tls mode off, or switch on TLS in the server",
    ),
    (
        ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "certificate required"),
        "it wants a client certificate",
        "set tls mode mutual with client_certificate_file and client_key_file",
    ),
    (
        ("Ssl handshake failed", "SSL_ERROR", "tls handshake", "TLS handshake"),
        "the TLS handshake failed",
        "check that the server has TLS switched on, and the certificates in milvus.tls",
    ),
    (
        ("name resolution", "DNS", "resolving", "hostname lookup", "Domain name not found"),
        "the host name is not known",
        "check the spelling of the URI and the name server",
    ),
    (
        ("Connection refused",),
        "nothing listens on that port",
        "check host and port (Milvus's default is 19530) and that Milvus runs",
    ),
    (
        ("http1.x", "HTTP/2", "http2 header", "Trying to connect an http1"),
        "something answers, but it does not speak gRPC",
        "give Milvus's gRPC port (default 19530)",
    ),
    (
        ("Socket closed", "Connection reset", "connection reset", "GOAWAY", "Broken pipe"),
        "the server closes the connection",
        "if it has TLS switched on, write https:// and set milvus.tls",
    ),
    (
        ("No route to host", "Network is unreachable", "timed out", "Timeout occurred"),
        "there is no way to that host",
        "check the route and the firewall",
    ),
)


@contextlib.contextmanager
def explained(endpoint: str, doing: str) -> Iterator[None]:
    """Turn whatever pymilvus and gRPC raise in the block into an error of ours.

    Args:
        endpoint: How the server is called in the target.
        doing: What is done, such as ``search mk_generated``.
    """
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415  (slow to import)

    try:
        yield
    except (grpc.RpcError, MilvusException) as error:
        fail(error, endpoint=endpoint, doing=doing)


def fail(error: BaseException, *, endpoint: str, doing: str) -> NoReturn:
    """Raise the error of ours that says what this one means."""
    raise explain(error, endpoint=endpoint, doing=doing) from None


def explain(error: BaseException, *, endpoint: str, doing: str) -> MilvusKitError:
    """Return the error of ours that says what this one means.

    Args:
        error: Raised by gRPC or pymilvus; its causes are looked at, too.
        endpoint: How the server is called in the target.
        doing: What was being done.
    """
    call = _rpc_error(error)
    if call is not None:
        return _of_call(call, endpoint, doing)
    code = getattr(error, "code", 0)
    return of_status(
        # Where pymilvus gave up retrying, its code is gRPC's status and no number of Milvus's.
        code if isinstance(code, int) else 0,
        str(getattr(error, "message", error)),
        endpoint=endpoint,
        doing=doing,
    )


def of_status(code: int, reason: str, *, endpoint: str, doing: str) -> MilvusKitError:
    """Return the error for a status that Milvus itself answered with."""
    if "auth check failure" in reason or "unauthenticated" in reason.lower():
        return _refused(endpoint)
    if code in _DENIED or "PrivilegeNotPermitted" in reason or "permission deny" in reason:
        return _not_allowed(doing, endpoint, reason)
    if code == _DATABASE_NOT_FOUND or "database not found" in reason:
        return ConfigurationError(
            "there is no such database",
            where=f"{endpoint}: milvus.database",
            seen=_short(reason),
            remedy="create it, or name another",
        )
    if _NOT_READY.search(reason):
        return UnreachableError(
            f"cannot {doing}: Milvus is not ready yet",
            where=endpoint,
            seen=_short(reason),
            remedy="wait until it is (/healthz of its port 9091 says OK), then run it again; its"
            " log says what it waits for",
        )
    if code in _LIMITS:
        what, remedy = _LIMITS[code]
        return MeasurementError(
            f"{what}, to {doing}", where=endpoint, seen=_short(reason), remedy=remedy
        )
    return MeasurementError(
        f"Milvus could not {doing}",
        where=endpoint,
        seen=f"{_short(reason)} (code {code})",
        remedy="Milvus's log holds the details",
    )


def _not_allowed(doing: str, endpoint: str, said: str) -> CredentialsError:
    return CredentialsError(
        f"the user may not {doing}",
        where=endpoint,
        seen=_short(said),
        remedy="grant the role of the user in milvus.auth this privilege",
    )


def _rpc_error(error: BaseException | None) -> grpc.RpcError | None:
    """Return the failed call behind an error; pymilvus keeps it as the cause."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, grpc.RpcError):
            return error
        seen.add(id(error))
        error = error.__cause__
    return None


def _of_call(call: grpc.RpcError, endpoint: str, doing: str) -> MilvusKitError:
    status = call.code() if isinstance(call, grpc.Call) else None
    details = (call.details() if isinstance(call, grpc.Call) else str(call)) or ""
    if status is grpc.StatusCode.UNAUTHENTICATED or "auth check failure" in details:
        return _refused(endpoint)
    if status is grpc.StatusCode.PERMISSION_DENIED:
        return _not_allowed(doing, endpoint, details)
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and "rate" in details:
        return of_status(RATE_LIMITED, details, endpoint=endpoint, doing=doing)
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return MeasurementError(
            f"a message was larger than the server takes, to {doing}",
            where=endpoint,
            seen=_short(details),
            remedy="use smaller batches, or raise proxy.grpc.serverMaxRecvSize",
        )
    unknown = _STATUSES.get(status, (str(status), "check that Milvus runs; see its log"))
    signed = (told for signs, *told in _SIGNS if any(sign in details for sign in signs))
    what, remedy = next(signed, unknown)
    return UnreachableError(
        f"cannot {doing}: {what}",
        where=endpoint,
        seen=_short(details),
        remedy=passed_over(remedy),
    )


_STATUSES: dict[grpc.StatusCode | None, tuple[str, str]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "no answer in time",
        "check the route, the firewall and the server's load",
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
        "what answers does not know this call",
        "give the endpoint of a Milvus 2.3 or later",
    ),
    grpc.StatusCode.UNAVAILABLE: (
        "the server is not available",
        "check that Milvus runs; its log holds the details",
    ),
}


def _refused(endpoint: str) -> CredentialsError:
    return CredentialsError(
        "Milvus refuses this user and password",
        where=endpoint,
        remedy="check milvus.auth.user and the secret that milvus.auth.password points at",
    )


def _short(text: str) -> str:
    """Return the first line, from the last error on; the rest is C++ files and line numbers."""
    lines = text.strip().splitlines()
    return lines[0].rpartition("last error: ")[2][:400] if lines else "no details"
