"""Looks at a collection's segments all the time, so that none is missed that lives for a second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from validation.errors import MilvusKitError
from validation.lifecycle.beside import Beside
from validation.milvus import segments
from validation.milvus.connection import connect
from validation.milvus.segments import Segment
from validation.target import Target

EVERY_SECONDS = 0.05
_JOIN_SECONDS = 60.0
Test = Callable[[Sequence[Segment], Sequence[Segment]], bool]
"""Whether something holds of the stored segments and of those in memory."""


class Watcher(Beside):
    """Asks for the segments again and again until it is left.

    Args:
        target: Where; it has a connection of its own.
        name: Of the collection.

    Attributes:
        named: Numbers of all segments that the server named meanwhile.
        looks: When it asked, on the monotonic clock, and the segments stored and in memory.
    """

    def __init__(self, target: Target, name: str) -> None:
        super().__init__(join_seconds=_JOIN_SECONDS)
        self.named: set[int] = set()
        self.looks: list[tuple[float, list[Segment], list[Segment]]] = []
        self._given = target, name

    def until(self, holds: Test, *, since: float, seconds: float) -> float:
        """Wait until something was seen; return when, or infinity if it was not in time.

        Args:
            holds: What is waited for.
            since: The moment, on the monotonic clock, before which it does not count.
            seconds: Time limit from then on.
        """
        seen = 0
        while True:
            for at, stored, held in self.looks[seen:]:
                seen += 1
                if at >= since and holds(stored, held):
                    return at
            if time.monotonic() > since + seconds:
                return math.inf
            time.sleep(EVERY_SECONDS)

    def _work(self) -> None:
        target, name = self._given
        with connect(target) as connection:
            while not self._ended.wait(EVERY_SECONDS):
                asked = time.monotonic()
                try:
                    stored = segments.stored(connection, name)
                    held = segments.in_memory(connection, name)
                except MilvusKitError:  # a server that says nothing for a moment is asked again
                    continue
                self.named.update(one.number for one in [*stored, *held])
                self.looks.append((asked, stored, held))
