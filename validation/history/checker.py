"""Which keys of a history broke which promise, in time that grows with its length.

In the manner of Jepsen's checker ``set-full`` (element by element, known from its acknowledgement
or from the first read that saw it, whichever is earlier), extended to rows that change and go: a
key's writes are one sequence, a read must see the state after some write of it, and the read's
times and consistency level bound which.

- the *floor* of a read and key is the last write that the read must see: known before the read
  began, less what its level lets it lag behind
- the *ceiling* is the last write it may see: sent before the read ended

What cannot be told counts as allowed: an unknown write may take effect at any time after it was
sent, and two clocks may differ by as much as is stated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from validation.history.counting import miscounted
from validation.history.record import EVERYTHING, KEYS, NO_COUNT, History, Kind, Level, Status
from validation.history.states import States, require_sound

LOST = "lost"
STALE = "stale"
RESURRECTED = "resurrected"
DUPLICATE = "duplicate"
WRONG_VALUE = "wrong value"
PHANTOM = "phantom"
MISCOUNTED = "miscounted"
KINDS = (LOST, STALE, RESURRECTED, DUPLICATE, WRONG_VALUE, PHANTOM, MISCOUNTED)
"""What a read can get wrong of a key, or of a count.

lost: acknowledged, missing where it had to be seen, and never seen again. stale: missing or old
where its newest state had to be seen, and seen later, or on its way to another state just then.
resurrected: seen by a read that had to see its deletion. duplicate: twice in one answer. wrong
value: other fields than those written. phantom: never written, refused when it was written, or
seen before it was sent. miscounted: a count that no state allowed to the read has.
"""
EXAMPLES = 3
_ABSENT = -1


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was broken.

    Args:
        counts: For each of `KINDS`, how many keys (counts, for miscounted) it concerns.
        examples: For each, the first few, oldest first.
        reads: Reads that were judged; those without an answer are not.
        sightings: Pairs of a read and a key that were judged.
        writes: Pairs of a write and a key.
        unknown: Of them, without an answer.
    """

    counts: dict[str, int]
    examples: dict[str, list[dict[str, Any]]]
    reads: int
    sightings: int
    writes: int
    unknown: int


def check(history: History, *, bounded_ns: int, clocks_ns: int = 0) -> Findings:
    """Judge every read of a history.

    Args:
        history: What was done and seen.
        bounded_ns: How far a read at level bounded may lag behind, in nanoseconds: the server's
            ``common.gracefulTime``, 5 s unless set.
        clocks_ns: By how much the clocks of two processes may differ, in nanoseconds.

    Raises:
        MeasurementError: The history contradicts itself, so it proves nothing.
    """
    require_sound(history)
    return _Check(history, bounded_ns, clocks_ns).findings()


class _Check:
    def __init__(self, history: History, bounded_ns: int, clocks_ns: int) -> None:
        self._history = history
        self._reads = reads = history.reads
        self._answered = reads["status"] == Status.OK
        lag = np.where(reads["level"] == Level.BOUNDED, bounded_ns, 0) + clocks_ns
        self._bound = reads["invoked"] - lag
        self._end = reads["completed"] + clocks_ns
        self._states = States(history, reads["completed"])
        self._found: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self._sightings = 0

    def findings(self) -> Findings:
        rows = self._rows()
        self._doubled(rows)
        missing = self._missing(rows)
        self._judge_seen(rows, missing)
        wrong = miscounted(self._history, self._states, self._bound, self._end)
        for read, counted, fewest, most in wrong:
            said = {"read": read, "counted": counted, "allowed": [fewest, most]}
            self._found[MISCOUNTED].setdefault(read, said)
        writes = self._history.writes
        return Findings(
            {kind: len(found) for kind, found in self._found.items()},
            {kind: list(found.values())[:EXAMPLES] for kind, found in self._found.items()},
            reads=int(self._answered.sum()),
            sightings=self._sightings,
            writes=len(writes["key"]),
            unknown=int(np.sum(writes["status"] == Status.UNKNOWN)),
        )

    def _rows(self) -> dict[str, np.ndarray]:
        """Return the rows seen, by the number of their key and write; note those of no write."""
        rows = self._history.rows
        kept = self._answered[rows["read"]]
        rows = {name: column[kept] for name, column in rows.items()}
        self._sightings += len(rows["read"])
        key = self._states.key_numbers(rows["key"])
        state = self._states.numbers(key, rows["version"])
        for at in np.flatnonzero(state < 0).tolist():
            self._note(PHANTOM, rows, at, "no write of this key that was not refused has it")
        wrong = (state >= 0) & (rows["genuine"] == 0)
        for at in np.flatnonzero(wrong).tolist():
            self._note(WRONG_VALUE, rows, at, "its fields are not those written with it")
        known = state >= 0
        found = {name: column[known] for name, column in rows.items()}
        return {**found, "number": key[known], "state": state[known]}

    def _doubled(self, rows: dict[str, np.ndarray]) -> None:
        order = np.lexsort((rows["number"], rows["read"]))
        read, key = rows["read"][order], rows["number"][order]
        again = np.flatnonzero((read[1:] == read[:-1]) & (key[1:] == key[:-1])) + 1
        for at in order[again].tolist():
            self._note(DUPLICATE, rows, at, "the answer holds this key more than once")

    def _missing(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return each read and key that the read had to hold and did not, with its floor.

        ``settled`` says that no other write of the key was under way meanwhile.
        """
        parts = [self._not_among_asked(rows), *self._not_in_scans(rows)]
        columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        return dict(zip(("read", "number", "floor", "settled"), columns, strict=True))

    def _not_among_asked(self, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        asked = self._history.asked
        number = self._states.key_numbers(asked["key"])
        kept = self._answered[asked["read"]] & (number >= 0)
        read, number = asked["read"][kept], number[kept]
        self._sightings += len(read)
        keys = len(self._states)
        there = np.isin(read * keys + number, rows["read"] * keys + rows["number"])
        return self._due(read[~there], number[~there])

    def _not_in_scans(self, rows: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
        scans = self._answered & (self._reads["count"] == NO_COUNT) & (self._reads["scope"] != KEYS)
        order = np.argsort(rows["read"], kind="stable")
        starts = np.searchsorted(rows["read"][order], np.arange(len(scans) + 1))
        for read in np.flatnonzero(scans):
            scope = self._reads["scope"][read]
            absent = np.ones(len(self._states), dtype=bool)
            if scope != EVERYTHING:
                absent &= self._states.group == scope
            absent[rows["number"][order[starts[read] : starts[read + 1]]]] = False
            number = np.flatnonzero(absent)
            yield self._due(np.full(len(number), read), number)

    def _due(self, read: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, ...]:
        """Keep those pairs of a read and a key in which the key had to be there."""
        floor, ceiling = self._bounds(read, number)
        due = ~self._states.may_be_absent(floor, ceiling, number)
        return read[due], number[due], floor[due], (ceiling == floor)[due]

    def _bounds(self, read: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the floor and the ceiling of each read and key; -1 is the state before any."""
        level = self._reads["level"][read]
        own = self._states.process[number] == self._reads["process"][read]
        bound = self._bound[read]
        blind = (level == Level.EVENTUAL) | ((level == Level.SESSION) & ~own)
        floor = np.where(blind, -1, self._states.known_by(number, bound))
        # What is seen of a later write than the ceiling was sent after the read had ended.
        return floor, np.maximum(floor, self._states.sent_by(number, self._end[read]))

    def _judge_seen(self, rows: dict[str, np.ndarray], missing: dict[str, np.ndarray]) -> None:
        floor, ceiling = self._bounds(rows["read"], rows["number"])
        state = rows["state"]
        early = (state > ceiling) | (self._states.kind[state] == Kind.DELETE)
        for at in np.flatnonzero(early).tolist():
            self._note(PHANTOM, rows, at, "it was seen before it was sent")
        # An unknown write may take effect late, after others of its key.
        old = (state < floor) & (self._states.status[state] != Status.UNKNOWN)
        back = old & (self._states.kind[floor] == Kind.DELETE)
        for at in np.flatnonzero(back).tolist():
            self._note(RESURRECTED, rows, at, self._due_to(floor[at]))
        late = old & ~back
        seen = _Later(self._reads["invoked"][rows["read"]], rows["number"], state)
        behind = {name: rows[name][late] for name in ("read", "number")}
        behind |= {"floor": floor[late], "settled": (ceiling == floor)[late]}
        for was, part in (("older than due", behind), ("missing", missing)):
            again = seen.seen(self._reads["invoked"][part["read"]], part["number"], part["floor"])
            for at in np.argsort(part["read"], kind="stable").tolist():
                key = self._states.keys[part["number"][at]]
                said = {
                    "key": int(key),
                    "read": int(part["read"][at]),
                    "seen": was,
                    "why": self._due_to(int(part["floor"][at])),
                }
                kind = LOST if part["settled"][at] and not again[at] else STALE
                self._found[kind].setdefault(int(key), said)

    def _due_to(self, state: int) -> str:
        """Say which write a read had to see."""
        states = self._states
        kind, version = Kind(states.kind[state]).name.lower(), states.version[state]
        return f"its {kind} (version {version}) was known before the read began"

    def _note(self, kind: str, rows: dict[str, np.ndarray], at: int, why: str) -> None:
        key = int(rows["key"][at])
        said = {
            "key": key,
            "read": int(rows["read"][at]),
            "seen": f"version {rows['version'][at]}",
            "why": why,
        }
        self._found[kind].setdefault(key, said)


class _Later:
    """Whether a key was seen again, at least as new, by a read that began later.

    Args:
        invoked: When the read of each sighting began, shape (s,).
        number: Of its key.
        state: Of the write it saw.
    """

    def __init__(self, invoked: np.ndarray, number: np.ndarray, state: np.ndarray) -> None:
        order = np.lexsort((invoked, number))
        self._times = np.unique(invoked)
        self._number = number[order]
        self._place = self._number * (len(self._times) + 1)
        self._place = self._place + np.searchsorted(self._times, invoked[order]) + 1
        # States are numbered through all keys in order, so the largest from here on is the newest
        # of this key or of a later one; which of the two, the key at that place tells.
        self._newest = _suffix_max(self._number, state[order])

    def seen(self, invoked: np.ndarray, number: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Return for each miss whether a later read saw the key in that state or a newer one."""
        rank = np.searchsorted(self._times, invoked, side="right")
        at = np.searchsorted(self._place, number * (len(self._times) + 1) + rank, side="right")
        inside = at < len(self._number)
        there = np.zeros(len(at), dtype=bool)
        at = at[inside]
        there[inside] = (self._number[at] == number[inside]) & (self._newest[at] >= floor[inside])
        return there


def _suffix_max(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the largest value from each place to the end of its group; groups ascend."""
    if not len(value):
        return value
    span = int(value.max()) + 2
    lifted = value[::-1] + (int(group[-1]) - group[::-1]) * span
    return (np.maximum.accumulate(lifted) - (int(group[-1]) - group[::-1]) * span)[::-1]
