"""What an engine is given to do, and what it saw: plain values that a pipe carries."""

from __future__ import annotations

import dataclasses
from math import inf

import numpy as np

from validation.load.client import ClientUse


@dataclasses.dataclass(frozen=True)
class Feed:
    """When requests are sent: at their times (open loop), or as others end (closed loop).

    Args:
        numbers: Which request of the plan each one is, int64, shape (n,).
        due_s: Open loop: when to send each, seconds from the start, ascending, shape (n,).
        under_way: Closed loop: how many at once.
        seconds: No request is sent later than this.
        failures_in_a_row: Nothing more is sent after so many.
    """

    numbers: np.ndarray
    due_s: np.ndarray | None = None
    under_way: int = 1
    seconds: float = inf
    failures_in_a_row: int = 0


@dataclasses.dataclass(frozen=True)
class Record:
    """What one engine saw, in the order of its feed; times in seconds from the start, shape (n,).

    Args:
        due_s: When each was meant to be sent: in a closed loop, when it was.
        sent_s: When it was sent; NaN if it was not.
        done_s: When its call ended; NaN if it did not.
        waited_s: Of the time until then, how long this thread waited for a core, or stood still,
            before it could take the reply; NaN if that is not known.
        failures: Why each call failed; empty if it did not. Replies are not looked at yet.
        replies: What each call brought.
        limited: How often the server said that it limits the rate, and was asked again.
        resent: How often the server refused a call unseen, which was then made again.
        turns_s: How long each turn of the loop was busy, shape (t,).
        use: What the client used.
        broken_off: Why it ended before all requests were sent; empty if it did not.
    """

    due_s: np.ndarray
    sent_s: np.ndarray
    done_s: np.ndarray
    waited_s: np.ndarray
    failures: list[str]
    replies: list[bytes]
    limited: int
    resent: int
    turns_s: np.ndarray
    use: ClientUse
    broken_off: str = ""
