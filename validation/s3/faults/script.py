"""What goes wrong, for which requests, how often, and what was done so far."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections import Counter
from enum import StrEnum


class Kind(StrEnum):
    """A fault as S3 stores and networks have them."""

    SLOW_DOWN = "slow-down"
    """The request is answered 503 SlowDown and never reaches the store."""
    INTERNAL_ERROR = "internal-error"
    """The request is answered 500 InternalError and never reaches the store."""
    DELAY = "delay"
    """The answer's first byte comes later."""
    RESET = "reset"
    """The connection is reset within the answer's body."""
    TRUNCATE = "truncate"
    """The connection ends within the answer's body, without a reset."""
    CORRUPT = "corrupt"
    """One bit of the answer's body is wrong."""
    CORRUPT_UPLOAD = "corrupt-upload"
    """One bit of the request's body is wrong when it reaches the store."""
    STALLED_UPLOAD = "stalled-upload"
    """The request's body stops for a while, and goes on."""
    LOST_ANSWER = "lost-answer"
    """The store does what was asked, and the connection is reset before it can say so."""


BODILESS = frozenset({Kind.SLOW_DOWN, Kind.INTERNAL_ERROR})
"""Faults that answer in the store's place."""
UPLOADS = frozenset({Kind.CORRUPT_UPLOAD, Kind.STALLED_UPLOAD})
"""Faults of a request's body."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        kind: What goes wrong.
        methods: For which HTTP methods; all if empty.
        path: Regular expression the path has to match somewhere.
        every: For each such request, each second, each third ...
        times: How often at most; None for as long as it is armed.
        seconds: How long an answer (delay) or the rest of a body (stalled upload) is held back.
        at: Where in the body it happens, as a share of it in [0, 1).
    """

    kind: Kind
    methods: frozenset[str] = frozenset()
    path: str = ""
    every: int = 1
    times: int | None = None
    seconds: float = 0.0
    at: float = 0.5


@dataclasses.dataclass
class _Armed:
    fault: Fault
    seen: int = 0
    done: int = 0


class Script:
    """The faults that are armed now. All methods may be called from any thread.

    Attributes:
        injected: How often each fault was done to a request; one with nothing to damage, such as
            an empty body, does not count.
        answered: Answers of the store itself by status.
        refused: Handshakes that clients broke off because of the certificate, by TLS alert.
        failed: What the proxy itself could not do, by what it was, e.g. accept a connection or
            reach the store. Clients take it for the store's doing; whoever judges them must not.
    """

    def __init__(self) -> None:
        self.injected: Counter[Kind] = Counter()
        self.answered: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._armed: list[_Armed] = []
        self._lock = threading.Lock()
        self._stopped_until = 0.0
        self._changed = threading.Event()

    def arm(self, *faults: Fault) -> None:
        """Let faults happen from now on, besides those armed already."""
        with self._lock:
            self._armed += [_Armed(fault) for fault in faults]

    def disarm(self) -> None:
        """Let nothing go wrong any more; what is held back goes on."""
        with self._lock:
            self._armed = []
            self._stopped_until = 0.0
            self._changed.set()

    def stop(self, seconds: float) -> None:
        """Let no byte pass, in either direction, for some seconds."""
        with self._lock:
            self._changed.clear()
            self._stopped_until = time.monotonic() + seconds

    def wait_while_stopped(self) -> None:
        """Return once bytes may pass: at once, as a rule."""
        while (left := self._stopped_until - time.monotonic()) > 0:
            self._changed.wait(left)

    def choose(self, method: str, path: str) -> Fault | None:
        """Return the fault that this request meets.

        The fault armed first has the first say; one request meets one fault at most.
        """
        with self._lock:
            for one in self._armed:
                if self._meets(one, method, path):
                    return one.fault
        return None

    def note_injected(self, kind: Kind) -> None:
        """Count a fault that was done to a request."""
        with self._lock:
            self.injected[kind] += 1

    def note_answer(self, status: int) -> None:
        """Count an answer of the store."""
        with self._lock:
            self.answered[status] += 1

    def note_refusal(self, alert: str) -> None:
        """Count a handshake that a client broke off."""
        with self._lock:
            self.refused[alert] += 1

    def note_failure(self, what: str) -> None:
        """Count what the proxy itself could not do."""
        with self._lock:
            self.failed[what] += 1

    @staticmethod
    def _meets(one: _Armed, method: str, path: str) -> bool:
        fault = one.fault
        if fault.methods and method not in fault.methods:
            return False
        if not re.search(fault.path, path):
            return False
        if fault.times is not None and one.done >= fault.times:
            return False
        one.seen += 1
        if one.seen % fault.every:
            return False
        one.done += 1
        return True
