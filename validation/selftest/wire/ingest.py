"""Faults of a stream of writes: rows that are seen late, writes that are refused for a while."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

from validation.selftest.wire.fault import Exchange
from validation.selftest.wire.living import keys_of
from validation.selftest.wire.rows import take

_KEY = re.compile(r"id in \[(\d+)\]")


def of_a_write(request: Any) -> bool:
    """Return whether a write is one of the stream's, after the first load."""
    return "ingest" in request.collection_name and getattr(request, "num_rows", 0) < 100  # noqa: PLR2004


@dataclasses.dataclass
class SeenLate:
    """Leave a row out of look-ups for a while after it was looked for first.

    Args:
        seconds: For how long.
    """

    seconds: float
    first: dict[int, float] = dataclasses.field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> bool:
        """Leave out the row that is asked for."""
        asked = _KEY.fullmatch(exchange.asked.expr)
        if not asked or not keys_of(exchange.reply):
            return False
        since = self.first.setdefault(int(asked[1]), time.monotonic())
        late = time.monotonic() - since < self.seconds
        if late:
            take(exchange.reply.fields_data, [])
        return late


@dataclasses.dataclass
class ForAWhile:
    """A test of writes of the stream: whether it is a time in which they are refused.

    Args:
        after: Seconds from the first write on until it begins.
        seconds: How long it lasts.
    """

    after: float
    seconds: float
    first: float | None = None

    def __call__(self, request: Any) -> bool:
        """Return whether a write is refused."""
        if not of_a_write(request):
            return False
        now = time.monotonic()
        self.first = self.first or now
        return 0 <= now - self.first - self.after < self.seconds
