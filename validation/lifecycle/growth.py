"""How much of a collection's bytes in the bucket is of segments that the server names."""

from __future__ import annotations

import dataclasses
import math

from validation.milvus import objects, segments
from validation.milvus.connection import Connection
from validation.target import Storage


@dataclasses.dataclass(frozen=True)
class Growth:
    """Bytes of one collection.

    Args:
        all_bytes: Of all its objects.
        named_bytes: Of what a load reads: logs of segments that are named, their newest indexes.
    """

    all_bytes: int
    named_bytes: int

    @property
    def ratio(self) -> float:
        """How many times as large all is as what is named."""
        return self.all_bytes / self.named_bytes if self.named_bytes else math.inf


def of(connection: Connection, name: str, storage: Storage) -> Growth:
    """Return how much the bucket holds of a collection, and how much of that is named.

    Raises:
        MilvusKitError: Server or store cannot be asked.
    """
    stored = objects.listed(connection, name, storage)[1]
    named = {str(one.number) for one in segments.stored(connection, name)}
    live = objects.of_segments(stored, named)
    return Growth(sum(one.size for one in stored), sum(one.size for one in live))
