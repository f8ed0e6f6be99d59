"""A worker process of the open loop: sends on schedule, notes when each reply arrives.

It is a process of its own so that nothing else in the client (pytest, a progress display) can hold
up its clock. Protocol: a pickled `Job` on standard input; ``ready`` on standard output once the
channel is warm; then, on standard input, the moment to start on the system's monotonic clock; in
the end a pickled `Record` on standard output. Secrets go through the pipe, never through argv.
"""

from __future__ import annotations

import dataclasses
import pickle
import struct
import sys
import threading
import time

import grpc
import numpy as np

from validation.load.plan import Plan, Sender, failure_of

READY = b"ready\n"
START = struct.Struct("<d")
_SWITCH_SECONDS = 0.0005  # CPython's 5 ms between threads would be a lag of its own


@dataclasses.dataclass(frozen=True)
class Job:
    """What one worker does.

    Args:
        plan: The requests.
        numbers: Which request of the plan each one is, int64, shape (n,).
        offsets_s: When to send each, seconds from the start, ascending, shape (n,).
        warmup: Requests to send before, one after the other.
    """

    plan: Plan
    numbers: np.ndarray
    offsets_s: np.ndarray
    warmup: int


@dataclasses.dataclass(frozen=True)
class Record:
    """What one worker saw: times in seconds from the start, shape (n,)."""

    sent_s: np.ndarray
    done_s: np.ndarray
    failures: list[str]
    cpu: float


def run(job: Job, sender: Sender, start: float) -> Record:
    """Send every request at its time and wait for all replies; each has a deadline.

    Args:
        job: What to send and when.
        sender: An open, warm channel.
        start: The zero of the schedule on `time.monotonic`.
    """
    count = len(job.offsets_s)
    sent, done = np.full(count, np.nan), np.full(count, np.nan)
    failures = ["gRPC: no reply"] * count
    left = threading.Semaphore(0)
    requests = job.plan.requests

    def note(at: int, call: grpc.Future) -> None:
        done[at] = time.monotonic() - start
        try:
            failures[at] = sender.check(int(job.numbers[at]), call.result())
        except grpc.RpcError as error:
            failures[at] = failure_of(error)
        except Exception as error:  # noqa: BLE001  (a reply that cannot be parsed is a failure)
            failures[at] = type(error).__name__
        left.release()

    began = time.process_time()
    for at, (number, offset) in enumerate(zip(job.numbers, job.offsets_s, strict=True)):
        wait = start + offset - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sent[at] = time.monotonic() - start
        call = sender.method.future(
            requests[number % len(requests)], timeout=job.plan.deadline, metadata=sender.metadata
        )
        call.add_done_callback(lambda finished, at=at: note(at, finished))
    last = time.monotonic() + job.plan.deadline + 5
    for _ in range(count):
        if not left.acquire(timeout=max(0.0, last - time.monotonic())):
            break
    wall = max(1e-9, time.monotonic() - start)
    return Record(sent, done, failures, (time.process_time() - began) / wall)


def main() -> None:
    """Do the job that comes in on standard input."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.setswitchinterval(_SWITCH_SECONDS)
    job = pickle.load(source)  # noqa: S301  (from the process that started this one)
    sender = Sender(job.plan)
    for number in range(job.warmup):
        if sender.send(number):
            break  # what is wrong shows, and is counted, in what follows
    sink.write(READY)
    sink.flush()
    begin = source.read(START.size)
    if len(begin) == START.size:  # otherwise whoever started this one is gone
        pickle.dump(run(job, sender, START.unpack(begin)[0]), sink)
        sink.flush()
    sender.close()
