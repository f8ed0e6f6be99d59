"""What a conformance check is, and the table that collects them.

.. code-block:: python

    @check("objects.zero-byte", by="data node", breaks="empty delta logs cannot be written")
    def zero_byte(space: Workspace) -> Evidence:
        \"\"\"An empty object is stored and read back.\"\"\"

The docstring's first line is the rule as a reader sees it. A check returns evidence (or None) if
the rule holds, raises `RuleBroken` if it does not, and `UnsupportedError` if it cannot be measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from validation.errors import UnsupportedError
from validation.s3.workspace import Workspace

Evidence = Mapping[str, Any] | None


class Need(StrEnum):
    """For what a rule is needed."""

    MILVUS = "milvus"
    """Milvus itself cannot work, or loses data, without it."""
    WOODPECKER = "woodpecker"
    """Only the log Woodpecker on this store needs it; Kafka or Pulsar do without."""
    DECLARED = "declared"
    """It was declared, or is not asked for: broken if declared and not so."""
    OPERATION = "operation"
    """Milvus works without it; safety or diagnosis suffers, and the profile says so."""


class NotDeclaredError(UnsupportedError):
    """The rule does not apply: what it is about was not declared or is not used."""


class RuleBroken(Exception):  # noqa: N818  (it is an outcome, not an error of ours)
    """The store does not keep the rule."""

    def __init__(self, what: str, **evidence: Any) -> None:
        super().__init__(what)
        self.evidence = evidence


@dataclasses.dataclass(frozen=True)
class Check:
    """One rule.

    Args:
        id: ``topic.rule``.
        title: The rule in a sentence.
        by: The part of Milvus, or of its operation, that needs it.
        breaks: What happens without it.
        need: For what it is needed.
        function: Measures it.
        waits: Whether it does little but wait, and so runs beside the others.
    """

    id: str
    title: str
    by: str
    breaks: str
    need: Need
    function: Callable[[Workspace], Evidence]
    waits: bool = False


TABLE: dict[str, Check] = {}


def check(
    name: str, *, by: str, breaks: str, need: Need = Need.MILVUS, waits: bool = False
) -> Callable[[Callable[[Workspace], Evidence]], Callable[[Workspace], Evidence]]:
    """Put a function into the table."""

    def added(function: Callable[[Workspace], Evidence]) -> Callable[[Workspace], Evidence]:
        title = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        if name in TABLE:
            raise ValueError(f"there are two checks named {name}")
        TABLE[name] = Check(name, title, by, breaks, need, function, waits)
        return function

    return added


def require(holds: bool, what: str, **evidence: Any) -> None:
    """Raise `RuleBroken` unless something holds.

    Args:
        holds: Whether it does.
        what: What is wrong if it does not.
        evidence: What was seen; no secrets.
    """
    if not holds:
        raise RuleBroken(what, **evidence)
