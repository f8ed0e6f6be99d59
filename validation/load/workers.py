"""Worker processes: started, warmed, let go together, and gone at the end, however it comes."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from validation.errors import MeasurementError
from validation.load import process
from validation.load.process import pipe
from validation.load.record import Record
from validation.load.worker import READY, START, Job

_START_SECONDS = 60.0
_HEAD_START = 0.1


def run(jobs: Sequence[Job], *, seconds: float) -> list[Record]:
    """Let one process do each job, all from the same moment on, and return what they saw.

    It cannot hang: workers that do not report in time are stopped.

    Args:
        jobs: One a process.
        seconds: How long a job may take once it has begun, at most.

    Raises:
        MeasurementError: A worker process died or did not report.
    """
    with contextlib.ExitStack() as stack:
        limits = [seconds + job.warmup * job.plan.deadline for job in jobs]
        processes = [stack.enter_context(_worker(limit)) for limit in limits]
        for one, job in zip(processes, jobs, strict=True):
            _tell(one, pickle.dumps(job))
        for one in processes:
            if pipe(one.stdout).readline() != READY:
                raise _died(one)
        begin = START.pack(time.monotonic() + _HEAD_START)
        for one in processes:
            _tell(one, begin)
        return [_record(one) for one in processes]


@contextlib.contextmanager
def _worker(limit: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker process; it is gone when the block ends, and killed when its time is over."""
    with process.running("validation.load.worker") as one:
        guard = threading.Timer(limit + _START_SECONDS, one.kill)
        guard.daemon = True
        guard.start()
        try:
            yield one
        finally:
            guard.cancel()


def _tell(one: subprocess.Popen[bytes], message: bytes) -> None:
    try:
        pipe(one.stdin).write(message)
        pipe(one.stdin).flush()
    except OSError:
        raise _died(one) from None


def _record(one: subprocess.Popen[bytes]) -> Record:
    try:
        return pickle.load(pipe(one.stdout))  # noqa: S301  (our own worker wrote it)
    except (EOFError, pickle.UnpicklingError):
        raise _died(one) from None


def _died(one: subprocess.Popen[bytes]) -> MeasurementError:
    return MeasurementError(
        "a worker process of the load generator ended before it reported",
        seen=f"exit status {one.poll()}",
        remedy="look for memory shortage on the client, then run again",
    )
