"""One S3 request by hand, for what an SDK will not send; see `validation.s3.client.signing`."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal

from validation.errors import UnreachableError
from validation.s3.client.checksums import checksum
from validation.s3.client.endpoint import (
    READ_SECONDS,
    Keys,
    asked_of,
    endpoint_of,
    keys_of,
    tls_context,
)
from validation.s3.client.patience import MOST_BYTES, whole_body, with_deadline
from validation.s3.client.signing import Payload, Signer, encoded_path, encoded_query, framed
from validation.target import Storage

CHUNK = 65_536
"""Chunk size of minio-go; S3 wants every chunk but the last to have at least 8 KiB."""


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer of the store."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the store did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004

    @property
    def code(self) -> str:
        """The S3 error code; empty if there is none."""
        found = re.search(rb"<Code>([A-Za-z0-9.]+)</Code>", self.body)
        return found.group(1).decode() if found else ""

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


def is_page(body: bytes) -> bool:
    """Return whether a body is a web page; by its type it is not known: emulators tell any."""
    return body[:64].lstrip().lower().startswith((b"<!doctype html", b"<html"))


@dataclasses.dataclass(frozen=True)
class Request:
    """What to send. Everything but method and key has the usual value if left out.

    Args:
        method: GET, PUT, ...
        key: Object key; empty for the bucket itself.
        bucket: The declared one if None.
        query: Query parameters, not encoded.
        headers: Further headers, lower case; they are signed.
        body: The content.
        payload: How the body is signed.
        algorithm: Checksum in the trailer, for payloads with one.
        go: Chunk a body as minio-go does: no Content-Encoding says so, and a trailing header ends
            in an LF of its own before the CRLF.
        streamed: Send the body with Transfer-Encoding: chunked and no Content-Length, as
            aws-sdk-cpp sends what has a trailer.
        keys: The declared ones if None.
        region: The declared one if None.
        skew: Added to the clock.
        addressing: How the bucket is named; as declared if None.
        tamper: Changes the body after it was signed and framed.
        address: Of the endpoint's addresses, the one to connect to; any if None.
    """

    method: str
    key: str = ""
    bucket: str | None = None
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    payload: Payload = Payload.SIGNED
    algorithm: str = ""
    go: bool = False
    streamed: bool = False
    keys: Keys | None = None
    region: str | None = None
    skew: timedelta = timedelta()
    addressing: Literal["path", "virtual"] | None = None
    tamper: Callable[[bytes], bytes] | None = None
    address: str | None = None


def send(storage: Storage, request: Request) -> Reply:
    """Send one signed request on a connection of its own.

    Raises:
        UnreachableError: No answer came.
    """
    target, headers, body = signed(storage, request)
    return exchange(storage, request.method, target, headers, body, address=request.address)


def signed(storage: Storage, request: Request) -> tuple[str, dict[str, str], bytes]:
    """Return what is sent of a request: path and query, headers, body."""
    bucket = request.bucket or storage.bucket
    addressing = request.addressing or storage.addressing
    host, path = located(storage, request.key, bucket=bucket, addressing=addressing)
    signer = Signer(
        request.keys or keys_of(storage),
        request.region or storage.region,
        datetime.now(UTC) + request.skew,
    )
    headers = _head(request, host, signer)
    authorization, seed = signer.sign(request.method, path, dict(request.query), headers)
    body = _body(request, signer, seed)
    if request.tamper is not None:
        body = request.tamper(body)
    target = path + (f"?{encoded_query(dict(request.query))}" if request.query else "")
    more = {"authorization": authorization}
    if request.streamed:
        more |= {"transfer-encoding": "chunked", "expect": "100-continue"}
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        more["content-length"] = str(len(body))
    return target, headers | more, body


def located(
    storage: Storage, key: str = "", *, bucket: str = "", addressing: str = ""
) -> tuple[str, str]:
    """Return the Host header and the encoded path by which a bucket or an object is asked for.

    Args:
        storage: The store.
        key: Object key; empty for the bucket itself.
        bucket: The declared one if left out.
        addressing: ``path`` or ``virtual``; as declared if left out.
    """
    endpoint, bucket = endpoint_of(storage), bucket or storage.bucket
    if (addressing or storage.addressing) == "virtual":
        return endpoint.of_bucket(bucket).netloc, encoded_path(f"/{key}")
    return endpoint.netloc, encoded_path(f"/{bucket}/{key}" if key else f"/{bucket}")


def exchange(
    storage: Storage,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    seconds: float = READ_SECONDS,
    address: str | None = None,
    most: int = MOST_BYTES,
) -> Reply:
    """Send a request as it is and return the answer.

    Args:
        storage: The store.
        method: GET, PUT, ...
        target: Path and query, encoded.
        headers: All of them, Host too.
        body: The content.
        seconds: How long to wait for the whole of the answer.
        address: Connect there; the certificate still has to name the endpoint's host.
        most: How many bytes an answer may have.

    Raises:
        UnreachableError: No answer came, or it had no end.
    """
    connection = unconnected(storage, seconds)
    try:
        if address is not None:
            connection.sock = _connected(storage, address, seconds)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if connection.sock is None:
            connection.connect()
        # Who refuses a request by its head may close before the body is through, and have answered.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body or None)
        answer = with_deadline(connection, seconds).getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, whole_body(answer, most))
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(
            f"{method} got no answer{f' from {address}' if address else ''}:"
            f" {type(error).__name__}: {error}",
            where=storage.endpoint,
            remedy="check the network path and the store's log",
        ) from None
    finally:
        connection.close()


def unconnected(
    storage: Storage, seconds: float, tls: ssl.SSLContext | None = None
) -> http.client.HTTPConnection:
    """Return a connection to the store that is not open yet; TLS settings are made if needed."""
    endpoint = asked_of(storage)
    if not endpoint.tls:
        return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=seconds)
    return http.client.HTTPSConnection(
        endpoint.host, endpoint.port, timeout=seconds, context=tls or tls_context(storage)
    )


def _connected(storage: Storage, address: str, seconds: float) -> socket.socket:
    """Return a connection to one address of the endpoint's host, secured in the host's name."""
    endpoint = asked_of(storage)
    plain = socket.create_connection((address, endpoint.port), timeout=seconds)
    if not endpoint.tls:
        return plain
    return tls_context(storage).wrap_socket(plain, server_hostname=endpoint.host)


def link(storage: Storage, key: str, *, age: timedelta = timedelta(), seconds: int = 60) -> str:
    """Return path and query of a presigned GET; its host is that of `located`.

    Args:
        storage: The store.
        key: What it reads.
        age: How long ago it was made.
        seconds: For how long it is good.
    """
    signer = Signer(keys_of(storage), storage.region, datetime.now(UTC) - age)
    host, path = located(storage, key)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{signer.keys.access}/{signer.scope}",
        "X-Amz-Date": signer.timestamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    query["X-Amz-Signature"] = signer.signature(
        "GET", path, query, {"host": host}, Payload.UNSIGNED.value
    )
    return f"{path}?{encoded_query(query)}"


def _head(request: Request, host: str, signer: Signer) -> dict[str, str]:
    plain = request.payload is Payload.SIGNED
    digest = hashlib.sha256(request.body).hexdigest() if plain else request.payload.value
    headers = {"host": host, "x-amz-date": signer.timestamp, "x-amz-content-sha256": digest}
    if request.payload not in {Payload.SIGNED, Payload.UNSIGNED}:
        if not request.go:
            headers["content-encoding"] = "aws-chunked"
        headers["x-amz-decoded-content-length"] = str(len(request.body))
        if request.payload is not Payload.CHUNKS:
            headers["x-amz-trailer"] = f"x-amz-checksum-{request.algorithm}"
    return headers | dict(request.headers)


def _body(request: Request, signer: Signer, seed: str) -> bytes:
    if request.payload in {Payload.SIGNED, Payload.UNSIGNED}:
        return request.body
    chunks = [request.body[at : at + CHUNK] for at in range(0, len(request.body), CHUNK)]
    trailer = ""
    if request.payload is not Payload.CHUNKS:
        trailer = f"x-amz-checksum-{request.algorithm}:{checksum(request.algorithm, request.body)}"
    end = "\n\r\n" if request.go else "\r\n"
    return framed(signer, seed, chunks, payload=request.payload, trailer=trailer, end=end)
