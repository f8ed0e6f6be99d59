"""The machine that measures: a latency means nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from validation.report.results import Host


def this_host() -> Host:
    """Return what the results say of this machine."""
    from validation.report.results import Host  # noqa: PLC0415  (it loads scipy)

    return Host(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=_cpu(),
        cores=cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_available() -> int:
    """Return how many bytes this process may still take: the host's, within its cgroup's limit."""
    lines = _read("/proc/meminfo").splitlines()
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    free = found or [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit, used, droppable in _CGROUP:
        most, taken = (_read(_CGROUPS + name).strip() for name in (limit, used))
        if most.isdigit() and taken.isdigit():
            lines = _read(str(Path(_CGROUPS + limit).with_name("memory.stat"))).splitlines()
            stat = dict(line.split() for line in lines)
            free.append(max(0, int(most) - int(taken) + int(stat.get(droppable, 0))))
    return min(free)


_CGROUPS = "/sys/fs/cgroup/"
_CGROUP = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""A container's own limit, what it uses, and what of that can be dropped: versions 2 and 1."""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _cpu() -> str:
    lines = _read("/proc/cpuinfo").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
