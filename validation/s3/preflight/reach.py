"""Is there an S3 store at this endpoint at all? Each way there may not be one has its own words.

SDKs report a web console, a redirect loop or a TLS port as parse errors or broken connections.
Asking by hand, once, before anything else, tells them apart.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import ssl
from http import HTTPStatus
from typing import Any
from xml.etree import ElementTree as ET

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError

from validation.common.proxies import passed_over
from validation.common.stores import BUCKET
from validation.errors import ConfigurationError, MilvusKitError, UnreachableError
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Endpoint,
    addresses_of,
    asked_of,
    endpoint_of,
    keys_of,
    tls_context,
)
from validation.s3.client.failures import bucket_in_host, error_code, status_of, translated
from validation.s3.client.wire import Reply, exchange, is_page, located
from validation.target import Storage

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BARE = frozenset({301, 307, 400, 403})
"""Refusals whose cause is in a body, which the answer to HEAD does not have."""
_MOST_BYTES = 1 << 20
"""More than any answer of S3 to the first question; a stream without end is none."""


@dataclasses.dataclass(frozen=True)
class Reached:
    """What was found at the endpoint.

    Args:
        server: What the store calls itself, from its Server header.
        addresses: What its name resolves to.
        tls_problem: Why its certificate is refused; empty if it is accepted or there is no TLS.
    """

    server: str
    addresses: tuple[str, ...]
    tls_problem: str = ""


def reach(storage: Storage, *, seconds: float = READ_SECONDS) -> Reached:
    """Make sure that an S3 store answers at the endpoint and lets our keys use the bucket.

    A certificate that is refused is not an error here but a finding, because the TLS checks judge
    it; nothing but those can be measured then.

    Raises:
        UnreachableError: Nothing answers, or not as S3.
        CredentialsError: The store refuses the keys.
        ConfigurationError: The contract is wrong, or there is no such bucket.
    """
    require_bucket_name(storage.bucket, "storage.bucket")
    _require_name_below(storage)
    endpoint = asked_of(storage)
    keys_of(storage)
    addresses = _resolve(storage, endpoint)
    _open(storage, endpoint)
    if endpoint.tls:
        problem = _tls_problem(storage, endpoint)
        if problem:
            return Reached("", addresses, problem)
    else:
        _refuse_tls_port(storage, endpoint, seconds)
    reply = _ask(storage, endpoint, seconds)
    with translated(storage):
        _head(connect(storage, read_seconds=seconds), storage)
    return Reached(reply.headers.get("server", ""), addresses)


def _head(client: Any, storage: Storage) -> None:
    """Ask for the bucket as Milvus does; where that is refused, find out why.

    The answer to HEAD has no body, so it never says what is wrong: a key, a region or a clock.
    """
    try:
        client.head_bucket(Bucket=storage.bucket)
    except boto.ClientError as error:
        if status_of(error) in _BARE:
            _ask_why(client, storage, status_of(error))
        raise


def _ask_why(client: Any, storage: Storage, status: int) -> None:
    """Raise the first refusal with a code of S3's that explains one with a status alone."""
    ours = f"{storage.root}/".lstrip("/")  # elsewhere a good key may be refused
    asks = (
        lambda: client.get_bucket_location(Bucket=storage.bucket),
        lambda: client.list_objects_v2(Bucket=storage.bucket, Prefix=ours, MaxKeys=1),
    )
    for ask in asks:
        try:
            ask()
        except boto.ClientError as error:
            code = error_code(error)
            denied = code == "AccessDenied" and status != HTTPStatus.FORBIDDEN
            if code != str(status_of(error)) and not denied:
                raise
        except (boto.BotoCoreError, ResponseParserError, ET.ParseError):
            continue  # an answer that cannot be read explains nothing


def _require_name_below(storage: Storage) -> None:
    """Make sure that the bucket can have a name of its own where virtual-host style is declared.

    Raises:
        ConfigurationError: The endpoint is an address.
    """
    if storage.addressing == "virtual" and endpoint_of(storage).numeric:
        raise ConfigurationError(
            "virtual-host style needs an endpoint with a name: none can stand below an address",
            where="addressing",
            seen=storage.endpoint,
            remedy="give the endpoint by its name in DNS, or use --addressing path"
            " (storage.addressing)",
        )


def require_bucket_name(name: str, where: str) -> None:
    """Make sure that a bucket can have this name, as Milvus's client in Go takes them.

    Args:
        name: The name.
        where: Who gave it.

    Raises:
        ConfigurationError: No bucket can.
    """
    if not re.fullmatch(BUCKET, name):
        raise ConfigurationError(
            "no bucket can have this name",
            where=where,
            seen=name,
            remedy="a bucket's name has letters, digits, dots, dashes and underscores",
        )


def _resolve(storage: Storage, endpoint: Endpoint) -> tuple[str, ...]:
    try:
        return addresses_of(endpoint)
    except (socket.gaierror, UnicodeError):
        remedy = "correct the name, or add it to DNS as seen from this host and from the cluster"
        if storage.addressing == "virtual":
            remedy = (
                "virtual-host style asks for the bucket by this name: add it to DNS (a wildcard"
                " below the endpoint's name), or use --addressing path (storage.addressing)"
            )
        raise UnreachableError(
            "the host name does not resolve",
            where=storage.endpoint,
            seen=endpoint.host,
            remedy=bucket_in_host(storage) or passed_over(remedy),
        ) from None


def _open(storage: Storage, endpoint: Endpoint) -> None:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT_SECONDS):
            return
    except TimeoutError:
        what = f"no connection within {CONNECT_SECONDS:g} s"
    except OSError as error:
        what = f"nothing listens there: {error.strerror or error}"
    raise UnreachableError(
        what,
        where=storage.endpoint,
        remedy=passed_over("check host, port and firewall, and that it is up"),
    )


def _tls_problem(storage: Storage, endpoint: Endpoint) -> str:
    """Return why the certificate is refused; empty if it is accepted.

    Raises:
        UnreachableError: What listens there does not speak TLS.
    """
    context = tls_context(storage)
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", "") or type(error).__name__
        raise UnreachableError(
            "this port does not speak TLS",
            where=storage.endpoint,
            seen=reason,
            remedy="use http:// if the store has no TLS, or give its TLS port",
        ) from None


def _refuse_tls_port(storage: Storage, endpoint: Endpoint, seconds: float) -> None:
    """Find out whether a port meant for plain HTTP speaks TLS.

    Raises:
        UnreachableError: It does.
    """
    request = f"HEAD / HTTP/1.1\r\nHost: {endpoint.netloc}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((endpoint.host, endpoint.port), CONNECT_SECONDS) as plain:
            plain.settimeout(seconds)
            plain.sendall(request.encode())
            first = plain.recv(512)
    except OSError:
        return  # whatever this is, the next request names it
    if first[:2] == b"\x15\x03" or b"HTTP request to an HTTPS" in first or _alert(first):
        raise UnreachableError(
            "this port speaks TLS and was asked in plain HTTP",
            where=storage.endpoint,
            remedy="use https:// and give the CA in storage.tls",
        )


def _alert(first: bytes) -> bool:
    """Return whether the answer is a bare refusal, as TLS ports of some servers give."""
    return b"400" in first[:16] and b"TLS" in first


def _ask(storage: Storage, endpoint: Endpoint, seconds: float) -> Reply:
    """Ask for the bucket without signing; any answer of S3 will do, also a refusal.

    Raises:
        UnreachableError: The answer is none, or not S3's.
    """
    _, path = located(storage)
    target, seen = f"{path}?location=", []
    for _ in range(5):
        reply = _exchange(storage, target, seconds)
        if reply.status not in _REDIRECTS:
            return _as_s3(storage, reply)
        if reply.code:
            return reply  # S3's own redirect: the signed request will name the region
        target = reply.headers.get("location", "")
        seen.append(target)
        if not target.startswith("/"):
            scheme = "https" if endpoint.tls else "http"
            here = f"{scheme}://{endpoint.netloc}"
            if not f"{target}/".startswith(f"{here}/"):  # host:80 is no beginning of host:8080
                raise UnreachableError(
                    "the endpoint sends us elsewhere",
                    where=storage.endpoint,
                    seen=target,
                    remedy="give the S3 data endpoint itself, not a console or a redirector",
                )
            target = target.removeprefix(here) or "/"
    raise UnreachableError(
        "the endpoint redirects in a loop",
        where=storage.endpoint,
        seen=seen[-1],
        remedy="give the S3 data endpoint itself, not a console or a redirector",
    )


def _exchange(storage: Storage, target: str, seconds: float) -> Reply:
    try:
        host, _ = located(storage)
        return exchange(storage, "GET", target, {"host": host}, seconds=seconds, most=_MOST_BYTES)
    except MilvusKitError as error:
        if "timed out" in error.what:
            raise UnreachableError(
                f"no answer within {seconds:g} s",
                where=storage.endpoint,
                remedy="look at the store's load and at what stands between",
            ) from None
        raise UnreachableError(
            f"what listens there does not answer as HTTP: {error.what}",
            where=storage.endpoint,
            remedy="check the port, and whether it wants https://",
        ) from None


def _as_s3(storage: Storage, reply: Reply) -> Reply:
    start = reply.body[:2000].lstrip().lower()
    if re.match(rb"(<\?xml[^>]*>\s*)?<(error|locationconstraint|listbucketresult)\b", start):
        return reply
    page = is_page(start) or "text/html" in reply.headers.get("content-type", "")
    raise UnreachableError(
        "a web page answers, not S3" if page else "the answer is not S3's XML",
        where=storage.endpoint,
        seen=f"HTTP {reply.status}, {reply.headers.get('content-type', 'no content type')}",
        remedy="this may be a console or a proxy: give the S3 data endpoint and its port",
    )
