"""The load engine: one thread that sends prepared requests at their time and notes what comes back.

Nothing is looked at while the clock runs but whether a call ended: replies are kept as bytes and
checked afterwards. Sleeping is `select`'s, whose limit is in microseconds (epoll's and asyncio's
are in milliseconds), with the kernel's timer slack taken away.
"""

from __future__ import annotations

import gc
import heapq
import select
import time
from array import array
from collections import deque
from collections.abc import Sequence
from math import nan
from typing import Self

import numpy as np

from validation.load.client import ClientUse, RunQueue, Use
from validation.load.http2.channel import Channel
from validation.load.http2.headers import request_block
from validation.load.http2.protocol import NOT_PROCESSED, Answer, Calls, framed
from validation.load.plan import SEARCH, Plan
from validation.load.record import Feed, Record
from validation.load.status import rate_limited

_FIRST_PAUSE, _PAUSE_FACTOR, _LONGEST_PAUSE = 0.01, 3, 3.0
"""How pymilvus waits before it asks a server again that limits the rate."""
_LONGEST_SLEEP = 0.02
"""A turn that was to end by then and did not was our own: this process stood still, and what lay in
the socket meanwhile says nothing of the server. The kernel counts no such time (a process that is
stopped, swapped out or frozen with its host does not wait for a core), so it is measured here."""
DEADLINE, RATE_LIMITED = "gRPC DEADLINE_EXCEEDED", "Milvus code 8: rate limited to the end"


class Engine:
    """Open connections that take a plan's requests. Use it in one thread, and close it.

    Args:
        plan: What is sent.
        connections: How many; calls take turns on them.

    Raises:
        OSError: The host's name is not known.
    """

    def __init__(self, plan: Plan, *, connections: int = 1) -> None:
        endpoint = plan.endpoint
        methods = list(dict.fromkeys(plan.methods)) or [SEARCH]
        blocks = [
            request_block(
                method,
                authority=endpoint.address,
                secure=endpoint.secure,
                deadline=plan.deadline,
                metadata=endpoint.metadata(),
            )
            for method in methods
        ]
        self.plan = plan
        self.blocks = [methods.index(plan.method(at)) for at in range(len(plan.requests))]
        self.messages = [framed(request) for request in plan.requests]
        self.channels = [Channel(endpoint, *blocks) for _ in range(connections)]
        self.queue = RunQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self.channels:
            channel.close()
        self.queue.close()

    def run(self, feed: Feed, *, start: float | None = None) -> Record:
        """Send every request of a feed and wait for all replies; each has a deadline.

        Args:
            feed: What to send and when.
            start: The zero of its times on `time.monotonic`; now if None.
        """
        collecting = gc.isenabled()
        gc.collect()
        gc.disable()  # a collection would be a stall of our own
        try:
            return _Run(self, feed, time.monotonic() if start is None else start).run()
        finally:
            if collecting:
                gc.enable()


class _Run:
    """One feed on its way."""

    def __init__(self, engine: Engine, feed: Feed, start: float) -> None:
        self.engine, self.feed, self.start = engine, feed, start
        self.channels = engine.channels
        count = self.count = len(feed.numbers)
        messages = engine.messages
        which = [number % len(messages) for number in feed.numbers.tolist()]
        self.messages = [messages[number] for number in which]
        self.blocks = [engine.blocks[number] for number in which]
        self.due: list[float] = (
            [nan] * count if feed.due_s is None else (np.asarray(feed.due_s) + start).tolist()
        )
        self.sent, self.done, self.waited = [nan] * count, [nan] * count, [nan] * count
        self.failures, self.replies = ["not sent"] * count, [b""] * count
        self.places: list[tuple[Calls, int] | None] = [None] * count
        self.deadlines: deque[tuple[float, int]] = deque()
        self.held: deque[int] = deque()
        self.again: list[tuple[float, int]] = []
        self.pauses: dict[int, float] = {}
        self.next = self.under_way = self.limited = self.resent = self.failed_in_a_row = 0
        self.turns = array("d")
        self.broken_off = ""

    def run(self) -> Record:
        queue, channels = self.engine.queue, self.channels
        use = Use(queue)
        waited, woke = queue.seconds(), time.monotonic()
        while True:
            self._send_what_is_due()
            for channel in channels:
                if channel.socket is None:
                    channel.connect()
                elif channel.calls is not None and channel.calls.out:
                    self._note(channel.advance(readable=False), time.monotonic(), nan)
            now = time.monotonic()
            self._expire(now)
            self.turns.append(now - woke)
            if (self.next == self.count or self.broken_off) and not self.under_way:
                return self._record(use.so_far())
            until = self._next_turn(now)
            readable, writable = self._sleep(until - now)
            before, waited = waited, queue.seconds()
            woke = time.monotonic()
            own = waited - before
            if woke > until:
                own = max(woke - until, own)
            for channel in channels:
                reading = channel.socket in readable
                if reading or channel.socket in writable:
                    self._note(channel.advance(readable=reading), woke, own)

    def _send_what_is_due(self) -> None:
        """Send what waited for room, then what is asked again, then what the feed says."""
        now = time.monotonic()
        held, again = self.held, self.again
        while held and self._send(held[0]):
            held.popleft()
        while again and again[0][0] <= now:
            self._send_or_hold(heapq.heappop(again)[1])
        if now - self.start > self.feed.seconds and self.next < self.count:
            self._stop(
                f"{self.next} of {self.count} requests were sent within {self.feed.seconds:g} s"
            )
        most = self.feed.under_way if self.feed.due_s is None else None
        deadline = self.engine.plan.deadline
        while self.next < self.count and not self.broken_off:
            at, now = self.next, time.monotonic()
            if most is not None:
                if self.under_way >= most:
                    return
                self.due[at] = now
            elif self.due[at] > now:
                return
            self.next += 1
            self.under_way += 1
            self.sent[at] = now
            self.deadlines.append((now + deadline, at))
            self._send_or_hold(at)

    def _send_or_hold(self, at: int) -> None:
        if self.held or not self._send(at):
            self.held.append(at)

    def _send(self, at: int) -> bool:
        """Make a call, or let it fail where there is no connection; return False if it must wait.

        It waits while a connection is being made, and while the peer takes no more calls at once.
        """
        if self._has_ended(at):
            return True  # its deadline was over while it waited
        best = max(self.channels, key=_room) if len(self.channels) > 1 else self.channels[0]
        calls = best.calls
        if calls is not None and calls.room > 0:
            self.places[at] = (calls, calls.call(at, self.messages[at], self.blocks[at]))
            return True
        if any(one.calls is not None or one.connect() for one in self.channels):
            return False
        self._end(at, best.failure or "no connection", b"", time.monotonic(), nan)
        return True

    def _next_turn(self, now: float) -> float:
        """Return when something is to be done, whether a reply comes or not."""
        until = now + _LONGEST_SLEEP
        if self.feed.due_s is not None and self.next < self.count and not self.broken_off:
            until = min(until, self.due[self.next])
        if self.again:
            until = min(until, self.again[0][0])
        if self.deadlines:
            until = min(until, self.deadlines[0][0])
        return until

    def _sleep(self, seconds: float) -> tuple[Sequence[object], Sequence[object]]:
        """Wait until a reply comes, or that time is over."""
        wait = [one.socket for one in self.channels if one.socket is not None]
        write = [one.socket for one in self.channels if one.socket and one.wants_to_write]
        readable, writable, _ = select.select(wait, write, (), max(0.0, seconds))
        return readable, writable

    def _note(self, answers: list[Answer], now: float, waited: float) -> None:
        for at, failure, reply in answers:
            self.places[at] = None
            if failure == NOT_PROCESSED:
                self.resent += 1
                self._send_or_hold(at)
            elif not failure and rate_limited(reply):
                self.limited += 1
                pause = self.pauses.get(at, _FIRST_PAUSE)
                self.pauses[at] = min(pause * _PAUSE_FACTOR, _LONGEST_PAUSE)
                heapq.heappush(self.again, (now + pause, at))
            else:
                self._end(at, failure, reply, now, waited)

    def _end(self, at: int, failure: str, reply: bytes, now: float, waited: float) -> None:
        self.done[at], self.waited[at] = now, waited
        self.failures[at], self.replies[at] = failure, reply
        self.under_way -= 1
        self.failed_in_a_row = self.failed_in_a_row + 1 if failure else 0
        if self.feed.failures_in_a_row and self.failed_in_a_row >= self.feed.failures_in_a_row:
            self._stop(f"{self.failed_in_a_row} requests in a row failed: {failure}")

    def _has_ended(self, at: int) -> bool:
        return self.done[at] == self.done[at]  # NaN is not

    def _stop(self, why: str) -> None:
        self.broken_off = self.broken_off or why

    def _expire(self, now: float) -> None:
        """Give up what is past its deadline."""
        deadlines = self.deadlines
        while deadlines and (deadlines[0][0] <= now or self._has_ended(deadlines[0][1])):
            at = deadlines.popleft()[1]
            if self._has_ended(at):
                continue
            place, self.places[at] = self.places[at], None
            if place is not None:
                place[0].cancel(place[1])
            limited = any(one == at for _, one in self.again)
            self._end(at, RATE_LIMITED if limited else DEADLINE, b"", now, nan)

    def _record(self, use: ClientUse) -> Record:
        sent = self.next
        return Record(
            due_s=np.array(self.due[:sent]) - self.start,
            sent_s=np.array(self.sent[:sent]) - self.start,
            done_s=np.array(self.done[:sent]) - self.start,
            waited_s=np.array(self.waited[:sent]),
            failures=self.failures[:sent],
            replies=self.replies[:sent],
            limited=self.limited,
            resent=self.resent,
            turns_s=np.array(self.turns),
            use=use,
            broken_off=self.broken_off,
        )


def _room(channel: Channel) -> int:
    return channel.room
