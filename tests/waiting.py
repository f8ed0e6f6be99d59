"""Waiting for what a test did not do itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(true: Callable[[], object], *, seconds: float = 10) -> None:
    """Wait until something that another thread or process does has been done."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
