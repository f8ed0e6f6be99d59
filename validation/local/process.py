"""One server of the embedded stack as a process that can be found again, stopped and restarted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from validation.errors import EmbeddedStackError
from validation.local import supervisor

_TAIL_LINES = 12
_TAIL_BYTES = 64 * 1024
_STOP_SECONDS = supervisor.GRACE_SECONDS + 8
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Owner:
    """The process a server ends with; a process id alone is not enough, since ids are used again.

    ``pid`` 0 is nobody.
    """

    pid: int = 0
    started: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Return the owner that stands for the calling process."""
        return cls(os.getpid(), supervisor.start_time(os.getpid()))

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return bool(self.started) and supervisor.start_time(self.pid) == self.started


NOBODY = Owner()


@dataclasses.dataclass(frozen=True)
class Running:
    """A server that was started: enough to find it again from another process.

    ``pid`` is its supervisor's; the start time goes with it, since ids are used again.
    """

    name: str
    pid: int
    started: str
    log: Path
    child_file: Path

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return bool(self.started) and supervisor.start_time(self.pid) == self.started

    def server_pid(self) -> int | None:
        """Return the process id of the server itself, None if it has not started yet."""
        try:
            return int(self.child_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def log_end(self) -> str:
        """Return the end of its log since it last started, at most 64 KiB."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = stream.read().decode("utf-8", errors="replace")
                return text.rpartition(supervisor.START_MARK)[2]
        except OSError:
            return "(no log)"


def start(
    name: str,
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    owner: Owner,
    off: Sequence[Sequence[str]] = (),
) -> Running:
    """Start a server under its supervisor.

    Args:
        name: Of the server; its log is ``logs/NAME.log`` of the folder.
        command: Without secrets: arguments can be read by anyone on the host.
        folder: Working folder and home of its files.
        environment: Added to a minimal environment.
        owner: The process the server ends with, or `NOBODY`.
        off: Commands that end the server, where a signal to its process does not: a container.
    """
    log = folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    child_file = folder / f"{name}.pid"
    child_file.unlink(missing_ok=True)
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", str(Path(supervisor.__file__))),
                *(str(owner.pid), owner.started, str(child_file), json.dumps(off)),
                *("--", *command),
            ],
            cwd=folder,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _ours[process.pid] = process
    return Running(name, process.pid, supervisor.start_time(process.pid), log, child_file)


_ours: dict[int, subprocess.Popen[bytes]] = {}
"""Supervisors started by this process: they must be waited for, or they stay as zombies."""


def release(running: Running) -> None:
    """Let a server run on after its owner's end."""
    if running.alive():
        os.kill(running.pid, signal.SIGUSR2)


def stop(running: Running, *, kill: bool = False) -> None:
    """Stop a server and wait until it is gone.

    Args:
        running: What `start` returned, perhaps in another process.
        kill: Kill it at once, as a crash would, instead of asking.

    Raises:
        EmbeddedStackError: It is still there after the grace period.
    """
    if running.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGUSR1 if kill else signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while running.alive():
        if time.monotonic() > deadline:
            raise EmbeddedStackError(
                f"{running.name} does not stop",
                where=str(running.log),
                seen=f"process {running.pid}",
                remedy=f"look at the log, then end it with `kill -9 {running.pid}`",
            )
        time.sleep(_POLL_SECONDS)
    _reap(running.pid)


def _reap(pid: int) -> None:
    process = _ours.get(pid)
    if process is not None and process.poll() is not None:
        del _ours[pid]


def wait(running: Running) -> int:
    """Wait for a command that ends by itself; return its exit status."""
    status = _ours[running.pid].wait()
    del _ours[running.pid]
    return status


def await_ready(running: Running, ready: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a server is ready.

    Args:
        running: The server.
        ready: Asks it; False and OSError both mean "not yet".
        seconds: How long to wait.

    Raises:
        EmbeddedStackError: It ended, or is not ready in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if ready():
                return
        if not running.alive():
            _reap(running.pid)
            raise _died(running)
        if time.monotonic() > deadline:
            raise EmbeddedStackError(
                f"{running.name} is not ready after {seconds:.0f} s; its log ends:\n"
                + _telling(running.log_end()),
                where=str(running.log),
                remedy="look for a slow disk or an overloaded host, then run the command again",
            )
        time.sleep(_POLL_SECONDS)


PORT_TAKEN = "a port was taken by another process meanwhile: run it again"
_DISK_FULL = "the disk is full: free some space, or choose another folder"
_KNOWN_CAUSES = {
    "no space left on device": _DISK_FULL,
    "drive is full": _DISK_FULL,
    "storage reached its minimum free drive threshold": _DISK_FULL,
    "already in use": PORT_TAKEN,
    "port is already allocated": PORT_TAKEN,
    "out of memory": "the host has too little free memory: end something else first",
    "permission denied": "the folder has to be writable for you, and not be mounted noexec",
}


def _died(running: Running) -> EmbeddedStackError:
    end = running.log_end()
    known = next((cure for sign, cure in _KNOWN_CAUSES.items() if sign in end.lower()), "")
    return EmbeddedStackError(
        f"{running.name} ended while it started; its log says:\n{_telling(end)}",
        where=str(running.log),
        remedy=known or "the lines above usually name the cause",
    )


_TELLING = ("panic:", "[fatal]", "[error]", "fatal", "error:", *_KNOWN_CAUSES)


def _telling(log: str) -> str:
    """Return the lines of a log's end that tell most: those of errors, else the last ones.

    A crash of a Go server ends in hundreds of lines of stacks; the cause stands before them.
    """
    lines = [line.strip()[:300] for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if any(sign in line.lower() for sign in _TELLING)]
    return "\n".join("    " + line for line in (telling or lines)[-_TAIL_LINES:])
