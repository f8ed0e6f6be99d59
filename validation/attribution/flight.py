"""When a read of the store was certainly under way, from counters sampled meanwhile.

A histogram of durations says how many requests ended, how long they took together, and how many
took no longer than each of its limits. So of the requests that ended between two samples it is
known how long the longest took at least, and that it ended between the samples: it was under way
from that long before the later one until the earlier one. Requests shorter than the time between
samples leave no certain trace; for them this says too little, never too much, however many of them
there were at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from validation.errors import MilvusKitError
from validation.milvus import metrics
from validation.milvus.storage_reads import HALVES, Ended, reads_so_far
from validation.target import Milvus

STEP_SECONDS = 0.05
_IDLE_SHARE = 10
"""A scrape may take a tenth of the time between two: servers with many collections answer late."""

_NONE = Ended(0.0, 0.0)

Spans = tuple[tuple[float, float], ...]
"""Stretches of `time.monotonic`, in order and apart from each other."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """What had ended in one process by some moment.

    Args:
        asked: When the counters were asked for, on `time.monotonic`.
        answered: When they were there: they were read in between.
        ended: By S3 client and operation, which requests had ended.
    """

    asked: float
    answered: float
    ended: dict[tuple[str, str], Ended]


class Recording:
    """The samples of each process, growing until the recording ends."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {}

    def under_way(self) -> Spans:
        """Return when a read of any process was certainly under way."""
        spans = [span for samples in self.samples.values() for span in certain(samples)]
        return joined(spans)


@contextlib.contextmanager
def sampled(milvus: Milvus, addresses: Iterable[str]) -> Iterator[Recording]:
    """Sample the reads of each process in the background while the block runs."""
    recording, over = Recording(), threading.Event()
    threads = []
    for address in addresses:
        samples = recording.samples.setdefault(address, [])
        threads.append(
            threading.Thread(target=_keep, args=(milvus, address, samples, over), daemon=True)
        )
    for thread in threads:
        thread.start()
    try:
        yield recording
    finally:
        over.set()
        end = time.monotonic() + metrics.TIMEOUT_SECONDS
        for thread in threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))


def _keep(milvus: Milvus, address: str, samples: list[Sample], over: threading.Event) -> None:
    """Sample one process until it is over, and once more then: by then the last reads ended."""
    ending = False
    while not ending:
        ending = over.is_set()
        asked = time.monotonic()
        with contextlib.suppress(MilvusKitError):  # a sample that is missing proves nothing
            seen = metrics.scrape(milvus, address=address, only=HALVES)
            samples.append(Sample(asked, time.monotonic(), reads_so_far(seen)))
        over.wait(max(STEP_SECONDS, _IDLE_SHARE * (time.monotonic() - asked)))


def certain(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Return when a read of one process was certainly under way; spans may overlap.

    Args:
        samples: Of that process, in the order of time.
    """
    spans = [
        (later.answered - longest(earlier.ended.get(key, _NONE), ended), earlier.asked)
        for earlier, later in itertools.pairwise(samples)
        for key, ended in later.ended.items()
    ]
    return [span for span in spans if span[0] < span[1]]


def longest(before: Ended, after: Ended) -> float:
    """Return how many seconds the longest of the requests took at least that ended in between.

    Those under the highest limit that any of them exceeded took no more than their own limits; what
    is left of the time was that of the few above it.
    """
    count, seconds = after.count - before.count, after.seconds - before.seconds
    if count <= 0:
        return 0.0
    at_least, below = seconds / count, 0.0
    for limit, within in sorted(after.within.items()):
        under = within - before.within.get(limit, 0.0)
        new, above = under - below, count - under
        if not math.isfinite(limit) or above <= 0:
            break
        seconds -= new * limit
        at_least, below = max(at_least, seconds / above, limit), under
    return at_least


def joined(spans: Iterable[tuple[float, float]]) -> Spans:
    """Return the same time as stretches that do not overlap."""
    found: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return tuple(found)


def within(spans: Spans, begin: float, end: float) -> float:
    """Return how many seconds of an interval the spans cover."""
    return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in spans)
