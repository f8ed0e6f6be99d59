"""One server of the embedded stack as a process that can be found again, stopped and restarted."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from validation.errors import EmbeddedStackError, UsageError
from validation.local import supervisor

_TAIL_LINES = 12
_STOP_SECONDS = supervisor.GRACE_SECONDS + 8


@dataclasses.dataclass(frozen=True)
class Running:
    """A server that was started: enough to find it again from another process.

    A process id alone is not enough, since ids are used again; the start time goes with it.
    """

    name: str
    pid: int
    started: str
    log: Path
    child_file: Path

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return bool(self.started) and supervisor.start_time(self.pid) == self.started

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(line[:300] for line in text.splitlines()[-_TAIL_LINES:])


def start(
    name: str,
    command: list[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    owned: bool,
) -> Running:
    """Start a server under its supervisor.

    Args:
        name: Of the server; its log is ``logs/NAME.log`` of the folder.
        command: Without secrets: arguments can be read by anyone on the host.
        folder: Working folder and home of its files.
        environment: Added to a minimal environment.
        owned: Whether the server ends with this process.
    """
    log = folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    child_file = folder / f"{name}.pid"
    child_file.unlink(missing_ok=True)
    owner = os.getpid() if owned else 0
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", str(Path(supervisor.__file__))),
                *(str(owner), supervisor.start_time(owner), str(child_file), "--", *command),
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


def stop(running: Running, *, kill: bool = False) -> None:
    """Stop a server and wait until it is gone.

    Args:
        running: What `start` returned, perhaps in another process.
        kill: Kill it at once, as a crash would, instead of asking.

    Raises:
        EmbeddedStackError: It is still there after the grace period.
    """
    if not running.alive():
        _reap(running.pid)
        return
    os.kill(running.pid, signal.SIGUSR1 if kill else signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while running.alive():
        _reap(running.pid)
        if time.monotonic() > deadline:
            raise EmbeddedStackError(
                f"{running.name} does not stop",
                where=str(running.log),
                seen=f"process {running.pid}",
                remedy=f"look at the log, then end it with `kill -9 {running.pid}`",
            )
        time.sleep(0.05)
    _reap(running.pid)


def _reap(pid: int) -> None:
    process = _ours.get(pid)
    if process is not None and process.poll() is not None:
        del _ours[pid]


def await_ready(
    running: Running, ready: Callable[[], bool], *, seconds: float, say: Callable[[str], None]
) -> None:
    """Wait until a server is ready.

    Args:
        running: The server.
        ready: Asks it; False and OSError both mean "not yet".
        seconds: How long to wait.
        say: Shows what is waited for.

    Raises:
        EmbeddedStackError: It ended, or is not ready in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    say(f"log: {running.log}")
    while True:
        try:
            if ready():
                return
        except OSError:
            pass
        if not running.alive():
            _reap(running.pid)
            raise _died(running)
        if time.monotonic() > deadline:
            raise EmbeddedStackError(
                f"{running.name} is not ready after {seconds:.0f} s; the end of its log:\n"
                + running.log_tail(),
                where=str(running.log),
                remedy="look for a slow disk or an overloaded host, then run the command again",
            )
        time.sleep(0.05)


_KNOWN_CAUSES = {
    "no space left on device": "the disk is full: free some space, or name another --folder",
    "address already in use": "a port was taken by another process meanwhile: run it again",
    "drive is full": "the disk is full: free some space, or name another --folder",
}


def _died(running: Running) -> EmbeddedStackError:
    tail = running.log_tail()
    known = next((cure for sign, cure in _KNOWN_CAUSES.items() if sign in tail.lower()), "")
    return EmbeddedStackError(
        f"{running.name} ended while it started; the end of its log:\n{tail}",
        where=str(running.log),
        remedy=known or "the log's last lines usually name the cause",
    )


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; held open together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def require_free(port: int, purpose: str) -> None:
    """Make sure that a port the user chose can be bound.

    Raises:
        UsageError: Something listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"the port for {purpose} cannot be used: {error.strerror}",
                where=f"127.0.0.1:{port}",
                remedy=f"`ss -ltnp sport = :{port}` shows who has it; stop that or choose another",
            ) from None
