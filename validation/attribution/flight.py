"""For how long a read of the store was certainly under way, from counters sampled meanwhile.

A histogram of durations says how many requests ended and how long they took together. If, between
two samples, n requests ended that took s seconds in all, one of them took s/n or more, and it ended
between the samples: it was under way from s/n before the later one until the earlier one. Requests
shorter than the time between samples leave no certain trace; for them this says too little, never
too much.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Iterator, Sequence

from validation.errors import MilvusKitError
from validation.milvus import metrics
from validation.milvus.storage_reads import HALVES, reads_so_far
from validation.target import Milvus

STEP_SECONDS = 0.1
_IDLE_SHARE = 10
"""A scrape may take a tenth of the time between two: servers with many collections answer late."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """What had ended by some moment.

    Args:
        asked: When the counters were asked for, on `time.monotonic`.
        answered: When they were there: they were read in between.
        ended: By S3 client and operation, how many requests had ended and their seconds together.
    """

    asked: float
    answered: float
    ended: dict[tuple[str, str], tuple[float, float]]


@contextlib.contextmanager
def sampled(milvus: Milvus) -> Iterator[list[Sample]]:
    """Sample Milvus's reads of the store in the background; the list grows until the block ends."""
    samples: list[Sample] = []
    over = threading.Event()

    def run() -> None:
        while True:
            with contextlib.suppress(MilvusKitError):  # a sample that is missing proves nothing
                samples.append(_sample(milvus))
            took = samples[-1].answered - samples[-1].asked if samples else 0.0
            if over.wait(max(STEP_SECONDS, _IDLE_SHARE * took)):
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield samples
        with contextlib.suppress(MilvusKitError):
            last = _sample(milvus)
            over.set()
            thread.join()
            samples.append(last)
            samples.sort(key=lambda one: one.answered)
    finally:
        over.set()
        thread.join(timeout=metrics.TIMEOUT_SECONDS)


def _sample(milvus: Milvus) -> Sample:
    asked = time.monotonic()
    seen = metrics.scrape(milvus, only=HALVES)
    return Sample(asked, time.monotonic(), reads_so_far(seen))


def least(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Return for how many seconds of an interval a read was certainly under way.

    Args:
        samples: In the order of time.
        begin: Of the interval, on the samples' clock.
        end: Of the interval.
    """
    spans: list[tuple[float, float]] = []
    for earlier, later in itertools.pairwise(samples):
        for key, (count, seconds) in later.ended.items():
            count_before, seconds_before = earlier.ended.get(key, (0.0, 0.0))
            ended = count - count_before
            if ended > 0:
                mean = (seconds - seconds_before) / ended
                spans.append((max(begin, later.answered - mean), min(end, earlier.asked)))
    covered, until = 0.0, begin
    for start, stop in sorted(span for span in spans if span[0] < span[1]):
        covered += max(0.0, stop - max(start, until))
        until = max(until, stop)
    return covered
