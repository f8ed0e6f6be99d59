"""Read a collection's rows: once the keys alone, once the vectors, in bounded memory.

Both go by the primary key, page by page, as pymilvus's query iterator does; its search iterator
loses rows that are equally near, and is not used. The first reading costs a few hundredths of the
second, and yields what that one needs: rows to ask with, how many there are, and where to cut the
keys, so that pages can be fetched side by side.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from validation.datasets.model import key_array
from validation.milvus.reading import Range, Rows, Table
from validation.milvus.waiting import Report

_READERS = 2
_AHEAD = 2
"""Pages that are read ahead, beside those that are being read."""


@dataclasses.dataclass(frozen=True)
class Keys:
    """What is known of the keys of a collection.

    Args:
        count: How many came.
        sample: Some of them, each as likely as any other, in no order; int64 or strings.
        cuts: One key in so many, ascending.
    """

    count: int
    sample: np.ndarray
    cuts: list[Any]


def keys(table: Table, *, every: int, sample: int, seed: int, report: Report | None = None) -> Keys:
    """Read the primary keys.

    Args:
        table: Of the primary key alone.
        every: How many keys lie from one cut to the next, at most.
        sample: How many to draw, without repetition.
        seed: Of the draw.
        report: Is told how far it is.
    """
    generator = np.random.default_rng(seed)
    drawn, lots = key_array([]) if table.text_keys else np.empty(0, np.int64), np.empty(0)
    cuts: list[Any] = []
    count = 0
    for page in table.pages(Range()):
        found = key_array(page[table.key])
        # Each row draws a number; those with the smallest are the sample, however many come.
        lots = np.concatenate([lots, generator.random(len(found))])
        drawn = np.concatenate([drawn, found])
        kept = np.argsort(lots)[:sample]
        drawn, lots = drawn[kept], lots[kept]
        cuts += found[(-count) % every :: every].tolist()
        count += len(found)
        if report:
            report(f"{count:,} keys read")
    return Keys(count, drawn, cuts[1:])


def pages(table: Table, cuts: list[Any]) -> Iterator[Rows]:
    """Yield all rows in order of the primary key, a few pages read ahead.

    Args:
        table: What is read.
        cuts: Keys between which a little less than a page of rows lies.
    """
    ranges = [Range(*pair) for pair in zip([None, *cuts], [*cuts, None], strict=True)]
    waiting: collections.deque[Future[list[Rows]]] = collections.deque()
    pool = ThreadPoolExecutor(_READERS)
    try:
        for part in ranges:
            waiting.append(pool.submit(lambda part=part: list(table.rows(part))))
            if len(waiting) > _READERS + _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
