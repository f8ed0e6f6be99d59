"""Runs one server and makes sure that it never outlives its owner.

Started as a script with the standard library alone, so that it is up in milliseconds:
``supervisor.py OWNER_PID OWNER_START CHILD_PID_FILE OFF -- COMMAND...``. OWNER_PID 0 means that
nobody owns the server: it runs until it is told to stop. OFF is a JSON list of commands that end
the server, for one that is not a child process but a container; else an empty list, and the server
is asked by SIGTERM. They are run again once the command has ended, however it did.

- The owner is gone (crashed, killed): the server is stopped.
- SIGTERM: the server is asked to stop, and killed if it has not after a grace period.
- SIGUSR1: the server is killed at once, as a crash would.
- SIGUSR2: the owner lets go of the server, which runs on until it is told to stop.
- The supervisor itself is killed: the kernel kills the server.

The server leads a process group of its own, and the whole group gets the signal: what it started
ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 8.0
POLL_SECONDS = 0.1
START_MARK = "supervisor: the server starts"
_OFF_SECONDS = 15
_PR_SET_PDEATHSIG = 1


def start_time(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _switch_off(off: list[list[str]]) -> None:
    for command in off:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # most often: that it is gone already
                timeout=_OFF_SECONDS,
            )


def _watch(
    child: subprocess.Popen[bytes],
    owner: int,
    owner_start: str,
    seen: list[int],
    off: list[list[str]],
) -> None:
    """Wait for the server's end, and bring it about when it has to be."""
    kill_at = None
    while child.poll() is None:
        if signal.SIGUSR2 in seen:
            seen.remove(signal.SIGUSR2)
            owner = 0
            print("supervisor: the server runs on without its owner", flush=True)  # noqa: T201
        if signal.SIGUSR1 in seen or (kill_at is not None and time.monotonic() > kill_at):
            _signal_group(child, signal.SIGKILL)
        elif kill_at is None and (seen or (owner and start_time(owner) != owner_start)):
            kill_at = time.monotonic() + GRACE_SECONDS
            if off:
                _switch_off(off)
            else:
                _signal_group(child, signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    _signal_group(child, signal.SIGKILL)  # whatever it left behind


def main(arguments: list[str]) -> int:
    """Run the command until it ends or has to end; return its exit status."""
    owner, owner_start, pid_file = int(arguments[0]), arguments[1], arguments[2]
    off: list[list[str]] = json.loads(arguments[3])
    command = arguments[arguments.index("--") + 1 :]
    seen: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: seen.append(number))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print(START_MARK, flush=True)  # noqa: T201  (into the server's log)
    child = subprocess.Popen(
        command,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  (this process has a single thread)
        stdin=subprocess.DEVNULL,
        process_group=0,
    )
    with open(pid_file, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(str(child.pid))
    _watch(child, owner, owner_start, seen, off)
    _switch_off(off)
    print(f"supervisor: the server ended with status {child.returncode}", flush=True)  # noqa: T201
    return 0 if seen else abs(child.returncode)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
