"""One search after the other: the latency of a server that has nothing else to do."""

from __future__ import annotations

import time

import numpy as np

from validation.load.plan import Plan, Sender
from validation.load.samples import Samples, counted

MAX_SECONDS = 300.0
FAILURES_IN_A_ROW = 10


def serial(plan: Plan, *, n: int, warmup: int = 0, max_seconds: float = MAX_SECONDS) -> Samples:
    """Send requests one after the other and measure each.

    It ends early, and says so, when the time is over or several requests in a row fail: each of
    them may take as long as its deadline.

    Args:
        plan: The requests; they are repeated in order.
        n: How many to measure.
        warmup: How many to send before, unmeasured.
        max_seconds: Time limit of all of it.
    """
    sender = Sender(plan)
    deadline = time.monotonic() + max_seconds
    try:
        for number in range(warmup):
            if time.monotonic() > deadline or sender.send(number):
                break  # what is wrong shows, and is counted, below
        return _measured(sender, n, deadline, max_seconds)
    finally:
        sender.close()


def _measured(sender: Sender, n: int, deadline: float, max_seconds: float) -> Samples:
    latencies: list[float] = []
    offsets: list[float] = []
    failures: list[str] = []
    broken_off = None
    cpu, begun = time.process_time(), time.perf_counter()
    for number in range(n):
        if time.monotonic() > deadline:
            broken_off = f"{number} of {n} searches were done within {max_seconds:g} s"
            break
        started = time.perf_counter()
        failure = sender.send(number)
        latencies.append(np.inf if failure else (time.perf_counter() - started) * 1000)
        offsets.append(started - begun)
        failures.append(failure)
        recent = failures[-FAILURES_IN_A_ROW:]
        if len(recent) == FAILURES_IN_A_ROW and all(recent):
            broken_off = f"{FAILURES_IN_A_ROW} searches in a row failed: {failure}"
            break
    seconds = time.perf_counter() - begun
    return Samples(
        latencies_ms=np.array(latencies),
        offsets_s=np.array(offsets),
        lag_ms=np.zeros(len(latencies)),
        errors=counted(failures),
        seconds=seconds,
        client_cpu=(time.process_time() - cpu) / seconds if seconds > 0 else 0.0,
        broken_off=broken_off,
    )
