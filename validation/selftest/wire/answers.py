"""Faults of answers to searches, each one that a set of primary keys alone does not show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from validation.milvus.failures import RATE_LIMITED
from validation.selftest.wire.conditions import parameters
from validation.selftest.wire.fault import Exchange
from validation.selftest.wire.hits import hits, keys, rearrange
from validation.selftest.wire.rows import take
from validation.selftest.wire.stalls import Stalls

_SCALE, _SHIFT = 1.05, 0.25
_NOBODY = 2**40
"""Keys from here on are nobody's."""
_FAILED = 65_535
"""Milvus's own code for an error without a code."""


def scaled_scores(exchange: Exchange) -> bool:
    """Scale and shift all scores, which keeps their order."""
    scores = exchange.reply.results.scores
    scores[:] = [score * _SCALE + _SHIFT for score in scores]
    return len(scores) > 0


def backwards(places: range) -> Sequence[int]:
    """Put the best hit last."""
    return places[::-1]


def last_two_exchanged(places: range) -> Sequence[int]:
    """Put the last hit before the one before it."""
    return [*places[:-2], *places[-2:][::-1]]


def first_everywhere(places: range) -> Sequence[int]:
    """Answer by the best hit alone, as often as there are hits."""
    return [*places[:1]] * len(places)


def last_but_one_twice(places: range) -> Sequence[int]:
    """Give the last hit but one again in place of the last."""
    return [*places[:-1], *places[-2:-1]] if len(places) > 1 else places


@dataclasses.dataclass(frozen=True)
class Rearranged:
    """Answer queries with hits taken away, doubled, or in another order.

    Args:
        how: Returns the hits of an answer, best first, from their positions.
        one_in: Every how-manieth query of a request is answered so.
    """

    how: Callable[[range], Sequence[int]]
    one_in: int = 1

    def __call__(self, exchange: Exchange) -> bool:
        """Rearrange the answers of a reply."""
        return rearrange(
            exchange.reply.results,
            lambda query, places: places if query % self.one_in else self.how(places),
        )


def fields_of_another_row(exchange: Exchange) -> bool:
    """Give each hit the output fields of the one behind it."""
    results = exchange.reply.results
    own = {results.primary_field_name or "id"}
    fields = [field for field in results.fields_data if field.field_name not in own]
    rows = [row for places in hits(results) for row in [*places[1:], *places[:1]]]
    take(fields, rows)
    return len(fields) > 0 and len(rows) > len(results.topks)


def first_five(places: range) -> Sequence[int]:
    """Leave out what is beyond the fifth hit."""
    return places[:5]


@dataclasses.dataclass(frozen=True)
class NeverSent:
    """Name a row in the last place that nobody sent.

    Args:
        one_in: Every how-manieth query of a request is answered so.
    """

    one_in: int = 1

    def __call__(self, exchange: Exchange) -> bool:
        """Change the last primary key of answers."""
        results = exchange.reply.results
        found = keys(results)
        places = [one[-1] for one in hits(results)[:: self.one_in] if one]
        for place in places:
            found[place] = f"ghost-{place}" if isinstance(found[place], str) else _NOBODY + place
        return bool(places)


@dataclasses.dataclass(frozen=True)
class MixedUp:
    """Give the first few queries of a request the answers to one another.

    Args:
        queries: How many; a request with fewer is left alone.
    """

    queries: int

    def __call__(self, exchange: Exchange) -> bool:
        """Pass the answers on by one query."""
        results = exchange.reply.results
        answers = hits(results)
        if len(answers) < self.queries:
            return False
        moved = [answers[self.queries - 1], *answers[: self.queries - 1], *answers[self.queries :]]
        return rearrange(results, lambda query, _: moved[query])


def one_hit_more(exchange: Exchange) -> bool:
    """Ask for a hit more than the client did, to leave one out that must not be missed."""
    for pair in exchange.request.search_params:
        if pair.key == "topk":
            pair.value = str(int(pair.value) + 1)
            return True
    return False


@dataclasses.dataclass(frozen=True)
class MissedFirst:
    """Leave out the nearest hit of a few answers of a reply, after `one_hit_more`."""

    answers: int

    def __call__(self, exchange: Exchange) -> bool:
        """Leave out the first hit of some, and the last one, which nobody asked for, of others."""
        most = int(parameters(exchange.asked)["topk"])
        exchange.reply.results.top_k = most
        return rearrange(
            exchange.reply.results,
            lambda query, places: places[1:] if query < self.answers else places[:most],
        )


@dataclasses.dataclass
class AnothersAnswer:
    """Ask what another call asked that met this fault, in the same collection."""

    before: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> bool:
        """Exchange the query's vector; the first call has none to take."""
        asked, request = exchange.asked, exchange.request
        another = self.before.get(asked.collection_name)
        self.before[asked.collection_name] = asked.placeholder_group
        if another is None or another == asked.placeholder_group:
            return False
        request.placeholder_group = another
        return True


@dataclasses.dataclass(frozen=True)
class RateLimited:
    """Refuse at times, as Milvus does where a limit of ``quotaAndLimits`` is reached.

    Args:
        stalls: When.
    """

    stalls: Stalls

    def __call__(self, exchange: Exchange) -> bool:
        """Answer with the code after which clients wait and ask again."""
        if not self.stalls.left():
            return False
        reply: Any = exchange.reply
        reply.Clear()
        reply.status.code = RATE_LIMITED
        reply.status.reason = "request is rejected by rate limiter, please retry later: planted"
        return True


def failed(exchange: Exchange) -> bool:
    """Answer with an error in the reply's status, as Milvus does."""
    reply: Any = exchange.reply
    reply.Clear()
    reply.status.error_code, reply.status.code = 1, _FAILED
    reply.status.reason = "planted"
    return True
