"""One request and its answer on their way through the proxy, with the fault they meet.

HTTP/1.1 as S3 clients and stores speak it: bodies with Content-Length, chunked or none, and
``Expect: 100-continue``.
"""

from __future__ import annotations

import dataclasses
import time

from validation.s3.faults.script import BODILESS, Fault, Kind, Script
from validation.s3.faults.stream import ClosedError, Stream

_ANSWERS = {
    Kind.SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    Kind.INTERNAL_ERROR: (500, "InternalError", "We encountered an internal error."),
}
_NO_BODY = frozenset({204, 304})
_CONTINUE = 100


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a request or an answer; ``raw`` is passed on unchanged."""

    raw: bytes
    first: tuple[str, ...]
    fields: dict[str, str]

    @classmethod
    def read(cls, stream: Stream) -> Head:
        """Read a head from a stream."""
        raw = stream.read_until(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if ":" in line)
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return cls(raw, tuple(lines[0].split(" ", 2)), fields)

    @property
    def length(self) -> int | None:
        """Length of the body; None if it is chunked."""
        if "chunked" in self.fields.get("transfer-encoding", "").lower():
            return None
        return int(self.fields.get("content-length") or 0)

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this."""
        return self.fields.get("connection", "").lower() == "close"


class Exchange:
    """Passes requests from a client to the store and answers back.

    Args:
        client: The side that asks.
        store: The side that answers.
        script: The faults.
    """

    def __init__(self, client: Stream, store: Stream, script: Script) -> None:
        self.client, self.store, self.script = client, store, script

    def one(self) -> bool:
        """Pass one request and its answer; return whether another may follow.

        Raises:
            ClosedError: One of the sides is gone.
        """
        request = Head.read(self.client)
        fault = self.script.choose(request.first[0], request.first[1])
        if fault is not None and fault.kind in BODILESS:
            return self._refuse(request, fault)
        if fault is not None and fault.kind is Kind.DELAY:
            self.script.note_injected(fault.kind)  # now, for it may be stopped before its answer
        answer = self._forward(request, fault)
        self.script.note_answer(int(answer.first[1]))
        if fault is not None and fault.kind is Kind.DELAY:
            time.sleep(fault.seconds)
        if fault is not None and fault.kind is Kind.LOST_ANSWER:
            self.script.note_injected(fault.kind)
            self.client.reset()
            return False
        self.client.send(answer.raw)
        status = int(answer.first[1])
        has_body = request.first[0] != "HEAD" and status not in _NO_BODY
        if has_body and not self._damaged(answer, fault):
            return False
        return not (request.closes or answer.closes)

    def _refuse(self, request: Head, fault: Fault) -> bool:
        """Answer in the store's place."""
        status, code, message = _ANSWERS[fault.kind]
        waiting = "expect" in request.fields
        if not waiting:
            if request.length is None:
                raise ClosedError("a chunked body cannot be refused in order")
            self.client.drop(request.length)
        text = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
        body = b"" if request.first[0] == "HEAD" else text.encode()
        lines = [
            f"HTTP/1.1 {status} {code}",
            "Content-Type: application/xml",
            f"Content-Length: {len(body)}",
            *(["Connection: close"] if waiting else []),
        ]
        self.client.send("\r\n".join([*lines, "", ""]).encode() + body)
        self.script.note_injected(fault.kind)
        return not waiting

    def _forward(self, request: Head, fault: Fault | None) -> Head:
        """Send a request on and return the head of its answer."""
        self.store.send(request.raw)
        if "100-continue" in request.fields.get("expect", "").lower():
            answer = Head.read(self.store)
            if int(answer.first[1]) != _CONTINUE:
                return answer  # refused before its body was sent
            self.client.send(answer.raw)
        self._pass(
            self.client,
            self.store,
            request.length,
            fault if fault and fault.kind is Kind.CORRUPT_UPLOAD else None,
        )
        answer = Head.read(self.store)
        while int(answer.first[1]) == _CONTINUE:
            self.client.send(answer.raw)
            answer = Head.read(self.store)
        return answer

    def _damaged(self, answer: Head, fault: Fault | None) -> bool:
        """Pass an answer's body, damaged if a fault says so; return whether it came to its end."""
        length = answer.length
        ends = fault is not None and fault.kind in {Kind.RESET, Kind.TRUNCATE}
        if ends and fault is not None and length != 0:
            self.store.move(int((length or 0) * fault.at), self.client)
            self.script.note_injected(fault.kind)
            if fault.kind is Kind.RESET:
                self.client.reset()
            else:
                self.client.close()
            return False
        wrong = fault if fault is not None and fault.kind is Kind.CORRUPT else None
        self._pass(self.store, self.client, length, wrong)
        return True

    def _pass(
        self, source: Stream, target: Stream, length: int | None, wrong: Fault | None
    ) -> None:
        """Pass a body, with one bit of it changed where a fault says so."""
        if length is not None:
            self._pass_piece(source, target, length, wrong)
            return
        while True:  # chunked: sizes and trailers are passed on as they are
            line = source.read_until(b"\r\n")
            target.send(line)
            size = int(line.split(b";")[0], 16)
            if not size:
                break
            self._pass_piece(source, target, size, wrong)
            wrong = None
            target.send(source.read_until(b"\r\n"))
        while (line := source.read_until(b"\r\n")) != b"\r\n":
            target.send(line)
        target.send(b"\r\n")

    def _pass_piece(self, source: Stream, target: Stream, length: int, wrong: Fault | None) -> None:
        if wrong is None or not length:
            source.move(length, target)
            return
        before = min(int(length * wrong.at), length - 1)
        source.move(before, target)
        target.send(bytes([source.take(1)[0] ^ 1]))
        self.script.note_injected(wrong.kind)
        source.move(length - before - 1, target)
