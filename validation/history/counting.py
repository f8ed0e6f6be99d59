"""Counts: how many rows a read may have counted, from all that was under way meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from validation.history.record import EVERYTHING, NO_COUNT, History, Kind, Level, Status
from validation.history.states import States


def miscounted(
    history: History, states: States, bound: np.ndarray, end: np.ndarray
) -> Iterator[tuple[int, int, int, int]]:
    """Yield each read that counted what no state allowed to it has: read, count, fewest, most.

    Counts at levels that promise no time (session, eventual) are not judged.

    Args:
        history: What was done and seen.
        states: Of its keys.
        bound: By when a write had to be known for each read to see it, shape (r,).
        end: By when a write had to be sent for each read to see it, shape (r,).
    """
    reads = history.reads
    judged = (reads["status"] == Status.OK) & (reads["count"] != NO_COUNT)
    judged &= reads["level"] <= Level.BOUNDED
    for scope in np.unique(reads["scope"][judged]):
        inside = np.ones(len(states.number), dtype=bool)
        if scope != EVERYTHING:
            inside = states.group[states.number] == scope
        at = np.flatnonzero(judged & (reads["scope"] == scope))
        fewest, most = _allowed(states, inside, bound[at], end[at])
        counts = reads["count"][at]
        for place in np.flatnonzero((counts < fewest) | (counts > most)):
            read = at[place]
            yield int(read), int(counts[place]), int(fewest[place]), int(most[place])


def _allowed(
    states: States, inside: np.ndarray, bound: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest and the most rows there may have been, each shape (c,).

    Rows that had to be there, less the deletes that may have been seen too, and more the writes of
    absent rows that may have been seen too.
    """
    deletes = states.kind == Kind.DELETE
    there = (~deletes).astype(np.int64)
    before = np.concatenate([[0], there[:-1]])
    first = np.zeros(len(there), dtype=bool)
    first[states.first] = True
    before[first] = 0
    order = np.argsort(states.known[inside], kind="stable")
    changes = np.concatenate([[0], np.cumsum((there - before)[inside][order])])
    present = changes[np.searchsorted(states.known[inside][order], bound, side="right")]
    # A write adds a row only where there may have been none before it.
    unsure = states.status == Status.UNKNOWN
    uncertain_before = _since_first(states, unsure)
    adds = ~deletes & (first | (before == 0) | uncertain_before)
    return (
        present - _under_way(states, inside & deletes, bound, end),
        present + _under_way(states, inside & adds, bound, end),
    )


def _under_way(states: States, which: np.ndarray, bound: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return how many of these writes were sent by a read's end and not known at its bound."""
    # `settled`, not `known`: one that is known through a later write alone may take effect late.
    sent = np.searchsorted(np.sort(states.invoked[which]), end, side="right")
    return sent - np.searchsorted(np.sort(states.settled[which]), bound, side="right")


def _since_first(states: States, flags: np.ndarray) -> np.ndarray:
    """Return for each state whether an earlier one of its key has the flag."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    return sums[:-1] > sums[states.first[states.number]]
