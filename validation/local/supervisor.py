"""Runs one server and makes sure that it never outlives its owner.

Started as a script with the standard library alone, so that it is up in milliseconds:
``supervisor.py OWNER_PID OWNER_START CHILD_PID_FILE -- COMMAND...``. OWNER_PID 0 means that nobody
owns the server: it runs until it is told to stop.

- The owner is gone (crashed, killed): the server is stopped.
- SIGTERM: the server is asked to stop, and killed if it has not after a grace period.
- SIGUSR1: the server is killed at once, as a crash would.
- The supervisor itself is killed: the kernel kills the server.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 12.0
POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1


def start_time(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the command until it ends or has to end; return its exit status."""
    owner, owner_start, pid_file = int(arguments[0]), arguments[1], arguments[2]
    wanted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda seen, _: wanted.append(seen))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = arguments[arguments.index("--") + 1 :]
    child = subprocess.Popen(command, preexec_fn=_die_with_parent, stdin=subprocess.DEVNULL)
    with open(pid_file, "w", encoding="utf-8") as stream:
        stream.write(str(child.pid))
    kill_at = None
    while child.poll() is None:
        if signal.SIGUSR1 in wanted or (kill_at is not None and time.monotonic() > kill_at):
            child.kill()
        gone = owner and start_time(owner) != owner_start
        if kill_at is None and (wanted or gone):
            child.terminate()
            kill_at = time.monotonic() + GRACE_SECONDS
        time.sleep(POLL_SECONDS)
    print(f"supervisor: the server ended with status {child.returncode}", flush=True)  # noqa: T201
    return 0 if wanted else abs(child.returncode)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
