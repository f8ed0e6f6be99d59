"""Clustered vectors of any size, the same bytes on every machine.

Why integers: a generator's distributions, libm's functions and BLAS may differ between versions and
processors in the last bit. Here every value is a sum of 16-bit integers cut from PCG64's raw
64-bit stream (which numpy guarantees), so all arithmetic is exact; the only floating-point step is
a multiplication by a power of two, which is exact as well. A sum of four uniform integers is close
to normal, so a cluster looks like a Gaussian cloud.

What is planted, so that a defect shows:

- *near neighbours*: each of the first queries has rows at a known, tiny distance;
- *ties*: each of the next queries has more than ten identical rows beside it, so that the border of
  the ten nearest runs through rows at exactly the same distance;
- *selectivity*: the column ``bucket`` is a random permutation spread evenly over 0 to 999, so that
  ``bucket < 1000 * s`` holds for the share s of rows, independent of where they lie.
"""

from __future__ import annotations

import numpy as np

from validation.datasets.checking import checked
from validation.datasets.model import Condition, Dataset, Filter, Queries
from validation.datasets.room import require_room

BUCKETS = 1_000
TIED_ROWS = 14
_NEAR_ROWS = 3
_ROWS_OF_A_CLUSTER = 500
_PLANTED_QUERIES = 16
_SCALE = np.float32(2.0**-16)
_NEAR_STEP = 64
CATEGORIES = ("bulletin", "contract", "drawing", "invoice", "manual", "memo", "report", "ticket")


def generate(rows: int, dim: int, *, queries: int = 1_000, seed: int = 20_240_501) -> Dataset:
    """Return a generated dataset.

    Args:
        rows: Number of rows, at least 100.
        dim: Dimension, at least 2.
        queries: Number of queries, drawn from the same clusters as the rows.
        seed: Of everything.

    Returns:
        Vectors float32 of shape (rows, dim), compared by L2; ids 0 to rows - 1.

    Raises:
        DatasetError: A size is out of range.
        ConfigurationError: They do not fit into memory.
    """
    from validation.errors import DatasetError  # noqa: PLC0415

    for name, value, least in (("rows", rows, 100), ("dim", dim, 2), ("queries", queries, 1)):
        if value < least:
            raise DatasetError(f"{name} must be at least {least}", where="generate", seen=value)
    require_room(rows, dim)
    clusters = max(1, rows // _ROWS_OF_A_CLUSTER)
    stream = np.random.PCG64(seed)
    centres = _noise(stream, clusters, dim)
    vectors = centres[_below(stream, rows, clusters)]
    vectors += _noise(stream, rows, dim)
    wanted = centres[_below(stream, queries, clusters)] + _noise(stream, queries, dim)
    order = np.argsort(stream.random_raw(rows), kind="stable")
    planted = _plant(vectors, wanted, order)
    bucket = np.empty(rows, dtype=np.int64)
    bucket[order] = np.arange(rows, dtype=np.int64) * BUCKETS // rows
    category = _below(stream, rows, len(CATEGORIES))
    dataset = Dataset(
        name=f"generated_{rows}x{dim}",
        ids=np.arange(rows, dtype=np.int64),
        vectors=vectors.astype(np.float32) * _SCALE,
        scalars={
            "bucket": bucket,
            "category": [CATEGORIES[number] for number in category],
            "active": (_below(stream, rows, 2) == 1),
        },
        queries=Queries(
            ids=[f"q{number}" for number in range(queries)],
            vectors=wanted.astype(np.float32) * _SCALE,
        ),
        metric="L2",
        provenance={"made_by": "generated", "seed": seed, "clusters": clusters, **planted},
    )
    return checked(dataset, where="generate")


def selecting(share: float) -> Filter:
    """Return a filter that holds for a share of the rows, in steps of a thousandth."""
    return Filter((Condition("bucket", "lt", round(share * BUCKETS)),))


def _noise(stream: np.random.PCG64, rows: int, dim: int) -> np.ndarray:
    """Return int32 noise, shape (rows, dim): sums of four 16-bit integers, centred on 0."""
    out = np.empty((rows, dim), dtype=np.int32)
    block = max(1, 2_000_000 // dim)
    for at in range(0, rows, block):
        raw = stream.random_raw(min(block, rows - at) * dim).astype("<u8", copy=False)
        parts = raw.view("<u2").reshape(-1, 4)
        total = parts[:, 0].astype(np.int32)
        for column in range(1, 4):
            total += parts[:, column]
        out[at : at + block] = (total - 2 * 65_535).reshape(-1, dim)
    return out


def _below(stream: np.random.PCG64, count: int, limit: int) -> np.ndarray:
    """Return int64 numbers in 0..limit-1, shape (count,); the bias of 64-bit modulo is nil."""
    return (stream.random_raw(count) % np.uint64(limit)).astype(np.int64)


def _plant(vectors: np.ndarray, wanted: np.ndarray, order: np.ndarray) -> dict[str, list[int]]:
    """Put near neighbours and ties in place of rows picked by the order; return who has which."""
    per_pair = _NEAR_ROWS + TIED_ROWS
    pairs = min(_PLANTED_QUERIES, len(wanted) // 2, len(vectors) // (per_pair * 4))
    rows = iter(order.tolist())
    for query in range(pairs):
        for step in range(1, _NEAR_ROWS + 1):
            row = next(rows)
            vectors[row] = wanted[query]
            vectors[row, query % vectors.shape[1]] += step * _NEAR_STEP
    for query in range(pairs, 2 * pairs):
        tied = [next(rows) for _ in range(TIED_ROWS)]
        vectors[tied] = wanted[query]
        vectors[tied, query % vectors.shape[1]] += _NEAR_STEP
    return {
        "planted_near": list(range(pairs)),
        "planted_ties": list(range(pairs, 2 * pairs)),
    }
