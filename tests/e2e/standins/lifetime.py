"""A plugin lives as long as the engine that started it, also when that one is killed."""

from __future__ import annotations

import os
import signal
import threading

_SECONDS = 1.0


def until_ended() -> None:
    """Return when the engine ends us with a signal; if it is no more, end with what we started."""
    engine, done = os.getppid(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    while not done.wait(_SECONDS):
        if os.getppid() != engine:
            if os.getpgrp() == os.getpid():  # the engine gives each plugin a group of its own
                os.killpg(0, signal.SIGKILL)
            os._exit(1)
