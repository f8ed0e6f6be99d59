"""A worker process: one engine, with nothing beside it that could hold up its clock.

Protocol: a pickled `Job` on standard input; ``ready`` on standard output once its connections are
warm; then, on standard input, the moment to start on the system's monotonic clock; in the end a
pickled `Record` on standard output. Secrets go through the pipe, never through argv.
"""

from __future__ import annotations

import ctypes
import dataclasses
import pickle
import struct
import sys

import numpy as np

from validation.load.engine import Engine
from validation.load.plan import Plan
from validation.load.record import Feed

READY = b"ready\n"
START = struct.Struct("<d")
_PR_SET_TIMERSLACK = 29


@dataclasses.dataclass(frozen=True)
class Job:
    """What one worker does.

    Args:
        plan: The requests.
        feed: Which of them, and when.
        warmup: Requests to send before, one after the other.
        connections: How many to open.
    """

    plan: Plan
    feed: Feed
    warmup: int = 0
    connections: int = 1


def main() -> None:
    """Do the job that comes in on standard input."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    # A sleep ends when it is over, not up to 50 us later so that the kernel wakes up less often.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    job: Job = pickle.load(source)  # noqa: S301  (from the process that started this one)
    with Engine(job.plan, connections=job.connections) as engine:
        # What is wrong shows, and is counted, in what follows.
        engine.run(Feed(np.arange(job.warmup), failures_in_a_row=1))
        sink.write(READY)
        sink.flush()
        begin = source.read(START.size)
        if len(begin) == START.size:  # otherwise whoever started this one is gone
            record = engine.run(job.feed, start=START.unpack(begin)[0])
            pickle.dump(record, sink, protocol=pickle.HIGHEST_PROTOCOL)
            sink.flush()
