"""Searches at a fixed offered rate, sent on schedule whether or not earlier ones are answered.

A closed loop waits for a slow reply before it asks again, and so leaves out exactly the requests
that would have been slow. Here latency runs from the moment a request was *meant* to be sent: time
spent waiting in a queue, the client's or the server's, counts as it would for a user.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np

import validation
from validation.errors import MeasurementError
from validation.load.plan import Plan
from validation.load.samples import Samples, counted, saturation
from validation.load.worker import READY, START, Job, Record

Arrivals = Literal["poisson", "uniform"]
_START_SECONDS = 60.0
_HEAD_START = 0.1
_ROOT = str(Path(validation.__file__).resolve().parent.parent)


def open_loop(
    plan: Plan,
    *,
    rate: float,
    seconds: float,
    arrivals: Arrivals = "poisson",
    seed: int = 0,
    warmup: int = 50,
    workers: int = 1,
) -> Samples:
    """Offer searches at a fixed rate for some time.

    It cannot hang: the number of requests is fixed, each has a deadline, and workers that do not
    report within all deadlines are stopped.

    Args:
        plan: The requests; they are repeated in order.
        rate: Offered requests per second.
        seconds: For how long.
        arrivals: See `schedule`.
        seed: Of the schedule.
        warmup: Requests that every worker sends before, one after the other.
        workers: Processes; one offers some 2,000 requests a second.

    Raises:
        MeasurementError: A worker process died or did not report.
    """
    offsets = schedule(rate, seconds, arrivals=arrivals, seed=seed)
    numbers = np.arange(len(offsets))
    jobs = [Job(plan, numbers[at::workers], offsets[at::workers], warmup) for at in range(workers)]
    limit = seconds + plan.deadline + 30
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_worker(limit + warmup * plan.deadline)) for _ in jobs]
        for process, job in zip(processes, jobs, strict=True):
            _tell(process, pickle.dumps(job))
        for process in processes:
            if _pipe(process.stdout).readline() != READY:
                raise _died(process)
        begin = START.pack(time.monotonic() + _HEAD_START)
        for process in processes:
            _tell(process, begin)
        records = [_record(process) for process in processes]
    return _samples(jobs, records, rate=rate)


def schedule(
    rate: float, seconds: float, *, arrivals: Arrivals = "poisson", seed: int = 0
) -> np.ndarray:
    """Return when to send each request, seconds from the start, ascending.

    There are always ``round(rate * seconds)`` of them, at least one. ``uniform`` spaces them
    evenly. ``poisson`` draws that many moments uniformly from the interval and sorts them, which is
    a Poisson process given its number of arrivals: independent users, with the bursts they make.

    Args:
        rate: Requests per second.
        seconds: Length of the interval.
        arrivals: How they are spread.
        seed: Of the draw; the same seed gives the same schedule.

    Returns:
        Float64, shape (n,).
    """
    count = max(1, round(rate * seconds))
    if arrivals == "uniform":
        return np.arange(count) / rate
    random = np.random.Generator(np.random.PCG64(seed))
    return np.sort(random.random(count)) * seconds


def _samples(jobs: list[Job], records: list[Record], *, rate: float) -> Samples:
    """Put the workers' records together in the order of the schedule."""
    offsets = np.concatenate([job.offsets_s for job in jobs])
    sent = np.concatenate([record.sent_s for record in records])
    done = np.concatenate([record.done_s for record in records])
    failures = np.concatenate([np.array(record.failures, dtype=object) for record in records])
    order = np.argsort(offsets, kind="stable")
    latencies = np.where((failures == "") & np.isfinite(done), (done - offsets) * 1000, np.inf)
    # A request that was never sent is as late as can be.
    lag = np.where(np.isfinite(sent), (sent - offsets) * 1000, np.inf)
    ended = float(np.nanmax(done)) if np.isfinite(done).any() else float(offsets.max())
    return Samples(
        latencies_ms=latencies[order],
        offsets_s=offsets[order],
        lag_ms=lag[order],
        errors=counted(failures[order].tolist()),
        seconds=ended - float(offsets.min()),
        client_cpu=sum(record.cpu for record in records),
        saturated=saturation(lag, max(record.cpu for record in records), rate=rate),
    )


@contextlib.contextmanager
def _worker(limit: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker process; it is gone when the block ends, and killed when its time is over."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", "from validation.load import worker; worker.main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *_inherited_path()])},
        # Ctrl-C reaches this process alone, which then ends the worker below.
        start_new_session=True,
    )
    guard = threading.Timer(limit + _START_SECONDS, process.kill)
    guard.daemon = True
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _inherited_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _tell(process: subprocess.Popen[bytes], message: bytes) -> None:
    try:
        _pipe(process.stdin).write(message)
        _pipe(process.stdin).flush()
    except OSError:
        raise _died(process) from None


def _record(process: subprocess.Popen[bytes]) -> Record:
    try:
        return pickle.load(_pipe(process.stdout))  # noqa: S301  (our own worker wrote it)
    except (EOFError, pickle.UnpicklingError):
        raise _died(process) from None


def _died(process: subprocess.Popen[bytes]) -> MeasurementError:
    return MeasurementError(
        "a worker process of the load generator ended before it reported",
        seen=f"exit status {process.poll()}",
        remedy="look for memory shortage on the client, then run again",
    )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("a worker without pipes")
    return stream
