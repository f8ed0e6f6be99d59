"""A client that is held up: busy loops on its own core, or a process that stands still."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from validation.selftest.wire.stalls import Stalls

LOOPS = 6


@contextlib.contextmanager
def busy_loops(core: int | None = None) -> Iterator[None]:
    """Keep a core busy; this thread, and what it starts meanwhile, has to share it.

    Args:
        core: Its number; the first that this thread may use if left out.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before) if core is None else core})
    # Each in a session of its own: Linux may share a core out among sessions, not processes.
    spin = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    command = [sys.executable, "-S", "-c", spin]
    loops: list[subprocess.Popen[bytes]] = []
    try:
        loops += [subprocess.Popen(command, start_new_session=True) for _ in range(LOOPS)]
        yield
    finally:
        os.sched_setaffinity(0, before)
        for one in loops:
            one.kill()
            one.wait()


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes], stalls: Stalls) -> Iterator[None]:
    """Let a process stand still, again and again."""
    over = threading.Event()

    def stop_and_go() -> None:
        while not over.wait(stalls.ahead()):
            process.send_signal(signal.SIGSTOP)
            over.wait(stalls.left())
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stop_and_go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
