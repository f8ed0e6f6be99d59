"""What a client's thread used, and what it was kept from, while it measured: figures alone.

`validation.load.starvation` judges them. They come from the kernel: a thread that waits for its
turn uses no CPU, so that its own CPU time cannot tell that it was starved.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_GROUPS = Path("/proc/self/cgroup")
_GROUPS_ROOT = Path("/sys/fs/cgroup")
_HOST_PRESSURE = Path("/proc/pressure/cpu")


@dataclasses.dataclass(frozen=True)
class ClientUse:
    """One stretch of one thread, in seconds; None where the kernel does not say.

    Args:
        seconds: How long it was.
        cpu: That it ran.
        waited: That it was ready to run and another ran (``/proc/thread-self/schedstat``).
        throttled: That its control group's quota was used up (``cpu.stat``).
        pressure: That something of its control group, or of the host, waited for CPU (PSI).
        pressure_of: ``cgroup`` or ``host``.
    """

    seconds: float
    cpu: float
    waited: float | None = None
    throttled: float | None = None
    pressure: float | None = None
    pressure_of: str = ""

    @property
    def got(self) -> float | None:
        """Share of the CPU that it wanted which it got; None if that is not known."""
        if self.waited is None:
            return None
        wanted = self.cpu + self.waited + (self.throttled or 0.0)
        return self.cpu / wanted if wanted > 0 else 1.0

    @property
    def wanted(self) -> float:
        """Cores that it wanted: what it ran and what it waited, by its time."""
        waited = (self.waited or 0.0) + (self.throttled or 0.0)
        return (self.cpu + waited) / self.seconds if self.seconds > 0 else 0.0


class RunQueue:
    """How long this thread has waited for a core so far. Open it in the thread that it is about."""

    def __init__(self) -> None:
        try:
            self._file: int | None = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None

    def seconds(self) -> float:
        """Return the seconds waited so far; NaN if the kernel does not say."""
        if self._file is None:
            return float("nan")
        return int(os.pread(self._file, 80, 0).split()[1]) / 1e9

    def close(self) -> None:
        """Close the kernel's file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Use:
    """Takes the figures of a stretch: make it at the beginning, ask `so_far` at the end."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._pressure, self._pressure_of = _pressure_file()
        self._stat = _group_file("cpu.stat")
        self._began = self._now()

    def so_far(self) -> ClientUse:
        """Return what was used, and waited for, since this was made."""
        gained = [
            None
            if before is None or after is None or after != after  # noqa: PLR0124  (NaN)
            else after - before
            for before, after in zip(self._began, self._now(), strict=True)
        ]
        seconds, cpu, waited, throttled, pressure = gained
        return ClientUse(
            seconds or 0.0,
            cpu or 0.0,
            waited,
            throttled,
            pressure,
            self._pressure_of if pressure is not None else "",
        )

    def _now(self) -> tuple[float | None, ...]:
        return (
            time.monotonic(),
            time.thread_time(),
            self._queue.seconds(),
            _counter(self._stat, "throttled_usec ", 1e6),
            _counter(self._pressure, "total=", 1e6),
        )


def _pressure_file() -> tuple[Path | None, str]:
    """Return where pressure is told: by our own control group where there is one, else the host."""
    mine = _group_file("cpu.pressure")
    if mine is not None:
        return mine, "cgroup"
    return (_HOST_PRESSURE, "host") if _HOST_PRESSURE.exists() else (None, "")


def _group_file(name: str) -> Path | None:
    """Return a file of this process's control group of version 2; None at the root or without."""
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    for root in (_GROUPS_ROOT, _GROUPS_ROOT / "unified"):
        for path in paths:
            # A container sees its own group as the root, and only a group of its own has limits.
            if (root / path / name).is_file() and (path or (root / "cpu.max").is_file()):
                return root / path / name
    return None


def _counter(path: Path | None, before: str, scale: float) -> float | None:
    """Return the first number that stands behind some text in a kernel's file."""
    try:
        text = path.read_text(encoding="utf-8") if path is not None else ""
    except OSError:
        return None
    _, found, rest = text.partition(before)
    digits = rest.split(maxsplit=1)[0] if found and rest else ""
    return int(digits) / scale if digits.isdecimal() else None
