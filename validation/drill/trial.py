"""The trial of one fault: a clean second, the fault, recovery, and the proof."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from validation.drill import bench as benches
from validation.drill.acts import Seen
from validation.drill.bench import Bench
from validation.drill.collection import Collection
from validation.drill.exercise import Exercise
from validation.drill.faults import HOLD_SECONDS, Scripted
from validation.drill.findings import Findings, conclude
from validation.drill.proof import prove
from validation.drill.recovery import recover
from validation.drill.traffic import Traffic, Writes
from validation.errors import MeasurementError
from validation.milvus.connection import connect

CLEAN_SECONDS = 1.0
_READY_SECONDS = 60.0
_LATE_SECONDS = 30.0
_AGAIN_SECONDS = 0.5


def run_trial(
    bench: Bench, fault: Scripted, tell: Callable[[str], None] = lambda _: None
) -> Findings:
    """Let one fault happen while rows are written and searched, and see what is left.

    Args:
        bench: The servers and collections.
        fault: What goes wrong.
        tell: Is told how far it is.

    Raises:
        MeasurementError: Nothing of Milvus's met the fault, so nothing was seen.
        MilvusKitError: Milvus cannot even be connected to.
    """
    if fault.own_access:
        tell("Milvus takes its own access to the store")
        bench.take_own_access()
    endings = len(bench.endings)
    with connect(bench.target) as connection, connect(bench.target) as another:
        traffic = Traffic(connection, bench.dataset, live=bench.live, static=bench.static)
        exercise = Exercise(another, bench, traffic)
        traffic.start()
        try:
            tell("before the fault")
            calm = _calm(bench, traffic)
            tell("the fault is held")
            with fault.act(bench, traffic) as seen, exercise:
                bench.hold(HOLD_SECONDS)
                _hold_on(bench, fault, seen, exercise)
            tell("recovery")
            recovery = recover(bench, traffic, time.monotonic())
        finally:
            bench.proxy.script.disarm()
            traffic.stop()
            _account(bench.live, traffic.writes)
    _require_met(fault, seen, exercise, traffic)
    seamless = seen.seamless_from
    after = _failed(seamless, traffic.count()) if seamless is not None else np.zeros(0)
    tell("both collections are read from the store")
    proofs = prove(bench, recovered=math.isfinite(recovery.seconds))
    failed = np.concatenate([calm, after])
    found = conclude(traffic, recovery, proofs, failed=failed, served=seen.served)
    ended = bench.endings[endings:]
    found.restarts, found.stalled = len(ended), benches.STALLED if benches.STALLED in ended else ""
    found.reasons["drill.server_restarts"] = "; ".join(ended)
    found.evidence = {
        "story": fault.story,
        "requests_that_met_it": seen.requests,
        **seen.evidence,
        **exercise.evidence(),
        **found.evidence,
        "milvus_ended": ended,
    }
    return found


def _calm(bench: Bench, traffic: Traffic) -> np.ndarray:
    """Let a second without a fault pass; return of each search and insert whether it failed."""
    if not traffic.await_good(0.0, seconds=_READY_SECONDS):
        why = traffic.broken or traffic.waiting_since(0.0)
        raise MeasurementError(f"Milvus did not work before the fault began: {why}")
    before = traffic.count()
    bench.hold(CLEAN_SECONDS)
    return _failed(before, traffic.count())


def _hold_on(bench: Bench, fault: Scripted, seen: Seen, exercise: Exercise) -> None:
    """Hold the fault until a Milvus on a busy host has met it, up to a limit."""
    end = time.monotonic() + _LATE_SECONDS
    while exercise.unmet(reads=fault.reads, armed=seen.armed) and time.monotonic() < end:
        bench.hold(_AGAIN_SECONDS)


def _failed(before: tuple[int, int], now: tuple[int, int]) -> np.ndarray:
    """Return of each search and insert between two counts whether it failed."""
    done, failed = (late - early for late, early in zip(now, before, strict=True))
    return np.concatenate([np.zeros(done), np.ones(failed)])


def _account(live: Collection, writes: Writes) -> None:
    """Take over what was promised meanwhile."""
    live.sent = writes.sent
    live.acknowledged[writes.newer()] = True


def _require_met(fault: Scripted, seen: Seen, exercise: Exercise, traffic: Traffic) -> None:
    """Make sure that something was seen at all.

    Raises:
        MeasurementError: It was not.
    """
    if traffic.broken:
        raise MeasurementError(f"the drill's own traffic broke off: {traffic.broken}")
    if not seen.requests:
        raise MeasurementError(f"no request of Milvus's met the fault {fault.name}")
    if unmet := exercise.unmet(reads=fault.reads, armed=seen.armed):
        raise MeasurementError(unmet)
