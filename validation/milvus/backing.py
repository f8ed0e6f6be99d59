"""Whether the bucket holds what the segments of a collection name, and nothing that none names.

How many rows an object has is not in its key. What can be known without reading it, on 2.3 to 2.5:
each flush writes one object a field, so all fields of a segment have as many, and as many as it
has statistics of its keys, beside those that are merged at last; and one that is searched through
an index has files of a build of that very index. From 2.6 on several fields may share an object,
and no more is asked than that there are some.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from validation.milvus import objects, segments
from validation.milvus.connection import Connection
from validation.milvus.objects import Stored
from validation.milvus.segments import Segment
from validation.milvus.waiting import look_until
from validation.target import Storage

SHARED_SINCE = (2, 6)
SYSTEM_FIELDS = frozenset({"0", "1"})
"""Row id and timestamp, which every segment has beside the fields of the schema."""
MERGED = "1"
"""What Milvus calls the statistics that it merged of all flushes of a segment."""
SETTLED_SECONDS = 10.0
"""How long an object may take to be named after it was written."""


@dataclasses.dataclass(frozen=True)
class Backing:
    """What the bucket lacks of what segments name, and what it holds beyond that.

    Args:
        missing: What is missing, in words: an entry an object.
        unnamed: Keys of objects of segments that the server does not name, and never did.
        objects: How many objects the bucket holds of the collection.
        named: How many segments the server names.
        compacted: How many it named before and names no more: their objects stay in the bucket
            until Milvus collects its garbage.
        compared: How many segments with rows were compared with their objects.
        rows: How many rows those have.
        passing: How many segments with rows were named only before or only after the listing.
    """

    missing: list[str]
    unnamed: list[str]
    objects: int
    named: int
    compacted: int
    compared: int
    rows: int
    passing: int

    @property
    def agrees(self) -> bool:
        """Whether all was compared, nothing is missing, and all that is there is accounted for."""
        return not (self.missing or self.unnamed or self.uncompared)

    @property
    def uncompared(self) -> str:
        """Why it cannot be said that nothing is missing; empty if it can."""
        if self.passing:
            return (
                f"{self.passing} segments with rows were named only before or after the bucket was"
                " listed: they were just written or compacted"
            )
        return "" if self.compared else "the server names no segment with rows"

    @property
    def unclear(self) -> str:
        """Why nothing can be said of what is unnamed; empty if something can."""
        if not self.objects:
            return "the bucket holds nothing of the collection"
        if self.unnamed and self.compacted:
            return (
                f"{self.compacted} segments were compacted meanwhile, and what came of them may"
                " have been as well: Milvus keeps the objects of such segments for 3 hours"
            )
        return "" if self.unnamed or self.compared else self.uncompared


def settled(
    connection: Connection,
    name: str,
    storage: Storage,
    *,
    known: Collection[int] = (),
    seconds: float = SETTLED_SECONDS,
) -> Backing:
    """Return how bucket and segments compare once they agree, or when the time is over.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
        storage: The storage contract.
        known: Segments that the server named before: what was compacted since is no surprise.
        seconds: Time limit.

    Raises:
        MilvusKitError: Server or store cannot be asked, or the bucket is another one's.
    """
    return look_until(
        lambda: _look(connection, name, storage, known),
        lambda seen: seen.agrees,
        seconds=seconds,
    )


def _look(connection: Connection, name: str, storage: Storage, known: Collection[int]) -> Backing:
    before = segments.stored(connection, name)
    held = segments.in_memory(connection, name)
    stored = objects.listed(connection, name, storage)[1]
    after = segments.stored(connection, name)
    fields = _fields(connection, name)
    # What is named at one end of the listing alone is just being written, or was just merged.
    lasting = {one.number for one in before} & {one.number for one in after}
    wanted = [one for one in after if one.number in lasting and one.rows]
    seen = {*known, *(one.number for one in [*before, *held])}
    indexed = {one.number: one.index for one in held if one.indexed and one.number in lasting}
    return compare(
        stored, wanted, indexed=indexed, fields=fields, named=[*before, *after], known=seen
    )


def compare(
    stored: Sequence[Stored],
    wanted: Sequence[Segment],
    *,
    indexed: Mapping[int, int] = MappingProxyType({}),
    fields: Collection[str] = (),
    named: Iterable[Segment] = (),
    known: Collection[int] = (),
) -> Backing:
    """Compare a listing with segments.

    Args:
        stored: The collection's objects.
        wanted: Segments with rows, all objects of which have to be there.
        indexed: The index that each of those that are searched through one is searched through,
            by numbers.
        fields: Numbers of the fields of which each segment has objects of its own; empty if fields
            share them.
        named: Segments that the server names now, whatever they hold.
        known: Numbers of segments that it named before.
    """
    told = [*named, *wanted]
    numbers = {str(one.number) for one in told}
    once = {str(number) for number in known} - numbers
    inside: dict[str, list[Stored]] = collections.defaultdict(list)
    for one in stored:
        inside[objects.segment_of(one)].append(one)
    missing = [
        f"segment {one.number} ({one.rows:,} rows): {what}"
        for one in wanted
        for what in _missing(inside[str(one.number)], fields, index=indexed.get(one.number, 0))
    ]
    unnamed = [
        one.key for number in inside if number not in numbers | once for one in inside[number]
    ]
    return Backing(
        missing,
        sorted(unnamed),
        objects=len(stored),
        named=len(numbers),
        compacted=len(once),
        compared=len(wanted),
        rows=sum(one.rows for one in wanted),
        passing=len({one.number for one in told if one.rows} - {one.number for one in wanted}),
    )


def _missing(inside: Sequence[Stored], fields: Collection[str], *, index: int) -> list[str]:
    """Return what of a segment's objects is missing."""
    found = [f"{one.key} has no byte" for one in inside if not one.size]
    by_kind = collections.Counter(one.kind for one in inside)
    if fields:
        each = collections.Counter(
            objects.field_of(one) for one in inside if one.kind == "insert_log"
        )
        most = max([1, *each.values(), _flushes(inside)])
        for field in sorted({*fields, *each}):
            lacking = most - each[field]
            found += [f"an insert_log object of field {field}"] * lacking
        if not by_kind["stats_log"]:
            found.append("its stats_log object")
    elif not by_kind["insert_log"]:
        found.append("every insert_log object")
    files = [one for one in inside if one.kind == "index_files"]
    # Indexes and builds are numbered from one row: a lower number is a build of one dropped since.
    if index and not any(objects.build_of(one) > index for one in files):
        found.append("every file of its index")
    return found


def _flushes(inside: Iterable[Stored]) -> int:
    """Return how many flushes left statistics of keys; those merged at last have the number 1."""
    logs = [one for one in inside if one.kind == "stats_log"]
    parts = [one for one in logs if one.key.rpartition("/")[2] != MERGED]
    return max(collections.Counter(objects.field_of(one) for one in parts).values(), default=0)


def _fields(connection: Connection, name: str) -> frozenset[str]:
    """Return the numbers of the fields that have objects of their own; empty if they share them."""
    if not connection.version or connection.version >= SHARED_SINCE:
        return frozenset()
    with connection.explained(f"describe {name}"):
        told: Any = connection.client.describe_collection(name, timeout=connection.timeout)
    return SYSTEM_FIELDS | {str(one["field_id"]) for one in told["fields"]}
