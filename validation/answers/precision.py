"""How far the score of a row may be from its exact distance, for each way of computing it.

Everything is a bound in the worst case, derived for each pair of a row x and a query y; a score
beyond it is wrong, whatever processor, order of summation or vector instructions computed it.

*Arithmetic.* With u = 2^-24, the unit roundoff of float32, and g(n) = nu / (1 - nu), a sum of n
products in any order is off by at most g(n) times the sum of their magnitudes (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd edition, sections 3.1 and 4.2). Hence, in dimension d:

- L2 (squared), from differences: each difference and each square adds a rounding, and all terms
  are positive: g(d + 2) times the distance itself.
- L2 (squared) by |x|² + |y|² - 2xy, as GPU indexes compute it: g(d + 2) (|x|² + |y|² + 2 Σ|xᵢyᵢ|),
  which is far more than the distance of near neighbours.
- IP: g(d + 1) Σ|xᵢyᵢ|.
- COSINE: both vectors are scaled to length one first, by factors that are off by g(d/2 + 3), and
  Σ|xᵢyᵢ| ≤ 1 then: g(2d + 8).

*Stored values.* An index that keeps xᵢ + δᵢ with |δᵢ| ≤ eᵢ in place of xᵢ is off by further
Σ 2|xᵢ - yᵢ|eᵢ + eᵢ² (L2), Σ eᵢ|yᵢ| (IP) or 2|e| of a row of length one (COSINE), with

- half precision: eᵢ = 2^-11 |xᵢ| for FP16 (2^-24 at least: there it is subnormal), 2^-8 |xᵢ| for
  BF16 (either rounding to nearest or cutting off);
- SQ8 (also SQ4U and SQ6): the range of the values of a dimension in (2^bits - 1) steps, and e of a
  whole step, since some builds round down. Ranges are trained on a sample, so a row outside it is
  clipped; twice the range of all rows bounds what a residual can span.

Product quantisation and RaBitQ keep so little of a row that no bound is worth stating: without a
refinement by the rows themselves their scores are estimates, and are not compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from validation.datasets.model import Metric

UNIT_ROUNDOFF = 2.0**-24
_SMALLEST = 2.0**-126
"""Below this float32 loses digits; some processors flush it to zero."""
_HALF = {"FP16": (2.0**-11, 2.0**-24), "BF16": (2.0**-8, 2.0**-133)}
_BITS = {"SQ8": 8, "SQ6": 6, "SQ4U": 4}
_ESTIMATED = ("PQ", "RABITQ", "SCANN", "PRQ")


@dataclasses.dataclass(frozen=True)
class Precision:
    """How an index computes scores.

    Args:
        metric: How vectors are compared.
        expanded: Whether L2 is computed from norms and a product.
        relative: What a stored value may be off by, relative to the value.
        absolute: The same, absolutely: float64, shape (d,), or one number.
    """

    metric: Metric
    expanded: bool = False
    relative: float = 0.0
    absolute: np.ndarray | float = 0.0

    def slack(self, rows: np.ndarray, queries: np.ndarray, exactly: np.ndarray) -> np.ndarray:
        """Return how far the scores of pairs may be off.

        Args:
            rows: Float32, shape (m, d).
            queries: Of the same shape.
            exactly: The distances of the pairs, float64, shape (m,).

        Returns:
            Float64, shape (m,). Infinite where the distance is more than float32 can hold.
        """
        dim = rows.shape[1]
        wide, asked = rows.astype(np.float64), queries.astype(np.float64)
        if self.metric == "COSINE":
            wide, asked = _unit(wide), _unit(asked)
        stored, sizes = self._stored(wide, asked), np.abs(exactly)
        if self.metric == "COSINE":
            terms, size = 2 * dim + 8, np.ones(len(rows))
        elif self.metric == "IP":
            terms, size = dim + 1, np.abs(wide * asked).sum(axis=1)
        elif self.expanded:
            terms, size = dim + 2, np.square(np.abs(wide) + np.abs(asked)).sum(axis=1)
        else:
            terms, size = dim + 2, sizes
        off = _accumulated(terms) * (size + stored) + stored + terms * _SMALLEST
        return np.where(sizes < np.finfo(np.float32).max, off, np.inf)

    def _stored(self, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Return what the scores are off by since the index keeps other values than were sent."""
        if not self.relative and not np.any(self.absolute):
            return np.zeros(len(rows))
        off = self.relative * np.abs(rows) + self.absolute
        if self.metric == "L2":
            return (2 * np.abs(rows - queries) * off + np.square(off)).sum(axis=1)
        if self.metric == "IP":
            return (np.abs(queries) * off).sum(axis=1)
        return 2 * np.linalg.norm(off, axis=1)


def precision_of(
    kind: str, build: Mapping[str, Any], vectors: np.ndarray, metric: Metric
) -> Precision | None:
    """Return how an index computes scores; None if it estimates them.

    Args:
        kind: Milvus's ``index_type``, such as ``HNSW`` or ``IVF_SQ8``.
        build: Its parameters: ``sq_type``, ``refine``, ``refine_type`` and ``with_raw_data`` count.
        vectors: Of all rows, float32, shape (n, d).
        metric: How they are compared.
    """
    stored = _stored_as(kind.upper(), {key.lower(): value for key, value in build.items()})
    if stored is None:
        return None
    expanded = kind.upper().startswith("GPU_")
    if stored in _HALF:
        relative, least = _HALF[stored]
        return Precision(metric, expanded=expanded, relative=relative, absolute=least)
    if stored in _BITS:
        compared = _unit(vectors.astype(np.float64)) if metric == "COSINE" else vectors
        spread = np.ptp(compared.astype(np.float64), axis=0)
        if stored.endswith("U"):  # one range for all dimensions
            spread = np.full_like(spread, np.ptp(compared))
        return Precision(metric, expanded=expanded, absolute=2 * spread / (2 ** _BITS[stored] - 1))
    return Precision(metric, expanded=expanded)


def _stored_as(kind: str, build: Mapping[str, Any]) -> str | None:
    """Return what of a row the scores are computed from: FP32, FP16, ...; None for codes."""
    if _true(build.get("refine")):
        return str(build.get("refine_type", "FP32")).upper()
    if kind == "SCANN" and _true(build.get("with_raw_data", True)):
        return "FP32"
    if "sq_type" in build or kind.endswith("_SQ"):
        return str(build.get("sq_type", "SQ8")).upper()
    if kind.endswith("_SQ8"):
        return "SQ8"
    return None if kind.endswith(_ESTIMATED) else "FP32"


def _true(value: object) -> bool:
    return str(value).lower() == "true"


def _accumulated(terms: int) -> float:
    return terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
