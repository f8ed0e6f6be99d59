"""Faults of rows that are deleted, of partitions, and of iterators."""

from __future__ import annotations

from typing import Any

from validation.selftest.wire.fault import Exchange
from validation.selftest.wire.rows import take
from validation.selftest.wire.stored import is_counted

_ITERATED = 0.84
"""The share of the rows that an iterator of milvus-io/milvus#52055 returns."""
_NOBODY = "id == -1"


def is_deleted_by_filter(request: Any) -> bool:
    """Whether a delete names no keys."""
    return not request.expr.startswith("id in ")


def is_iterated(request: Any) -> bool:
    """Whether a query is one of pymilvus's iterator, which asks for nothing but keys here."""
    return list(request.output_fields) == ["id"]


def returns_rows(request: Any) -> bool:
    """Whether a query asks for rows of the collection whose rows are changed."""
    return "mutated" in request.collection_name and not is_counted(request)


def undone(exchange: Exchange) -> bool:
    """Delete nothing."""
    exchange.request.expr = _NOBODY
    return True


def everywhere(exchange: Exchange) -> bool:
    """Ask in all partitions."""
    named = len(exchange.request.partition_names) > 0
    del exchange.request.partition_names[:]
    return named


def first_left_out(exchange: Exchange) -> bool:
    """Leave out the first rows of a page: those at its end are where the next page goes on."""
    count = _count(exchange.reply)
    rows = range(count - int(count * _ITERATED), count)
    take(exchange.reply.fields_data, rows)
    return len(rows) < count


def first_twice(exchange: Exchange) -> bool:
    """Return the first row of a page twice."""
    count = _count(exchange.reply)
    take(exchange.reply.fields_data, [0, *range(count)] if count else [])
    return count > 0


def _count(reply: Any) -> int:
    """Return how many rows are in a reply to a query."""
    keys = [field for field in reply.fields_data if field.field_name == "id"]
    return len(keys[0].scalars.long_data.data) if keys else 0
