"""Processes of a run that was killed: found by a mark in their environment, and ended.

A harness that is killed takes neither the engine with it nor the plugins, and these go on: a
cluster can still be growing while one gives the machine back. Everything that a run starts inherits
the mark, which says whose it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from infra.kubernetes.node.plan import FOLDER, STATE
from validation.errors import MilvusKitError, OwnershipError

MARK = "MILVUS_KIT_E2E_HARNESS"
_SECONDS = 10.0


def mark() -> None:
    """Mark this process, and so everything that it starts from now on."""
    os.environ[MARK] = f"{os.getpid()}-{_started(os.getpid())}"


def require_no_other_run() -> None:
    """Make sure that nobody else's run is under way.

    Raises:
        OwnershipError: One is; ending what it uses would only look like its failure.
    """
    for harness in {harness for _, harness in _marked()}:
        if _runs(harness) and harness != os.environ.get(MARK):
            pid = harness.partition("-")[0]
            raise OwnershipError(
                "an end-to-end run is under way on this machine",
                where=f"process {pid}",
                remedy=f"wait for it, or end it (`kill {pid}`) and run this again",
            )


def end(*, node: bool) -> list[str]:
    """End what killed runs left; return the command lines.

    Args:
        node: Whether the node's own services are meant too: containerd, the kubelet and what keeps
            them running are needed to give the node back.

    Raises:
        MilvusKitError: A process does not end.
    """
    told = {}
    deadline = time.monotonic() + _SECONDS
    while left := {pid for pid in _strays() if node or not _serves_the_node(pid)}:
        if time.monotonic() > deadline:
            raise MilvusKitError("processes of a run that was killed do not end", seen=sorted(left))
        for pid in left:
            told.setdefault(pid, " ".join(_command(pid))[:120])
            _kill(pid)
        time.sleep(0.1)
    return [f"process {pid} ({command})" for pid, command in told.items() if command]


def left() -> list[str]:
    """Return the processes of killed runs that are still there."""
    return [f"process {pid} {' '.join(_command(pid))[:120]}" for pid in _strays()]


def _strays() -> Iterator[int]:
    return (pid for pid, harness in _marked() if not _runs(harness))


def _marked() -> Iterator[tuple[int, str]]:
    """Yield each marked process with its mark, this one left out."""
    start = f"{MARK}=".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
            zombie = not (folder / "cmdline").read_bytes()
        except OSError:
            continue
        found = next((one for one in entries if one.startswith(start)), None)
        if found and not zombie and int(folder.name) != os.getpid():
            yield int(folder.name), found.removeprefix(start).decode()


def _runs(harness: str) -> bool:
    pid, _, started = harness.partition("-")
    return pid.isdigit() and _started(int(pid)) == started


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot: ids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return "never"
    return stat.rpartition(")")[2].split()[19]


def _serves_the_node(pid: int) -> bool:
    arguments = _command(pid)
    ours = any(one.startswith((FOLDER, STATE, "--config=/var/lib/kubelet")) for one in arguments)
    return ours or not arguments


def _command(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in text.split(b"\0") if part]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
