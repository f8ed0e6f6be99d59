"""Faults that come only at one time of a segment's life: these remember what was asked before."""

from __future__ import annotations

import dataclasses
from typing import Any

from validation.selftest.wire.fault import Exchange

COLLECTION = "segments"
"""Part of the name of the collection whose segments are followed."""


def _kind(request: Any) -> str:
    return request.DESCRIPTOR.name


@dataclasses.dataclass
class WhileGrowing:
    """A test of searches: whether rows were inserted since the last flush, which was not the first.

    It has to see ``Insert``, ``Flush`` and ``Search``.
    """

    flushed: bool = False
    growing: bool = False

    def __call__(self, request: Any) -> bool:
        """Return whether a request is a search that has growing rows to find."""
        if _kind(request) == "FlushRequest":
            if any(COLLECTION in name for name in request.collection_names):
                self.flushed, self.growing = True, False
            return False
        if COLLECTION not in request.collection_name:
            return False
        if _kind(request) == "InsertRequest":
            self.growing = self.flushed
            return False
        return self.growing


@dataclasses.dataclass
class FirstAfterLoad:
    """A test of searches: whether it is the first one of a collection that was just loaded.

    It has to see ``LoadCollection`` and ``Search``. The load that came before all searches does
    not count.
    """

    searched: set[str] = dataclasses.field(default_factory=set)
    loaded: set[str] = dataclasses.field(default_factory=set)

    def __call__(self, request: Any) -> bool:
        """Return whether a request is such a search."""
        name = request.collection_name
        if _kind(request) == "LoadCollectionRequest":
            self.loaded.add(name)
            return False
        first = name in self.loaded and name in self.searched
        self.searched.add(name)
        self.loaded.discard(name)
        return first


@dataclasses.dataclass
class UntilCompaction:
    """A test of requests for segments: whether no compaction was asked for yet.

    It has to see ``ManualCompaction``.
    """

    compacted: bool = False

    def __call__(self, request: Any) -> bool:
        """Return whether a request is for segments that nobody has compacted."""
        if _kind(request) == "ManualCompactionRequest":
            self.compacted = True
            return False
        return not self.compacted and COLLECTION in request.collectionName


def without_index(exchange: Exchange) -> bool:
    """Tell all segments in memory as searched without an index."""
    infos = exchange.reply.infos
    for one in infos:
        one.indexID = 0
    return len(infos) > 0
