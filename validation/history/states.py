"""The states that a key goes through: one after each write that was not refused."""

from __future__ import annotations

import numpy as np

from validation.errors import MeasurementError
from validation.history.record import NEVER, History, Kind, Status


class States:
    """All writes that were not refused, by key and then in order; a state's number is its place.

    Args:
        history: What was done and seen.
        read_ends: When each read ended: what a read has seen is known from then on.
    """

    def __init__(self, history: History, read_ends: np.ndarray) -> None:
        writes = history.writes
        kept = np.flatnonzero(writes["status"] != Status.FAILED)
        order = kept[np.lexsort((writes["invoked"][kept], writes["key"][kept]))]
        self.version, self.kind = writes["version"][order], writes["kind"][order]
        self.status, self.invoked = writes["status"][order], writes["invoked"][order]
        self.keys, self.first, sizes = np.unique(
            writes["key"][order], return_index=True, return_counts=True
        )
        self.number = np.repeat(np.arange(len(self.keys)), sizes)
        self.process = writes["process"][order][self.first]
        self.group = writes["group"][order][self.first]
        self._versions = np.unique(self.version)
        span = len(self._versions) + 1
        self._places = self.number * span + np.searchsorted(self._versions, self.version)
        self.settled = writes["completed"][order].copy()
        """When each write is known to have taken effect; `NEVER` if that is unknown."""
        self._count_seen(history, read_ends)
        # Once a later write of a key is known, an earlier one is out of sight: so the last known
        # write by a time is found among times that ascend.
        self.known = _suffix_min(self.number, self.settled)
        self._known, self._sent = _Times(self.number, self.known), _Times(self.number, self.invoked)
        deletes = self.kind == Kind.DELETE
        self._deletes = _sums(deletes)
        self._pending = _sums(deletes & (self.settled == NEVER))

    def __len__(self) -> int:
        return len(self.keys)

    def key_numbers(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of each key; -1 for one that no write has."""
        return _found(self.keys, keys)

    def numbers(self, number: np.ndarray, versions: np.ndarray) -> np.ndarray:
        """Return the state of each key and version; -1 if no write has them."""
        version = _found(self._versions, versions)
        place = number * (len(self._versions) + 1) + version
        return np.where((number < 0) | (version < 0), -1, _found(self._places, place))

    def known_by(self, number: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the last state of each key that was known by a time; -1 if none was."""
        return self._own(self._known.last(number, times), number)

    def sent_by(self, number: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the last state of each key that was asked for by a time; -1 if none was."""
        return self._own(self._sent.last(number, times), number)

    def may_be_absent(
        self, floor: np.ndarray, ceiling: np.ndarray, number: np.ndarray
    ) -> np.ndarray:
        """Return whether a key need not be there, for a read with this floor and ceiling."""
        gone = (floor < 0) | (self.kind[floor] == Kind.DELETE)
        going = self._deletes[ceiling + 1] > self._deletes[np.maximum(floor, 0) + 1]
        any_time = self._pending[ceiling + 1] > self._pending[self.first[number]]
        return gone | going | any_time

    def _own(self, state: np.ndarray, number: np.ndarray) -> np.ndarray:
        return np.where(state < self.first[number], -1, state)

    def _count_seen(self, history: History, read_ends: np.ndarray) -> None:
        """A write that was seen has taken effect, acknowledged or not."""
        rows = history.rows
        good = (history.reads["status"][rows["read"]] == Status.OK) & (rows["genuine"] == 1)
        state = self.numbers(self.key_numbers(rows["key"]), rows["version"])
        good &= state >= 0
        ends = read_ends[rows["read"][good]]
        in_order = ends >= self.invoked[state[good]]  # else it is a phantom, and proves nothing
        np.minimum.at(self.settled, state[good][in_order], ends[in_order])


class _Times:
    """Times that ascend within each key, and the last of them by another time."""

    def __init__(self, number: np.ndarray, times: np.ndarray) -> None:
        self._times = np.unique(times)
        self._span = len(self._times) + 1
        self._places = number * self._span + np.searchsorted(self._times, times) + 1

    def last(self, number: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the place of the last one by each time; it may be another key's."""
        rank = np.searchsorted(self._times, times, side="right")
        return np.searchsorted(self._places, number * self._span + rank, side="right") - 1


def require_sound(history: History) -> None:
    """Make sure that a history does not contradict itself.

    Raises:
        MeasurementError: It does, so it proves nothing.
    """
    writes, reads = history.writes, history.reads
    order = np.lexsort((writes["invoked"], writes["key"]))
    same = np.diff(writes["key"][order]) == 0

    def steps(name: str) -> np.ndarray:
        return np.diff(writes[name][order])[same]

    ends = np.where(writes["status"] == Status.UNKNOWN, writes["invoked"], writes["completed"])
    begun_early = (writes["invoked"][order][1:] < ends[order][:-1])[same]
    last = len(reads["process"])
    faults = {
        "a write ended before it began": ends < writes["invoked"],
        "a read ended before it began": reads["completed"] < reads["invoked"],
        "several processes wrote one key": steps("process") != 0,
        "a key changed its group": steps("group") != 0,
        "a key's versions do not grow": steps("version") <= 0,
        "two writes of one key were under way at once": begun_early,
        "an answer belongs to no read": np.concatenate(
            [(part["read"] < 0) | (part["read"] >= last) for part in (history.rows, history.asked)]
        ),
    }
    for what, broken in faults.items():
        if broken.any():
            raise MeasurementError(
                f"the history contradicts itself: {what}",
                where="history",
                seen=f"{int(broken.sum())} times",
                remedy="it was cut short or edited, or a clock was set: run the measurement again",
            )


def _found(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each wanted value, -1 where it is not there."""
    if not len(ascending):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[at] == wanted, at, -1)


def _sums(flags: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])


def _suffix_min(group: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the smallest time from each place to the end of its group; groups ascend."""
    if not len(times):
        return times
    ranks, values = np.unique(times, return_inverse=True)
    lifted = values[::-1] + group[::-1] * (len(ranks) + 1)
    return ranks[(np.minimum.accumulate(lifted) - group[::-1] * (len(ranks) + 1))[::-1]]
