"""Wait for what a server does in its own time, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from validation.errors import MeasurementError

LIMIT_SECONDS = 1_800
Report = Callable[[str], None]
"""Is told how far it is."""
Seen = TypeVar("Seen")


def poll(done: Callable[[], bool], *, seconds: float, doing: str, where: str) -> None:
    """Ask until it is done, first often and then twice a second.

    Args:
        done: Asks the server, and says whether it is done.
        seconds: Time limit.
        doing: What is waited for, for the error.
        where: The server's endpoint, for the error.

    Raises:
        MeasurementError: It took longer than the time limit.
    """
    deadline = time.monotonic() + seconds
    pause = 0.02
    while not done():
        if time.monotonic() > deadline:
            raise MeasurementError(
                f"not done within {seconds:g} s: {doing}",
                where=where,
                remedy="look in Milvus's log; give it more time or resources",
            )
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)


def look_until(look: Callable[[], Seen], good: Callable[[Seen], bool], *, seconds: float) -> Seen:
    """Look again and again until what is seen is good; return what was seen last.

    Args:
        look: Asks the server.
        good: Whether it is as it should be.
        seconds: Time limit; what is not good by then is returned all the same.
    """
    deadline = time.monotonic() + seconds
    pause = 0.05
    while not good(seen := look()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)
    return seen
