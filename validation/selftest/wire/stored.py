"""Faults of what is written and read back: acknowledged and not done, done otherwise, not said."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.selftest.wire.fault import Exchange
from validation.selftest.wire.rows import take

_BEYOND = 10**12
"""Keys from here on are nobody's."""


def _key_column(request: Any) -> list[Any]:
    """Return the primary keys that are sent: the kit's collections call them ``id``."""
    field = next(field for field in request.fields_data if field.field_name == "id")
    return list(getattr(field.scalars, field.scalars.WhichOneof("data")).data)


def _keep(request: Any, rows: Sequence[int]) -> None:
    take(request.fields_data, rows)
    del request.hash_keys[:]
    request.num_rows = len(rows)


@dataclasses.dataclass(frozen=True)
class NotStored:
    """Acknowledge rows and leave them out.

    Args:
        keys: Of those rows.
    """

    keys: frozenset[Any]

    def ask(self, exchange: Exchange) -> bool:
        """Leave them out of what the server gets."""
        sent = _key_column(exchange.asked)
        kept = [row for row, key in enumerate(sent) if key not in self.keys]
        if not kept or len(kept) == len(sent):
            return False
        _keep(exchange.request, kept)
        return True

    def answer(self, exchange: Exchange) -> bool:
        """Acknowledge them with the others."""
        return _acknowledge(exchange)


@dataclasses.dataclass(frozen=True)
class NeverSent:
    """Store rows a second time under keys that nobody sent.

    Args:
        keys: Of the rows that are doubled.
    """

    keys: frozenset[int]

    def ask(self, exchange: Exchange) -> bool:
        """Add them to what the server gets."""
        sent = _key_column(exchange.asked)
        doubled = [row for row, key in enumerate(sent) if key in self.keys]
        if not doubled:
            return False
        _keep(exchange.request, [*range(len(sent)), *doubled])
        for field in exchange.request.fields_data:
            if field.field_name == "id":
                values = field.scalars.long_data.data
                values[len(sent) :] = [sent[row] + _BEYOND for row in doubled]
        return True

    def answer(self, exchange: Exchange) -> bool:
        """Acknowledge what was sent."""
        return _acknowledge(exchange)


@dataclasses.dataclass(frozen=True)
class Changed:
    """Store some rows with one bit of their vector changed.

    Args:
        keys: Of those rows.
    """

    keys: frozenset[Any]

    def ask(self, exchange: Exchange) -> bool:
        """Change the first value of each vector to the next larger one that float32 has."""
        rows = [row for row, key in enumerate(_key_column(exchange.asked)) if key in self.keys]
        for field in exchange.request.fields_data:
            if field.vectors.WhichOneof("data") == "float_vector":
                values, dim = field.vectors.float_vector.data, field.vectors.dim
                for row in rows:
                    first = np.float32(values[row * dim])
                    values[row * dim] = float(np.nextafter(first, np.float32(np.inf)))
        return bool(rows)


def _acknowledge(exchange: Exchange) -> bool:
    """Make the reply say that all that was sent is stored, and nothing else."""
    reply, sent = exchange.reply, _key_column(exchange.asked)
    ids = reply.IDs.str_id if sent and isinstance(sent[0], str) else reply.IDs.int_id
    if reply.IDs.WhichOneof("id_field") is not None:
        del ids.data[:]
        ids.data.extend(sent)
    if len(reply.succ_index):
        reply.succ_index[:] = range(len(sent))
    for name in ("insert_cnt", "upsert_cnt"):
        if getattr(reply, name):
            setattr(reply, name, len(sent))
    return True


@dataclasses.dataclass(frozen=True)
class Miscounted:
    """Count rows wrong.

    Args:
        by: What is added to each count.
    """

    by: int

    def __call__(self, exchange: Exchange) -> bool:
        """Change the answer to ``count(*)``."""
        counts = [
            field.scalars.long_data.data
            for field in exchange.reply.fields_data
            if field.field_name == "count(*)"
        ]
        for data in counts:
            data[:] = [max(0, value + self.by) for value in data]
        return bool(counts)


@dataclasses.dataclass(frozen=True)
class Answering:
    """Name another version than the server's.

    Args:
        version: What it calls itself.
    """

    version: str

    def __call__(self, exchange: Exchange) -> bool:
        """Change the answer to ``GetVersion`` or ``Connect``."""
        reply = exchange.reply
        if exchange.method == "Connect":
            reply.server_info.build_tags = self.version
        else:
            reply.version = self.version
        return True


def is_counted(request: Any) -> bool:
    """Whether a query asks for the number of rows."""
    return list(request.output_fields) == ["count(*)"]
