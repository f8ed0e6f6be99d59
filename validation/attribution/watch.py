"""Watches the processes that hold one collection, and knows when what it sees is not all there is.

Counters of a process that did not do the work show a store that is idle where it only was not seen.
So a stretch counts only if every process that may have read was watched from its beginning to its
end: as many query nodes as are declared, none of them another one than before, and among them every
node that Milvus itself says holds a segment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from validation.errors import MeasurementError, MilvusKitError, UnsupportedError
from validation.milvus import processes, segments
from validation.milvus.connection import Connection
from validation.milvus.metrics import Delta
from validation.milvus.processes import Process
from validation.milvus.storage_reads import (
    FILESYSTEM_SINCE,
    StorageReads,
    storage_reads,
    together,
)
from validation.target import Target

_COORDINATORS_COUNT = "milvus_querycoord_querynode_num"
READING_ROLES = ("querynode", "streamingnode")


class Watch:
    """Reads the metrics of one collection's Milvus before and after.

    Args:
        connection: Milvus; its target must declare the metrics' address.
        name: Of the collection, loaded.

    Raises:
        UnsupportedError: The target declares no address of metrics.
        UnreachableError: Nobody answers there.
        MeasurementError: What answers are no metrics.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name
        target = connection.target
        _require_address(target)
        self._declared = declared(target, connection.version)
        self._deltas: dict[str, Delta] = {}
        self._missing = ""
        self.addresses = [one.address for one in _reading(processes.scrape(target.milvus))]

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Keep what each process gained in the block."""
        milvus = self._connection.target.milvus
        before = processes.scrape(milvus)
        yield
        after = processes.scrape(milvus)
        gained = processes.between(before, after)
        reading = _reading(after)
        self._missing = missing(after, self._declared) or self._not_shown(reading)
        self._deltas = {one.address: gained[one.address] for one in reading}

    def reads(self) -> tuple[StorageReads | None, str]:
        """Return what was read from the store in the last block, or why that is not known."""
        if self._missing:
            return None, self._missing
        try:
            version = self._connection.version
            each = [storage_reads(delta, version) for delta in self._deltas.values()]
        except (MeasurementError, UnsupportedError) as error:
            return None, error.what
        return together(each), ""

    def gain(self, name: str, **labels: str) -> float | None:
        """Return what a counter gained in the last block in all processes; None if none has it."""
        found = [delta.gain(name, **labels) for delta in self._deltas.values()]
        return sum(one or 0.0 for one in found) if any(one is not None for one in found) else None

    def _not_shown(self, reading: Sequence[Process]) -> str:
        """Return which query nodes hold segments and were not watched; empty if there are none."""
        try:
            holders = self._holders()
        except MilvusKitError as error:
            return f"Milvus does not say which query nodes hold the collection: {error.what}"
        if not holders:
            return "Milvus does not say which query nodes hold the collection"
        shown = {number for one in reading for number in one.query_nodes}
        unseen = sorted(holders - shown)
        if unseen:
            return (
                f"query node {', '.join(unseen)} holds segments of the collection, and"
                " milvus.metrics_uri does not show it"
            )
        return ""

    def segments(self) -> dict[str, set[str]]:
        """Return the segments that are loaded, each with the nodes that hold it, by their numbers.

        Raises:
            MilvusKitError: Milvus does not say.
        """
        found: dict[str, set[str]] = {}
        for one in segments.in_memory(self._connection, self._name):
            found.setdefault(str(one.number), set()).update(map(str, one.nodes))
        return found

    def _holders(self) -> set[str]:
        """Return the numbers of the nodes that hold segments; empty if one segment names none."""
        held = self.segments().values()
        return set().union(*held) if all(held) else set()


def _require_address(target: Target) -> None:
    if target.milvus.metrics_uri is None:
        raise UnsupportedError(
            "the target declares no address for Milvus's metrics; pods have none outside their"
            " cluster",
            where="milvus.metrics_uri",
            remedy="declare it, or let the suite run inside: set validation.enabled, then"
            " `milvus-kit fetch`",
        )


def declared(target: Target, version: tuple[int, ...]) -> int | None:
    """Return how many processes of a target serve searches; None if it does not say.

    Args:
        target: What was declared.
        version: The server's: since 2.6 streaming nodes lead the searches.
    """
    milvus = target.milvus
    if milvus.deployment != "cluster":
        return 1
    replicas = dict.fromkeys(READING_ROLES, 0)
    for role in milvus.roles:
        if role.name in replicas:
            replicas[role.name] += role.replicas
    older = version < FILESYSTEM_SINCE if version else not replicas["streamingnode"]
    named = ("querynode",) if older else READING_ROLES
    if not all(replicas[role] for role in named):
        return None
    return sum(replicas[role] for role in named)


def _reading(found: Sequence[Process]) -> list[Process]:
    return [one for one in found if one.query_nodes]


def missing(found: Sequence[Process], expected: int | None) -> str:
    """Return why the processes that were seen are not known to be all; empty if they are.

    Args:
        found: Every process that answered.
        expected: How many serve searches, as declared.
    """
    shown = len(_reading(found))
    if not shown:
        return "what answers at milvus.metrics_uri is no query node"
    if expected is None:
        return (
            "the target does not say how many query nodes (and streaming nodes, from Milvus 2.6 on)"
            " there are: name them under milvus.roles"
        )
    # A coordinator knows how many have registered, also those that autoscaling has added. It is
    # seen in a standalone server, and where the address stands for all pods of a cluster.
    counted = [one.seen.total(_COORDINATORS_COUNT) or 0 for one in found]
    there = max(expected, *map(round, counted))
    if shown > there:
        return f"milvus.metrics_uri shows {shown} query nodes where {there} are declared"
    return f"milvus.metrics_uri shows {shown} of {there} query nodes" if shown < there else ""
