"""Faults of what a server says of its segments."""

from __future__ import annotations

import dataclasses
from typing import Any

from validation.selftest.wire.fault import Exchange


@dataclasses.dataclass(frozen=True)
class Of:
    """A test of a request for segments, whose field has another name than everywhere else.

    Args:
        collection: Part of the collection's name.
    """

    collection: str

    def __call__(self, request: Any) -> bool:
        """Return whether a request is about such a collection."""
        return self.collection in request.collectionName


@dataclasses.dataclass(frozen=True)
class Fewer:
    """Tell the first segment with fewer rows than it has.

    Args:
        rows: How many fewer.
    """

    rows: int

    def __call__(self, exchange: Exchange) -> bool:
        """Change a list of segments."""
        infos = exchange.reply.infos
        if len(infos):
            infos[0].num_rows -= min(self.rows, infos[0].num_rows)
        return len(infos) > 0


def first_left_out(exchange: Exchange) -> bool:
    """Leave the first segment out of the list."""
    infos = exchange.reply.infos
    there = len(infos) > 0
    del infos[:1]
    return there
