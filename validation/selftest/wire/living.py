"""Faults of rows that change: lost, doubled, out of date, back from the dead, of another's content.

Each is of answers to queries by the primary key ``id`` with a column ``version``, as the family
``living`` asks them. Those that remember what was answered before are one object for a whole run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from validation.selftest.wire.fault import Exchange
from validation.selftest.wire.rows import take

ONE_IN = 23
"""Every so many keys meet the fault."""


def keys_of(reply: Any) -> list[int]:
    """Return the keys of an answer's rows; none of an answer that has no keys."""
    field = _field(reply, "id")
    return list(field.scalars.long_data.data) if field else []


def lost(exchange: Exchange) -> bool:
    """Leave some rows out of every answer."""
    keys = keys_of(exchange.reply)
    kept = [row for row, key in enumerate(keys) if key % ONE_IN]
    take(exchange.reply.fields_data, kept)
    return len(kept) < len(keys)


def doubled(exchange: Exchange) -> bool:
    """Answer the first row twice."""
    keys = keys_of(exchange.reply)
    if keys:
        take(exchange.reply.fields_data, [0, *range(len(keys))])
    return bool(keys)


def other_content(exchange: Exchange) -> bool:
    """Answer the first row with another one's vector."""
    field = _field(exchange.reply, "vector")
    if field is None or len(keys_of(exchange.reply)) < 2:  # noqa: PLR2004  (it takes another one)
        return False
    values, dim = field.vectors.float_vector.data, field.vectors.dim
    values[:dim] = values[dim : 2 * dim]
    return True


def never_written(exchange: Exchange) -> bool:
    """Answer the first row under a key that nobody wrote, and under its own."""
    field = _field(exchange.reply, "id")
    if not doubled(exchange) or field is None:
        return False
    field.scalars.long_data.data[0] += 10**12
    return True


@dataclasses.dataclass
class OldVersions:
    """Answer some rows as they were when they were first seen."""

    first: dict[int, tuple[int, list[float]]] = dataclasses.field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> bool:
        """Put the first version and vector in place of those of today."""
        version, vector = (_field(exchange.reply, name) for name in ("version", "vector"))
        if version is None or vector is None:
            return False
        versions, dim = version.scalars.long_data.data, vector.vectors.dim
        values, changed = vector.vectors.float_vector.data, False
        for row, key in enumerate(keys_of(exchange.reply)):
            place = slice(row * dim, (row + 1) * dim)
            was = self.first.setdefault(key, (versions[row], list(values[place])))
            if key % ONE_IN == 0 and was[0] != versions[row]:
                versions[row], values[place], changed = was[0], was[1], True
        return changed


@dataclasses.dataclass
class Undead:
    """Answer rows again that were seen and are gone."""

    seen: dict[int, tuple[int, list[float]]] = dataclasses.field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> bool:
        """Give a place in the answer to some that it lacks."""
        reply = exchange.reply
        version, vector = (_field(reply, name) for name in ("version", "vector"))
        keys = keys_of(reply)
        if version is None or vector is None or not keys:
            return False
        versions, values = version.scalars.long_data.data, vector.vectors.float_vector.data
        dim = vector.vectors.dim
        for row, key in enumerate(keys):
            self.seen[key] = (versions[row], list(values[row * dim : (row + 1) * dim]))
        gone = self._gone(keys, exchange.request.expr)
        take(reply.fields_data, [*range(len(keys)), *[0] * len(gone)])
        for row, key in enumerate(gone, len(keys)):
            _field(reply, "id").scalars.long_data.data[row] = key
            versions[row], values[row * dim : (row + 1) * dim] = self.seen[key]
        return bool(gone)

    def _gone(self, keys: Sequence[int], asked: str) -> list[int]:
        absent = sorted(set(self.seen) - set(keys))
        if "[" not in asked:
            return absent[:3]
        wanted = {int(part) for part in asked[asked.index("[") + 1 : asked.index("]")].split(",")}
        return [key for key in absent if key in wanted][:3]


def _field(reply: Any, name: str) -> Any:
    return next((field for field in reply.fields_data if field.field_name == name), None)
