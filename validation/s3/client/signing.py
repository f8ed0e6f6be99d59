"""Signature Version 4, with every way S3 lets a client sign a body.

Written out here because checks have to send what no SDK lets its user send: bodies in signed
chunks as minio-go does over plain HTTP, a tampered chunk, a clock that is wrong, another region.
Rules: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote

from validation.s3.client.endpoint import Keys

_EMPTY = hashlib.sha256(b"").hexdigest()


class Payload(StrEnum):
    """How a body is signed; the value is what ``x-amz-content-sha256`` says."""

    SIGNED = "sha256 of the body"
    UNSIGNED = "UNSIGNED-PAYLOAD"
    CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@dataclasses.dataclass(frozen=True)
class Signer:
    """Signs requests with one key, for one region, at one time."""

    keys: Keys
    region: str
    now: datetime = dataclasses.field(default_factory=lambda: datetime.now(UTC))

    @property
    def timestamp(self) -> str:
        """The time of the request, as its header says it."""
        return self.now.strftime("%Y%m%dT%H%M%SZ")

    @property
    def scope(self) -> str:
        """What the signing key is good for: a day, a region, S3."""
        return f"{self.timestamp[:8]}/{self.region}/s3/aws4_request"

    def sign(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> tuple[str, str]:
        """Return the Authorization header and the signature itself.

        Args:
            method: GET, PUT, ...
            path: Encoded path as it is sent.
            query: Not encoded.
            headers: Lower-case names; all of them are signed; ``x-amz-content-sha256`` is there.
        """
        names = ";".join(sorted(headers))
        signature = self.signature(method, path, query, headers, headers["x-amz-content-sha256"])
        credential = f"Credential={self.keys.access}/{self.scope}"
        return (
            f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}",
            signature,
        )

    def signature(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], payload: str
    ) -> str:
        """Return the signature of a request whose body is described by ``payload``."""
        canonical = "\n".join(
            (
                method,
                path,
                encoded_query(query),
                *(f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)),
                "",
                ";".join(sorted(headers)),
                payload,
            )
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return self._mac(f"AWS4-HMAC-SHA256\n{self.timestamp}\n{self.scope}\n{digest}")

    def chunk(self, previous: str, data: bytes) -> str:
        """Return the signature of one chunk, which follows the ``previous`` one."""
        return self._mac(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self.timestamp}\n{self.scope}\n{previous}\n{_EMPTY}\n"
            + hashlib.sha256(data).hexdigest()
        )

    def trailer(self, previous: str, text: str) -> str:
        """Return the signature of the trailing headers."""
        return self._mac(
            f"AWS4-HMAC-SHA256-TRAILER\n{self.timestamp}\n{self.scope}\n{previous}\n"
            + hashlib.sha256(text.encode()).hexdigest()
        )

    def _mac(self, text: str) -> str:
        key = b"AWS4" + self.keys.secret.encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, text.encode(), "sha256").hexdigest()


def encoded_path(path: str) -> str:
    """Return a path as S3 wants it signed and sent: each byte encoded once, slashes kept."""
    return quote(path, safe="/-_.~")


def encoded_query(query: dict[str, str]) -> str:
    """Return a query string in the order in which it is signed."""
    pairs = sorted(
        (quote(key, safe="-_.~"), quote(value, safe="-_.~")) for key, value in query.items()
    )
    return "&".join(f"{key}={value}" for key, value in pairs)


def framed(
    signer: Signer,
    seed: str,
    chunks: list[bytes],
    *,
    payload: Payload,
    trailer: str = "",
    end: str = "\r\n",
) -> bytes:
    """Return a body in aws-chunked coding.

    Args:
        signer: Signs the chunks where the payload wants that.
        seed: Signature of the request's head.
        chunks: The body, cut.
        payload: One of the three chunked ways.
        trailer: A trailing header as ``name:value``, for the ways that carry one.
        end: What ends that header's line.
    """
    signed = payload is not Payload.UNSIGNED_TRAILER
    parts, previous = [], seed
    for data in [*chunks, b""]:
        mark = ""
        if signed:
            previous = signer.chunk(previous, data)
            mark = f";chunk-signature={previous}"
        after = b"\r\n" if data else b""
        parts.append(f"{len(data):x}{mark}\r\n".encode() + data + after)
    if payload is Payload.CHUNKS:
        return b"".join(parts) + b"\r\n"
    tail = f"{trailer}{end}"
    if signed:
        tail += f"x-amz-trailer-signature:{signer.trailer(previous, trailer + chr(10))}\r\n"
    return b"".join(parts) + tail.encode() + b"\r\n"
