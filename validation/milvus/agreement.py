"""Whether the segments of a collection account for its rows: stored ones, and each replica's."""

from __future__ import annotations

import dataclasses
from typing import Any

from validation.milvus import segments
from validation.milvus.connection import Connection
from validation.milvus.segments import Segment
from validation.milvus.waiting import look_until

SETTLED_SECONDS = 10.0
"""How long segments may take to be handed over; those that were flushed before a load need none."""


@dataclasses.dataclass(frozen=True)
class Account:
    """The rows of a collection as its segments have them.

    Args:
        stored: In all segments that are stored.
        replicas: In the segments that each replica's query nodes hold, by its number.
        segments: All of them, for evidence.
    """

    stored: int
    replicas: dict[str, int]
    segments: dict[str, list[dict[str, Any]]]

    def agrees(self, rows: int) -> bool:
        """Whether the segments have so many rows, stored and in every replica."""
        return self.stored == rows and all(held == rows for held in self.replicas.values())


def account(connection: Connection, name: str) -> Account:
    """Return the rows of a loaded collection as its segments have them now.

    Raises:
        MilvusKitError: The server cannot be asked, or does not say.
    """
    there = segments.stored(connection, name)
    held = segments.in_memory(connection, name)
    return Account(
        sum(one.rows for one in there),
        by_replica(held, segments.replicas(connection, name)),
        {
            "stored": [one.describe() for one in there],
            "in memory": [one.describe() for one in held],
        },
    )


def by_replica(held: list[Segment], replicas: dict[int, frozenset[int]]) -> dict[str, int]:
    """Return the rows that each replica's nodes hold; a segment counts once for a replica.

    Args:
        held: Segments in memory.
        replicas: The nodes of each replica.
    """
    return {
        str(replica): sum({one.number: one.rows for one in held if one.nodes & nodes}.values())
        for replica, nodes in sorted(replicas.items())
    }


def settled(
    connection: Connection, name: str, rows: int, *, seconds: float = SETTLED_SECONDS
) -> Account:
    """Return the account once it agrees, or what it is when the time is over.

    Args:
        connection: An open connection to the server.
        name: Of a loaded collection of which no row was deleted: those stay in their segments.
        rows: How many it has.
        seconds: Time limit.

    Raises:
        MilvusKitError: The server cannot be asked, or does not say.
    """
    return look_until(
        lambda: account(connection, name), lambda seen: seen.agrees(rows), seconds=seconds
    )
