"""Times at which a server, or a client, stands still."""

from __future__ import annotations

import dataclasses
import time


@dataclasses.dataclass(frozen=True)
class Stalls:
    """Again and again, for a while.

    They are times of the monotonic clock, which is one for all processes of a host: what a server
    and its client do by the same stalls falls together.

    Args:
        every: Seconds from the beginning of one to the beginning of the next.
        seconds: How long each is.
    """

    every: float
    seconds: float

    def left(self) -> float:
        """Return how long the stall of this moment still is; 0 if there is none."""
        return max(0.0, self.seconds - time.monotonic() % self.every)

    def ahead(self) -> float:
        """Return how long it is until the next one; 0 in one."""
        return 0.0 if self.left() else self.every - time.monotonic() % self.every
