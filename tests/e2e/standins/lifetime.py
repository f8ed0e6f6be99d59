"""A plugin lives as long as the engine that started it, also when that one is killed."""

from __future__ import annotations

import os
import signal
import threading

_SECONDS = 1.0


def until_ended() -> None:
    """Return when the engine ends us with a signal, or is no more itself."""
    engine, done = os.getppid(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    while not done.wait(_SECONDS) and os.getppid() == engine:
        pass
