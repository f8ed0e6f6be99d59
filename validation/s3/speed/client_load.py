"""Whether the client that measures a store was itself the limit.

Three shares tell it, each of the time that a measurement took:

- of the event loop, what it did not spend waiting for anything to happen. All requests pass through
  this one thread, so that a host with many cores can be nearly idle while it is at its end. Its CPU
  time is in this, and so is its waiting for the interpreter's lock and for a core.
- of the process, its CPU time in what it may use: the cores it is bound to, and the quota of its
  control groups, which a container has.
- of the host, how busy these cores were, whoever it was: a client that waits for its turn shows in
  no CPU time of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import os
import selectors
import time
from pathlib import Path

from validation.common import host

_LIMIT = 0.9
_FEWEST_TICKS = 20
"""The kernel counts in ticks of 10 ms; of fewer than these a share is mostly rounding."""
_STAT = Path("/proc/stat")
_GROUPS = Path("/proc/self/cgroup")
_GROUPS_ROOT = Path("/sys/fs/cgroup")


@dataclasses.dataclass(frozen=True)
class ClientLoad:
    """How busy the client was, as shares of the time: 1 is all of it."""

    loop: float
    process: float
    host: float

    @property
    def limit(self) -> str:
        """Why the client was the limit; empty if it was not."""
        if self.loop >= _LIMIT:
            return f"the client's event loop was {self.loop:.0%} busy"
        if self.process >= _LIMIT:
            return f"the client used {self.process:.0%} of its CPU"
        if self.host >= _LIMIT:
            return f"this host's CPU was {self.host:.0%} busy"
        return ""


class _Selector(selectors.DefaultSelector):
    """Counts how long the loop waited because nothing was there to be done."""

    idle = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # What is ready by now is taken at once: the time in such a call is no idleness but the wait
        # for the interpreter's lock, which the client's own threads hold.
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        started = time.perf_counter()
        try:
            return super().select(timeout)
        finally:
            self.idle += time.perf_counter() - started


class Watch:
    """Watches one measurement on a loop of its own: make the loop, `begin` in it, and `end`."""

    def __init__(self) -> None:
        self._selector = _Selector()
        self._cores = cores()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop to measure on."""
        return asyncio.SelectorEventLoop(self._selector)

    def begin(self) -> None:
        """Start counting."""
        self._host = host_ticks()
        self._idle, self._cpu = self._selector.idle, time.process_time()
        self._started = time.perf_counter()

    def end(self) -> ClientLoad:
        """Return how busy the client was since `begin`."""
        wall = max(time.perf_counter() - self._started, 1e-9)
        return ClientLoad(
            loop=max(0.0, 1 - (self._selector.idle - self._idle) / wall),
            process=(time.process_time() - self._cpu) / (wall * self._cores),
            host=_busy(self._host, host_ticks()),
        )


def _bound_to() -> set[int]:
    """Return the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cores() -> float:
    """Return how many cores' time this process may use."""
    return max(min(host.cores(), quota()), 0.01)


def quota(groups: Path = _GROUPS, root: Path = _GROUPS_ROOT) -> float:
    """Return how many cores' time the control groups of this process allow; inf if they do not say.

    Args:
        groups: Tells the groups, one a line.
        root: Where they are mounted, of either version.
    """
    found = [math.inf]
    for line in _lines(groups):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for base in (root / (controllers or "unified"), root / "cpu" if controllers else root):
            folder = base / path.lstrip("/")
            found += [
                _quota_of(one) for one in (folder, *folder.parents) if one.is_relative_to(base)
            ]
    return min(found)


def _quota_of(folder: Path) -> float:
    words = " ".join(_lines(folder / "cpu.max")).split()  # version 2: "QUOTA PERIOD"
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [line for name in names for line in _lines(folder / name)]
    try:
        allowed, period = map(float, words)
    except ValueError:  # nothing is there, or it says "max"
        return math.inf
    return allowed / period if allowed > 0 and period > 0 else math.inf


def host_ticks(stat: Path = _STAT) -> tuple[int, int]:
    """Return the busy and all ticks so far of the cores this process may run on.

    Time that another virtual machine took is busy; waiting for a disk is not.
    """
    names = {f"cpu{number}" for number in _bound_to()}
    busy = total = 0
    for name, *words in (line.split() for line in _lines(stat) if line.startswith("cpu")):
        if name in names:
            user, nice, system, idle, waiting, *more = map(int, words[:8])
            busy += user + nice + system + sum(more)
            total += user + nice + system + idle + waiting + sum(more)
    return busy, total


def _busy(before: tuple[int, int], after: tuple[int, int]) -> float:
    total = after[1] - before[1]
    return (after[0] - before[0]) / total if total >= _FEWEST_TICKS else 0.0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
