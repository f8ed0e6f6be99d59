"""The loops: one search after the other, several under way, or a fixed rate.

A closed loop waits for a slow reply before it asks again, and so leaves out exactly the requests
that would have been slow. In the open loop they are sent on schedule whether or not earlier ones
are answered, and latency runs from the moment a request was *meant* to be sent: time spent waiting
in a queue, the client's or the server's, counts as it would for a user.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from validation.common import host
from validation.load import workers as processes
from validation.load.arrivals import Arrivals, schedule
from validation.load.plan import Plan
from validation.load.record import Feed, Record
from validation.load.replies import read
from validation.load.samples import Samples, counted
from validation.load.worker import Job

MAX_SECONDS = 300.0
FAILURES_IN_A_ROW = 10
RATE_A_WORKER = 5_000
"""Requests a second that one worker sends at half of a core: a search cost it 84 us at this rate,
against a server that costs next to nothing (`benchmarks/load.py`)."""


def serial(plan: Plan, *, n: int, warmup: int = 0, max_seconds: float = MAX_SECONDS) -> Samples:
    """Send requests one after the other: the latency of a server that has nothing else to do.

    See `closed_loop`.
    """
    return closed_loop(plan, n=n, under_way=1, warmup=warmup, max_seconds=max_seconds)


def closed_loop(
    plan: Plan,
    *,
    n: int,
    under_way: int,
    warmup: int = 0,
    max_seconds: float = MAX_SECONDS,
    numbers: np.ndarray | None = None,
) -> Samples:
    """Keep some requests under way, a new one as soon as one ends, and measure each.

    It ends early, and says so, when the time is over or several requests in a row fail: each of
    them may take as long as its deadline.

    Args:
        plan: The requests.
        n: How many to measure.
        under_way: How many at once.
        warmup: How many to send before, unmeasured.
        max_seconds: Time limit of sending.
        numbers: Which request of the plan each one is, int64, shape (n,); they are repeated in
            order if left out.

    Raises:
        MeasurementError: The worker process died or did not report.
    """
    feed = Feed(
        np.arange(n) if numbers is None else numbers,
        under_way=under_way,
        seconds=max_seconds,
        failures_in_a_row=FAILURES_IN_A_ROW,
    )
    limit = max_seconds + plan.deadline + 30
    return _samples(plan, [feed], processes.run([Job(plan, feed, warmup)], seconds=limit))


def open_loop(
    plan: Plan,
    *,
    rate: float,
    seconds: float,
    arrivals: Arrivals = "poisson",
    seed: int = 0,
    warmup: int = 50,
    workers: int | None = None,
) -> Samples:
    """Offer searches at a fixed rate for some time; they are repeated in order.

    Args:
        plan: The requests.
        rate: Offered requests per second.
        seconds: For how long.
        arrivals: See `schedule`.
        seed: Of the schedule.
        warmup: See `offered`.
        workers: See `offered`.

    Raises:
        MeasurementError: A worker process died or did not report.
    """
    due = schedule(rate, seconds, arrivals=arrivals, seed=seed)
    return offered(plan, due, np.arange(len(due)), warmup=warmup, workers=workers)


def offered(
    plan: Plan,
    due: np.ndarray,
    numbers: np.ndarray,
    *,
    warmup: int = 50,
    workers: int | None = None,
) -> Samples:
    """Send requests at their times, whether or not earlier ones are answered.

    Args:
        plan: The requests.
        due: When, seconds from the start, ascending, shape (n,).
        numbers: Which request of the plan each one is, int64, shape (n,).
        warmup: Requests that every worker sends before, one after the other.
        workers: Processes; as many as the rate takes if left out, at most one a core.

    Raises:
        MeasurementError: A worker process died or did not report.
    """
    seconds = float(due[-1])
    if workers is None:
        rate = (len(due) - 1) / max(seconds, 1e-9)
        # Drawn arrivals end a little before their time: a twentieth more is the same rate.
        workers = max(1, min(math.ceil(rate / RATE_A_WORKER - 0.05), host.cores()))
    feeds = [Feed(numbers[at::workers], due[at::workers]) for at in range(workers)]
    jobs = [Job(plan, feed, warmup) for feed in feeds]
    return _samples(plan, feeds, processes.run(jobs, seconds=seconds + plan.deadline + 30))


def _samples(plan: Plan, feeds: Sequence[Feed], records: Sequence[Record]) -> Samples:
    """Put the workers' records together in the order in which requests were meant to be sent."""
    due = np.concatenate([record.due_s for record in records])
    sent = np.concatenate([record.sent_s for record in records])
    done = np.concatenate([record.done_s for record in records])
    waited = np.concatenate([record.waited_s for record in records])
    numbers = np.concatenate(
        [feed.numbers[: len(record.due_s)] for feed, record in zip(feeds, records, strict=True)]
    )
    order = np.argsort(due, kind="stable")
    called = [failure for record in records for failure in record.failures]
    replies = read(plan, numbers, called, [one for record in records for one in record.replies])
    failures = np.array(replies.failures, dtype=object)
    lag = (sent - due) * 1000
    return Samples(
        latencies_ms=np.where(failures == "", (done - due) * 1000, np.inf)[order],
        offsets_s=due[order],
        lag_ms=lag[order],
        own_ms=(lag + waited * 1000)[order],
        numbers=numbers[order],
        replies=replies.taken(order),
        errors=counted(failures.tolist()),
        seconds=float(done.max() - due.min()) if len(due) else 0.0,
        uses=[record.use for record in records],
        limited=sum(record.limited for record in records),
        resent=sum(record.resent for record in records),
        turn_p99_ms=max(float(np.percentile(record.turns_s, 99)) * 1000 for record in records),
        broken_off=next((record.broken_off for record in records if record.broken_off), None),
    )
