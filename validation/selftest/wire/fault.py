"""What goes wrong on the wire: a fault is a small function over decoded messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from validation.selftest.wire.stalls import Stalls


@dataclasses.dataclass
class Exchange:
    """One call of a method of Milvus's service.

    Args:
        method: Its name, such as ``Search``.
        asked: The request as the client sent it; not to be changed.
        request: The request as the server gets it.
        reply: The reply as the client gets it; None until there is one.
    """

    method: str
    asked: Any
    request: Any
    reply: Any = None


Strike = Callable[[Exchange], bool]
"""Changes an exchange's request or reply, and returns whether it did."""


@dataclasses.dataclass(frozen=True)
class WireFault:
    """A fault of the server, or of the way to it.

    It is sent to the proxy's process, so its functions are functions of a module, or objects that
    can be pickled; those may remember what they saw.

    Args:
        methods: Of Milvus's service, which calls it is about.
        when: Which of those, by the request as the client sent it.
        ask: Changes the request before the server gets it.
        answer: Changes the reply before the client gets it. A reply that is an error already is
            left alone.
        every: Each such call, each second, each third ...
        seconds: For how long the reply is held back; or stalls, to the end of which it is.
        name: Under which it is counted.
    """

    methods: frozenset[str]
    when: Callable[[Any], bool] | None = None
    ask: Strike | None = None
    answer: Strike | None = None
    every: int = 1
    seconds: float | Stalls = 0.0
    name: str = ""

    def held(self) -> float:
        """Return for how long a reply of this moment is held back."""
        return self.seconds.left() if isinstance(self.seconds, Stalls) else self.seconds
