"""Header blocks: the one that every request carries, and those that come back.

We announce a header table of size 0, so a peer's blocks depend on nothing that came before: equal
bytes mean equal headers. A block that was seen is looked up; only a new one is decoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import hpack

from validation.load.http2.frames import ProtocolError

_KNOWN_AT_MOST = 256
_STATUS = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)
"""gRPC's status codes, in order of their numbers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fields:
    """What one header block says.

    Args:
        http: HTTP's status; empty in trailers.
        grpc: gRPC's status; empty where it is not said.
        encoding: How messages are compressed; empty if they are not.
    """

    http: str = ""
    grpc: str = ""
    encoding: str = ""

    @property
    def failure(self) -> str:
        """Why the call failed, in words that are the same for all failures of a kind; or empty."""
        if self.grpc == "0":
            return ""
        if self.grpc:
            return f"gRPC {status_name(self.grpc)}"
        return f"HTTP {self.http}" if self.http not in {"", "200"} else "a reply without a status"


class Blocks:
    """Decodes the header blocks of one connection."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()
        self._known: dict[bytes, Fields] = {}

    def read(self, block: bytes) -> Fields:
        """Return what a header block says.

        Raises:
            ProtocolError: It cannot be decoded.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            fields = {_text(name): _text(value) for name, value in self._decoder.decode(block)}
        except hpack.HPACKError as error:
            raise ProtocolError(f"a header block cannot be read: {error}") from None
        found = Fields(
            fields.get(":status", ""),
            fields.get("grpc-status", ""),
            fields.get("grpc-encoding", ""),
        )
        if len(self._known) < _KNOWN_AT_MOST:
            self._known[block] = found
        return found


def request_block(
    path: str,
    *,
    authority: str,
    secure: bool,
    deadline: float,
    metadata: Iterable[tuple[str, str]],
) -> bytes:
    """Return the header block of a unary gRPC call; it may be sent any number of times.

    Nothing of it enters the peer's table: every field that is not in HPACK's own is a literal that
    is never indexed, which also keeps a token out of the tables of whatever stands between.

    Args:
        path: ``/package.Service/Method``.
        authority: The server as the client knows it.
        secure: Whether it goes over TLS.
        deadline: Of the call, in seconds.
        metadata: Further headers.
    """
    fields = [
        (":method", "POST"),
        (":scheme", "https" if secure else "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", f"{max(1, round(deadline * 1000))}m"),
        *metadata,
    ]
    literals = [hpack.NeverIndexedHeaderTuple(name, value) for name, value in fields]
    return hpack.Encoder().encode(literals, huffman=False)


def status_name(code: str) -> str:
    """Return a gRPC status as gRPC calls it, e.g. ``UNAVAILABLE``."""
    known = code.isdecimal() and int(code) < len(_STATUS)
    return _STATUS[int(code)] if known else f"status {code[:20]}"


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
