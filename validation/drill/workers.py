"""Threads that do one thing again and again, whatever becomes of it, and count that."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from validation.errors import MilvusKitError

_JOIN_SECONDS = 130.0


class NoRowsLeftError(Exception):
    """It is the drill's end of its dataset, not a failure of Milvus's."""


class Worker(threading.Thread):
    """Does something until it is told to stop; failures are counted by kind.

    Args:
        step: Does it once; returns False if there was nothing to do.
        pause: Seconds before each time.

    Attributes:
        over: Set to make it stop.
        done: How often it succeeded.
        failures: How often it failed, by what was said.
        last_failure: What was said last.
        last_good: When the last success began.
        broken: What ended it before its time, by a defect of the drill's own.
    """

    def __init__(self, step: Callable[[], bool], pause: float) -> None:
        super().__init__(daemon=True)
        self._step, self._pause = step, pause
        self.over = threading.Event()
        self.failures: Counter[str] = Counter()
        self.last_failure = ""
        self.done = 0
        self.broken = ""
        self.last_good = 0.0

    def run(self) -> None:
        """Do it until it is over."""
        while not self.over.wait(self._pause):
            began = time.monotonic()
            try:
                worked = self._step()
            except MilvusKitError as error:
                self.last_failure = error.what[:100]
                self.failures[self.last_failure] += 1
            except NoRowsLeftError:
                self.broken = "no rows are left to write"
                return
            except Exception as error:  # noqa: BLE001  (a thread that ends unseen proves nothing)
                self.broken = f"{type(error).__name__}: {error}"
                return
            else:
                if worked:
                    self.done += 1
                    self.last_good = began  # what began before a fault ended proves no recovery

    def stop(self) -> None:
        """Make it stop and wait for what is under way."""
        self.over.set()
        if self.is_alive():
            self.join(_JOIN_SECONDS)
