"""Work that goes on in a thread of its own until it is left."""

from __future__ import annotations

import abc
import threading
from types import TracebackType
from typing import Self


class Beside(abc.ABC):
    """Begins to work when it is entered, and is told to end when it is left.

    Args:
        join_seconds: How long its end is waited for.
    """

    def __init__(self, *, join_seconds: float) -> None:
        self._ended = threading.Event()
        self._join_seconds = join_seconds
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(self._join_seconds)

    @abc.abstractmethod
    def _work(self) -> None:
        """Go on until `_ended` is set."""
