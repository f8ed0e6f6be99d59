"""How long the history checker takes for a million operations, and how much memory."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

from validation.history.checker import check
from validation.history.record import EVERYTHING, Kind, Level, Recorder

KEYS, WRITES, READS = 100_000, 500_000, 500_000


def made() -> Recorder:
    """Return a history of a right store: every key written five times, every read answered."""
    recorder, draw = Recorder(), np.random.default_rng(7)
    for turn in range(WRITES // KEYS):
        for at in range(0, KEYS, 10):
            keys = np.arange(at, at + 10)
            begun = turn * 10_000_000 + at * 10
            recorder.write(
                Kind.UPSERT, keys, [turn + 1] * 10, process=1, invoked=begun, completed=begun + 5
            )
    end = (WRITES // KEYS) * 10_000_000
    last = WRITES // KEYS
    for number, key in enumerate(draw.integers(0, KEYS, READS - 2)):
        begun = end + number * 10
        recorder.read(
            Level.STRONG,
            process=2,
            invoked=begun,
            completed=begun + 5,
            keys=[key],
            versions=[last],
            asked=[key],
        )
    for number in range(2):
        begun = end + (READS + number) * 10
        everything = {"keys": np.arange(KEYS), "versions": np.full(KEYS, last), "scope": EVERYTHING}
        recorder.read(Level.STRONG, process=2, invoked=begun, completed=begun + 5, **everything)
    return recorder


def main() -> None:
    """Check one history and print time and memory beside what was promised."""
    history = made().history()
    begun = time.process_time()
    found = check(history, bounded_ns=0)
    seconds = time.process_time() - begun
    if any(found.counts.values()):
        raise SystemExit(f"a right history was blamed: {found.examples}")
    tracemalloc.start()
    check(history, bounded_ns=0)
    peak = tracemalloc.get_traced_memory()[1]
    print(f"history of {len(history):,} operations, {found.sightings:,} sightings")
    print(f"  CPU {seconds:.2f} s of at most 10; {peak >> 20} MiB beside the history of 1024")


if __name__ == "__main__":
    main()
