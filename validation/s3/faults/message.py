"""Heads and bodies of HTTP/1.1 as S3 clients and stores speak it, understood to find their ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Self

from validation.s3.faults.stream import Stream, UnreadableError

Piece = bytes | int
"""Of a body: framing, to be passed on as it is, or how many bytes of content come next."""

_NO_BODY = frozenset({204, 304})
_CONTINUE, _SWITCHING_PROTOCOLS, _FINAL = 100, 101, 200


class _Head:
    """A head; ``raw`` is what is passed on."""

    pattern: ClassVar[re.Pattern[str]]

    def __init__(self, raw: bytes) -> None:
        first, *lines = raw.decode("latin-1").strip("\r\n").split("\n")
        found = self.pattern.match(first)
        pairs = (line.partition(":") for line in lines)
        self.fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = self.fields.get("content-length", "0")
        if found is None or not length.isdecimal():
            raise UnreadableError("a head that is not HTTP/1.1")
        self.raw, self.first = raw, found

    @classmethod
    def read(cls, stream: Stream) -> Self:
        """Read a head from a stream.

        Raises:
            UnreadableError: It is none; its bytes are still to be read.
        """
        raw = stream.read_head()
        try:
            return cls(raw)
        except UnreadableError:
            stream.rest[:0] = raw
            raise

    @property
    def length(self) -> int | None:
        """Length of the body, where the head tells it."""
        if self._chunked or "content-length" not in self.fields:
            return None
        return int(self.fields["content-length"])

    @property
    def _chunked(self) -> bool:
        codings = self.fields.get("transfer-encoding", "").lower()
        return codings.rpartition(",")[2].strip() == "chunked"

    def _body(self, stream: Stream) -> Iterator[Piece]:
        if self._chunked:
            yield from _chunks(stream)
        elif self.length:
            yield self.length


class Request(_Head):
    """The head of a request."""

    pattern = re.compile(r"(?P<method>\S+) (?P<path>\S+) HTTP/1\.\d\s*$")

    @property
    def method(self) -> str:
        """What is asked for."""
        return self.first["method"]

    @property
    def path(self) -> str:
        """Of what, with the query."""
        return self.first["path"]

    @property
    def waits(self) -> bool:
        """Whether the client would like to be told to go on before it sends the body."""
        return "100-continue" in self.fields.get("expect", "").lower()

    def body(self, stream: Stream) -> Iterator[Piece]:
        """Give the pieces of the body that follows; each has to be taken before the next."""
        return self._body(stream)


class Answer(_Head):
    """The head of an answer."""

    pattern = re.compile(r"HTTP/1\.\d (?P<status>\d{3})\b")

    @property
    def status(self) -> int:
        """The status."""
        return int(self.first["status"])

    @property
    def goes_on(self) -> bool:
        """Whether it tells the client to send the body."""
        return self.status == _CONTINUE

    @property
    def interim(self) -> bool:
        """Whether another answer to the same request follows."""
        return self.status < _FINAL and self.status != _SWITCHING_PROTOCOLS

    def has_body(self, method: str) -> bool:
        """Whether a body may follow, if this answers a request of a method."""
        return method != "HEAD" and self.status not in _NO_BODY

    def body(self, stream: Stream) -> Iterator[Piece]:
        """Give the pieces of the body that follows; each has to be taken before the next.

        Raises:
            ClosedError: Its end is the end of the connection.
        """
        yield from self._body(stream)
        while not self._chunked and self.length is None:
            yield stream.wait()


def _chunks(stream: Stream) -> Iterator[Piece]:
    while True:
        line = stream.read_line()
        yield line
        size = _size(line)
        if not size:
            break
        yield size
        yield stream.read_line()
    while line.strip():  # trailers end with an empty line
        line = stream.read_line()
        yield line


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]+", digits):
        raise UnreadableError("a chunk without a size")
    return int(digits, 16)
