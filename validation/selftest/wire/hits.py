"""The hits in a reply to a search: which are there, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from validation.selftest.wire.rows import take

_OF_EACH_HIT = ("scores", "distances")


def hits(results: Any) -> list[range]:
    """Return the positions of each query's hits in a ``SearchResultData`` message."""
    found, at = [], 0
    for count in results.topks:
        found.append(range(at, at + count))
        at += count
    return found


def keys(results: Any) -> Any:
    """Return the primary keys of all hits, one behind the other: a repeated field."""
    ids = results.ids
    return ids.str_id.data if ids.WhichOneof("id_field") == "str_id" else ids.int_id.data


def rearrange(results: Any, choose: Callable[[int, range], Sequence[int]]) -> bool:
    """Take hits away, double them or change their order, with all that belongs to each.

    Args:
        results: A ``SearchResultData`` message, changed in place.
        choose: Returns the hits of a query, best first, from its number and their positions.

    Returns:
        Whether anything is different.
    """
    before = hits(results)
    after = [choose(query, places) for query, places in enumerate(before)]
    if [list(places) for places in before] == [list(places) for places in after]:
        return False
    rows = [row for places in after for row in places]
    for values in (keys(results), *(getattr(results, name) for name in _OF_EACH_HIT)):
        if len(values):
            _replace(values, [values[row] for row in rows])
    take(results.fields_data, rows)
    _replace(results.topks, [len(places) for places in after])
    return True


def _replace(values: Any, by: Iterable[Any]) -> None:
    kept = list(by)
    del values[:]
    values.extend(kept)
