"""One figure and its interval from raw samples.

No method here assumes a normal distribution: latencies have long tails and recalls pile up at 1.

- ``proportion``: the mean of values in [0, 1] with Wilson's score interval (Wilson 1927), taking
  each sample as one trial. For values that are not only 0 or 1 this is conservative: a variable in
  [0, 1] with mean p has a variance of at most p(1 - p). All samples at 1 still leave a doubt that
  shrinks with n, as it should.
- ``p50`` to ``p99.9``: the order statistic (nearest rank) with the distribution-free binomial
  interval (Hahn and Meeker, Statistical Intervals, 5.2). Where n is too small for the confidence,
  the upper end is infinite: an honest "don't know" that no rule can pass.
- ``mean``: bias-corrected bootstrap (Efron 1987, without acceleration), 2,000 resamples, fixed
  seed. Fewer than 20 samples have an infinite interval.
- ``bounds``: two samples, the least and the most that a figure can be. The interval is between
  them, so that a rule is only passed or failed if both are on one side of it.
- ``sum``, ``min``, ``max``, ``value``: exact figures of what was counted; the interval is the
  figure.

What can only lie in a span, such as a share in [0, 1], has an interval within it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.special import betainc, betaincinv, ndtr, ndtri

STATISTICS = (
    "mean",
    "proportion",
    "p50",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "sum",
    "min",
    "max",
    "value",
    "bounds",
)
_EXACT = {"sum": np.sum, "min": np.min, "max": np.max}
_RESAMPLES = 2_000
_BOOTSTRAP_NEEDS = 20
"""Fewer samples do not show the tail that a bootstrap has to resample. Simulated with lognormal
samples (sigma 0.5), its 95 % intervals cover the mean in 69 % of runs at n = 3, 91 % at n = 20."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure, the interval around it, and where it comes from.

    Args:
        value: The figure, in the samples' unit.
        low: Lower end of the interval; may be ``-inf``.
        high: Upper end; may be ``inf``.
        n: Number of samples.
        confidence: Probability that the method's interval covers the true figure.
        method: The method, for the report.
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float
    method: str


def estimate(
    statistic: str,
    samples: np.ndarray,
    *,
    confidence: float = 0.95,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Return one figure of the samples with its interval.

    Args:
        statistic: One of `STATISTICS`.
        samples: Float64, shape (n,), n at least 1. ``inf`` is allowed (a failed request is
            infinitely slow) except for ``mean`` and ``proportion``.
        confidence: Of the interval, in (0, 1).
        span: What a sample can be at least and at most.

    Raises:
        ValueError: No samples, NaN among them, an unknown statistic, or values that the statistic
            has no meaning for.
    """
    values = np.asarray(samples, dtype=np.float64).ravel()
    if values.size == 0:
        raise ValueError("no samples")
    if np.isnan(values).any():
        raise ValueError("NaN among the samples")
    found = _estimate(statistic, values, confidence, span)
    # A figure outside its span is wrong itself, and its interval still has to hold it.
    low = min(found.value, max(found.low, span[0]))
    high = max(found.value, min(found.high, span[1]))
    return dataclasses.replace(found, low=low, high=high)


def _estimate(
    statistic: str, values: np.ndarray, confidence: float, span: tuple[float, float]
) -> Estimate:
    if statistic in _EXACT:
        figure = float(_EXACT[statistic](values))
        return Estimate(figure, figure, figure, values.size, confidence, "exact")
    if statistic == "value":
        if values.size != 1:
            raise ValueError(f"'value' needs exactly one sample, got {values.size}")
        figure = float(values[0])
        return Estimate(figure, figure, figure, 1, confidence, "exact")
    if statistic == "bounds":
        return _bounds(values, confidence)
    if statistic == "proportion":
        return _wilson(values, confidence)
    if statistic == "mean":
        return _bootstrap_mean(values, confidence, span)
    if statistic in STATISTICS:
        return _percentile(values, float(statistic[1:]) / 100, confidence)
    raise ValueError(f"unknown statistic {statistic!r}; known: {', '.join(STATISTICS)}")


def samples_needed(statistic: str, *, confidence: float = 0.95) -> int:
    """Return from how many samples on a statistic's interval can have two finite ends.

    A percentile's upper end exists once ``share ** n <= (1 - confidence) / 2``, its lower end once
    ``(1 - share) ** n`` is.
    """
    if statistic == "mean":
        return _BOOTSTRAP_NEEDS
    if statistic == "bounds":
        return 2
    if not statistic.startswith("p") or statistic == "proportion":
        return 1
    share, tail = float(statistic[1:]) / 100, (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(share, 1 - share)))


def rate_unseen(trials: int, *, confidence: float = 0.95) -> float:
    """Return the highest rate at which something may happen that none of some trials showed.

    At that rate, so many trials show it at least once with the confidence: (1 - rate)^trials =
    1 - confidence (the exact binomial bound, Clopper and Pearson 1934, for no event).
    """
    return 1 - (1 - confidence) ** (1 / trials) if trials else 1.0


def share_missed(rate: float, trials: int) -> float:
    """Return with what probability no trial shows what happens at a rate."""
    return (1 - rate) ** trials


def _bounds(values: np.ndarray, confidence: float) -> Estimate:
    if values.size != 2:  # noqa: PLR2004  (a lower and an upper one)
        raise ValueError(f"'bounds' needs a lower and an upper one, got {values.size} samples")
    low, high = float(values.min()), float(values.max())
    return Estimate((low + high) / 2, low, high, 2, confidence, "bounds")


def _wilson(values: np.ndarray, confidence: float) -> Estimate:
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"a proportion's samples lie in [0, 1], got {values.min():g} to {values.max():g}"
        )
    n, share = values.size, float(values.mean())
    z = float(ndtri(0.5 + confidence / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # The ends are exact where the share is: rounding must not put the figure outside.
    low = 0.0 if share == 0 else max(0.0, min(share, centre - half))
    high = 1.0 if share == 1 else min(1.0, max(share, centre + half))
    return Estimate(share, low, high, n, confidence, "Wilson score")


def _percentile(values: np.ndarray, share: float, confidence: float) -> Estimate:
    ordered, n = np.sort(values), values.size
    # Ranks count from 1. The r-th smallest lies below the true quantile with probability
    # P(Binomial(n, share) >= r), and that is the regularised incomplete beta function.
    tail = (1 - confidence) / 2
    ranks = np.arange(1, n + 1)
    below = betainc(ranks, n - ranks + 1, share)
    sure_low = ranks[below >= 1 - tail]
    sure_high = ranks[below <= tail]
    low = float(ordered[sure_low[-1] - 1]) if sure_low.size else -math.inf
    high = float(ordered[sure_high[0] - 1]) if sure_high.size else math.inf
    value = float(ordered[max(0, math.ceil(share * n - 1e-9) - 1)])
    return Estimate(value, min(low, value), max(high, value), n, confidence, "order statistics")


def _bootstrap_mean(values: np.ndarray, confidence: float, span: tuple[float, float]) -> Estimate:
    if not np.isfinite(values).all():
        raise ValueError("a mean needs finite samples; use a percentile where requests failed")
    n, mean = values.size, float(values.mean())
    if n < _BOOTSTRAP_NEEDS:
        return Estimate(mean, -math.inf, math.inf, n, confidence, "bootstrap")
    if np.ptp(values) == 0:
        # All alike: the bootstrap would claim certainty. Bound how much of the population may
        # differ (Clopper-Pearson, zero of n seen), and let that share lie as far off as it can.
        unseen = float(betaincinv(1, n, confidence))
        usual = max(abs(mean), 1.0)
        below, above = (unseen * (usual if math.isinf(end) else abs(end - mean)) for end in span)
        return Estimate(mean, mean - below, mean + above, n, confidence, "all samples alike")
    generator = np.random.Generator(np.random.PCG64(0))
    block = max(1, min(_RESAMPLES, 4_000_000 // n))
    means = np.concatenate(
        [
            values[generator.integers(0, n, size=(min(block, _RESAMPLES - at), n))].mean(axis=1)
            for at in range(0, _RESAMPLES, block)
        ]
    )
    # Bias correction: where the point estimate stands among the resampled means.
    share_below = (np.sum(means < mean) + 0.5 * np.sum(means == mean)) / _RESAMPLES
    bias = float(ndtri(np.clip(share_below, 1 / _RESAMPLES, 1 - 1 / _RESAMPLES)))
    z = float(ndtri(0.5 + confidence / 2))
    low, high = np.quantile(means, [ndtr(2 * bias - z), ndtr(2 * bias + z)])
    return Estimate(mean, min(float(low), mean), max(float(high), mean), n, confidence, "bootstrap")
