"""Waiting for what a test did not do itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(true: Callable[[], Found | None], *, seconds: float = 60) -> Found:
    """Wait until something that another thread or process does has been done; return what shows it.

    The limit is for what never comes: on a busy host nothing is late.
    """
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found
