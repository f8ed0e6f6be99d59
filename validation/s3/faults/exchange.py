"""The requests and answers of one connection on their way through the proxy, and their faults.

Each direction has a thread that passes on what comes as it comes. So whatever one side does
without waiting for the other (the store answers before it has the whole body, closes an idle
connection, ends a body by closing) reaches the other side as it would without the proxy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NoReturn

from validation.s3.faults.message import Answer, Piece, Request
from validation.s3.faults.script import BODILESS, UPLOADS, Fault, Kind, Script
from validation.s3.faults.stream import BrokenError, ClosedError, Stream, UnreadableError

_ANSWERS = {
    Kind.SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    Kind.INTERNAL_ERROR: (500, "InternalError", "We encountered an internal error."),
}


@dataclasses.dataclass
class _Asked:
    """A request that was passed on and is not answered to the end yet."""

    method: str = ""
    fault: Fault | None = None
    told_to_go_on: bool = False
    answered: bool = False


class Exchange:
    """Passes requests from a client to the store, and answers back.

    Args:
        client: The side that asks.
        store: The side that answers.
        script: The faults.
    """

    def __init__(self, client: Stream, store: Stream, script: Script) -> None:
        self.client, self.store, self.script = client, store, script
        self._asked: deque[_Asked] = deque()
        self._turn = threading.Condition()  # for who writes to the client
        self._silent = False  # nothing more comes from the store
        self._store_lost = False

    def run(self) -> None:
        """Pass on all that comes, until both sides have ended."""
        answers = threading.Thread(target=self._answers, daemon=True)
        answers.start()
        self._requests()
        answers.join()

    def _requests(self) -> None:
        try:
            self._pass_all(self._request, self.client, self.store, "requests")
        except ClosedError:
            self.store.finish(self.client.rest)
        except BrokenError as error:
            self._store_lost = error.side is self.store
            if self._store_lost:
                self._hear_the_store_out()
            self._reset()

    def _answers(self) -> None:
        try:
            self._pass_all(self._answer, self.store, self.client, "answers")
        except ClosedError:
            with self._turn:
                self.client.finish(self.store.rest)
        except BrokenError:
            self._reset()
        with self._turn:
            self._silent = True
            self._turn.notify_all()
        if self._store_lost:
            self._reset()

    def _pass_all(
        self, one: Callable[[], None], source: Stream, target: Stream, what: str
    ) -> NoReturn:
        """Pass one message after the other.

        Raises:
            ClosedError: The source has ended.
            BrokenError: One of the sides is gone.
        """
        try:
            while True:
                one()
        except UnreadableError as error:  # it can't be damaged, but it can be passed on
            self.script.note_failure(f"{what} passed on unread: {error}")
            while True:
                source.move(source.wait(), target)
        except (ClosedError, BrokenError):
            raise
        except Exception as error:  # or Milvus would be blamed for it
            self.script.note_failure(f"{what}: {type(error).__name__}: {error}")
            raise BrokenError(source, "the proxy failed") from error

    def _hear_the_store_out(self) -> None:
        """Return when what a store said before it went has been passed on.

        Until then the client is read from: it may have to send before it comes to the answer.
        """
        with contextlib.suppress(ClosedError, BrokenError):
            while not self._silent:
                self.client.drop(self.client.wait())
        with self._turn:
            self._turn.wait_for(lambda: self._silent)

    def _reset(self) -> None:
        self.store.shut()
        self.client.reset()

    def _request(self) -> None:
        """Pass one request."""
        request = Request.read(self.client)
        fault = self.script.choose(request.method, request.path)
        if fault is not None and fault.kind in BODILESS:
            self._refuse(request, fault)
            return
        if fault is not None and fault.kind is Kind.DELAY:
            self.script.note_injected(fault.kind)  # now, for it may be stopped before its answer
        asked = _Asked(request.method, fault)
        self._asked.append(asked)
        self.store.send(request.raw)
        if request.waits:
            self.client.wait()
            if asked.answered and not asked.told_to_go_on:
                return  # refused, so its body is not sent: this is another request
        wrong = fault if fault is not None and fault.kind in UPLOADS else None
        self._pass(request.body(self.client), self.client, self.store, wrong)

    def _refuse(self, request: Request, fault: Fault) -> None:
        """Answer in the store's place, when all requests before have been answered."""
        if not request.waits:
            _drop(request.body(self.client), self.client)
        with self._turn:
            self._turn.wait_for(lambda: self._silent or not self._asked)
            self.script.note_injected(fault.kind)
            self.client.send(_refusal(request, fault.kind))
        if request.waits:
            self.client.finish()
            while True:  # a body that is sent all the same must not make the answer be lost
                self.client.drop(self.client.wait())

    def _answer(self) -> None:
        """Pass one answer."""
        answer = Answer.read(self.store)
        asked = self._asked[0] if self._asked else _Asked()
        if answer.interim:
            asked.told_to_go_on |= answer.goes_on
            self.client.send(answer.raw)
            return
        asked.answered = True
        self.script.note_answer(answer.status)
        self._begin(answer, asked.fault)
        if answer.has_body(asked.method):
            self._pass_body(answer, asked.fault)
        with self._turn:
            if self._asked and self._asked[0] is asked:
                self._asked.popleft()
            self._turn.notify_all()

    def _begin(self, answer: Answer, fault: Fault | None) -> None:
        if fault is not None and fault.kind is Kind.DELAY:
            time.sleep(fault.seconds)
        if fault is not None and fault.kind is Kind.LOST_ANSWER:
            self.script.note_injected(fault.kind)
            raise BrokenError(self.client, "as the fault wants it")
        self.client.send(answer.raw)

    def _pass_body(self, answer: Answer, fault: Fault | None) -> None:
        """Pass an answer's body, damaged if a fault says so."""
        if fault is not None and fault.kind in {Kind.RESET, Kind.TRUNCATE} and answer.length != 0:
            self._break_off(answer, fault)
        wrong = fault if fault is not None and fault.kind is Kind.CORRUPT else None
        self._pass(answer.body(self.store), self.store, self.client, wrong)

    def _break_off(self, answer: Answer, fault: Fault) -> NoReturn:
        self.store.move(int((answer.length or 0) * fault.at), self.client)
        self.script.note_injected(fault.kind)
        if fault.kind is Kind.RESET:
            raise BrokenError(self.client, "as the fault wants it")
        self.client.shut()
        self.store.shut()
        raise ClosedError

    def _pass(
        self, body: Iterator[Piece], source: Stream, target: Stream, wrong: Fault | None
    ) -> None:
        """Pass a body; where a fault says so it stops for a while, or one bit of it is changed."""
        for piece in body:
            if isinstance(piece, bytes):
                target.send(piece)
            elif wrong is None:
                source.move(piece, target)
            else:
                before = min(int(piece * wrong.at), piece - 1)
                source.move(before, target)
                self.script.note_injected(wrong.kind)
                if wrong.kind is Kind.STALLED_UPLOAD:
                    time.sleep(wrong.seconds)
                else:
                    target.send(bytes([source.take(1)[0] ^ 1]))
                    before += 1
                source.move(piece - before, target)
                wrong = None


def _drop(body: Iterator[Piece], source: Stream) -> None:
    for piece in body:
        if not isinstance(piece, bytes):
            source.drop(piece)


def _refusal(request: Request, kind: Kind) -> bytes:
    status, code, message = _ANSWERS[kind]
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = b"" if request.method == "HEAD" else text.encode()
    lines = [
        f"HTTP/1.1 {status} {code}",
        "Content-Type: application/xml",
        f"Content-Length: {len(body)}",
        *(["Connection: close"] if request.waits else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
