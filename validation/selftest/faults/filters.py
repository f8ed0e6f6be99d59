"""Faults of filters on every scalar type: an index that knows too few rows, or too many."""

from __future__ import annotations

from validation.selftest.fault import Fault, metrics, on
from validation.selftest.scene import FILTERS
from validation.selftest.wire.conditions import Filtered, Where

_OF = Where("filters", filtered=True)


def _losing(condition: str) -> str:
    """Leave out the first rows, if a filter is on JSON."""
    return f"({condition}) and id > 40" if "doc[" in condition else condition


def _leaking(condition: str) -> str:
    """Let one row more through, if a filter is on JSON."""
    return f"({condition}) or id == 7" if "doc[" in condition else condition


FAULTS = (
    Fault(
        "json-filter-loses",
        "filters on JSON leave out a row, as a shredded key that was not merged does",
        metrics("filters.rows_missing"),
        wire=(
            on(
                *("Query", "Search"),
                when=_OF,
                ask=Filtered(_losing),
            ),
        ),
        scene=FILTERS,
    ),
    Fault(
        "json-filter-leaks",
        "filters on JSON let a row through that does not satisfy them",
        metrics("filters.rows_unexpected"),
        wire=(
            on(
                *("Query", "Search"),
                when=_OF,
                ask=Filtered(_leaking),
            ),
        ),
        scene=FILTERS,
    ),
)
