"""Which requests a fault is about, and faults of the filters in them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from validation.selftest.wire.fault import Exchange

BOUNDED = 2
"""``ConsistencyLevel.Bounded``: what searches under load ask for, and no other of ours."""

Test = Callable[[Any], bool]

_ONE_OF = re.compile(r"(?P<field>(?!id\b)\b\w+) in \[(?P<first>\"[^\"]*\"|[^,\[\]\"]+),[^\]]*\]")


@dataclasses.dataclass(frozen=True)
class Where:
    """A test of a request: all that is said has to hold.

    Args:
        collection: Part of the collection's name.
        filtered: Whether there is a filter; None for either.
        field: Of a search: what it is by, ``vector`` or ``sparse``.
        approximate: Whether the search is through an index that does not look at every row.
        load: Whether it is a search under load.
    """

    collection: str = ""
    field: str = ""
    filtered: bool | None = None
    approximate: bool | None = None
    load: bool | None = None

    def __call__(self, request: Any) -> bool:
        """Return whether it holds for a request."""
        if self.collection not in request.collection_name:
            return False
        if self.field and parameters(request).get("anns_field") != self.field:
            return False
        seen = {
            "filtered": any(getattr(part, name) for part, name in _filters(request)),
            "approximate": _is_approximate(request),
            "load": _is_load(request),
        }
        wanted = {name: getattr(self, name) for name in seen}
        return all(want is None or want == seen[name] for name, want in wanted.items())


def parameters(request: Any) -> dict[str, str]:
    """Return the parameters of a search."""
    return {pair.key: pair.value for pair in getattr(request, "search_params", ())}


def _is_approximate(request: Any) -> bool:
    given = parameters(request)
    names = {*given, *json.loads(given.get("params") or "{}")}
    return not names.isdisjoint({"ef", "nprobe"})


def _is_load(request: Any) -> bool:
    if getattr(request, "nq", 0) != 1:
        return False
    return not request.use_default_consistency and request.consistency_level == BOUNDED


def _filters(request: Any) -> Iterator[tuple[Any, str]]:
    """Yield each message of a request that holds a filter, and its field's name."""
    for part in (request, *getattr(request, "requests", ()), *getattr(request, "sub_reqs", ())):
        for name in ("dsl", "expr"):
            if name in part.DESCRIPTOR.fields_by_name:
                yield part, name


@dataclasses.dataclass(frozen=True)
class Filtered:
    """Search under another filter than was asked for.

    Args:
        otherwise: Makes the other filter of the one that was asked for.
    """

    otherwise: Callable[[str], str]

    def __call__(self, exchange: Exchange) -> bool:
        """Change every filter of a request."""
        done = False
        for part, name in _filters(exchange.request):
            asked = getattr(part, name)
            changed = self.otherwise(asked) if asked else asked
            setattr(part, name, changed)
            done |= changed != asked
        return done


def without(condition: str) -> str:
    """Drop the filter."""
    return "" if condition else condition


def in_as_equals(condition: str) -> str:
    """Take ``field in [a, b]`` for ``field == a``, but for the primary key's."""
    return _ONE_OF.sub(r"\g<field> == \g<first>", condition)


@dataclasses.dataclass(frozen=True)
class Later:
    """Take ``field >= DAY`` for another day.

    Args:
        day: Of the condition, as in ``2025-02-01``.
        taken_for: The other day.
    """

    day: str
    taken_for: str

    def __call__(self, condition: str) -> str:
        """Return the condition with the other day."""
        return condition.replace(f'>= "{self.day}"', f'>= "{self.taken_for}"')


@dataclasses.dataclass(frozen=True)
class Leaking:
    """Let some rows through that one filter may forbid.

    Args:
        condition: The filter.
        rows: The condition that those rows meet.
    """

    condition: str
    rows: str

    def __call__(self, condition: str) -> str:
        """Return the condition with a way around it, if it is that one."""
        return f"({condition}) or {self.rows}" if condition == self.condition else condition
