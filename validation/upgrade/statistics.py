"""Whether one side is worse than another by more than a margin: pure functions of their rounds.

A round is summed up by its median; a side by the mean of its rounds' logarithms without the fifth
at either end, so that a difference is a ratio and rounds that a busy host spoilt decide nothing.
Its interval is a studentised bootstrap over rounds with Yuen's standard error (Wilcox, Introduction
to Robust Estimation, 5.3), one-sided on either side:

- a gate **passes** if the upper bound at its confidence is within the margin. All gates have to
  pass together, so none of them needs a correction (an intersection-union test, Berger 1982);
- it **fails** if the lower bound is beyond the margin. One gate that fails is enough, so its
  error is divided by the number of gates (Bonferroni): of all gates together, one fails without
  cause in at most as many comparisons as one gate alone would;
- it is **inconclusive** in between, if the noise alone reaches the margin, or if the control moved.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

RESAMPLES = 2_000
NOISE_QUANTILE = 0.95
TRIMMED = 0.2
_MOST_FOLLOWS = 0.7
_SEED = 20_261_130
_LEAST_ERROR = 1e-9
"""Of a mean of logarithms: rounds that are all alike have no error to divide by."""


def bounds(
    before: np.ndarray, after: np.ndarray, *, confidence: float, gates: int = 1
) -> tuple[float, float]:
    """Return bounds of the ratio of two sides: after over before.

    Args:
        before: A figure of each round, positive, shape (n,).
        after: Of the other side, shape (m,).
        confidence: Of the upper bound, one-sided.
        gates: How many are judged together: the error of the lower bound is divided by it.

    Returns:
        Lower and upper bound. The upper one is infinite if a round of ``after`` is.
    """
    if not (np.isfinite(before).all() and (before > 0).all()):
        raise ValueError("the rounds to compare with hold what is no latency")
    if not np.isfinite(after).all():
        return (np.inf, np.inf) if np.isinf(after).sum() > len(after) / 2 else (0.0, np.inf)
    one, other = np.log(before), np.log(after)
    difference = _mean(other) - _mean(one)
    error = _error(one, other)
    rng = np.random.default_rng(_SEED)
    left, right = (
        side[rng.integers(len(side), size=(RESAMPLES, len(side)))] for side in (one, other)
    )
    drawn = _mean(right) - _mean(left) - difference
    studentised = drawn / np.maximum(_error(left, right), _LEAST_ERROR)
    low, high = np.quantile(studentised, [1 - confidence, 1 - (1 - confidence) / gates])
    error = error * _following(one, other)
    return float(np.exp(difference - high * error)), float(np.exp(difference - low * error))


def noise(rounds: np.ndarray, against: int) -> float:
    """Return how far two sides of the very same server are apart, as a ratio of at least 1.

    It is the 95th percentile over such comparisons, by the scatter of the rounds of one side.

    Args:
        rounds: Of one side, positive, shape (n,).
        against: How many rounds the other side has.
    """
    if not np.isfinite(rounds).all():
        return np.inf
    logs = np.log(rounds)
    error = np.sqrt(_squared_error(logs) * (1 + len(logs) / against)) * _following(logs)
    return float(np.exp(ndtri((1 + NOISE_QUANTILE) / 2) * error))


def loss(
    before: np.ndarray, after: np.ndarray, *, confidence: float, gates: int = 1
) -> tuple[float, float]:
    """Return bounds of how much is lost on average, query by query, of shares in [0, 1].

    Args:
        before: Of each query, shape (q,).
        after: Of the same queries in the same order.
        confidence: Of the upper bound, one-sided.
        gates: As of `bounds`.
    """
    lost = before - after
    rng = np.random.default_rng(_SEED)
    means = lost[rng.integers(len(lost), size=(RESAMPLES, len(lost)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / gates, confidence])
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def moved(before: np.ndarray, after: np.ndarray, margin: float) -> float:
    """Return by which ratio a control moved beyond a margin for certain; 0 if it did not.

    Args:
        before: Of each round, shape (n,).
        after: Of the other side.
        margin: As a ratio above 1; a control may as well have become faster by it.
    """
    low, high = bounds(before, after, confidence=0.975)
    return float(np.sqrt(low * high)) if low > margin or high < 1 / margin else 0.0


def _mean(logs: np.ndarray) -> np.ndarray:
    """Return trimmed means over the last axis."""
    cut = int(TRIMMED * logs.shape[-1])
    return np.sort(logs, axis=-1)[..., cut : logs.shape[-1] - cut].mean(axis=-1)


def _error(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Yuen's standard error of a difference of trimmed means, over the last axis."""
    return np.sqrt(_squared_error(one) + _squared_error(other))


def _squared_error(logs: np.ndarray) -> np.ndarray:
    count = logs.shape[-1]
    cut = int(TRIMMED * count)
    ordered = np.sort(logs, axis=-1)
    winsorised = np.clip(ordered, ordered[..., [cut]], ordered[..., [count - 1 - cut]])
    kept = count - 2 * cut
    return winsorised.var(axis=-1, ddof=1) * (count - 1) / (kept * (kept - 1))


def _following(*sides: np.ndarray) -> float:
    """Return by how much errors grow because a round is like the one before it.

    The factor of a series in which each value keeps a share of the last one's deviation, estimated
    from both sides together and corrected for its bias in short series (Marriott and Pope 1954).
    """
    centred = []
    for side in sides:
        cut = int(TRIMMED * len(side))
        ordered = np.sort(side)
        kept = np.clip(side, ordered[cut], ordered[len(side) - 1 - cut])
        centred.append(kept - kept.mean())
    squares = sum(float((one**2).sum()) for one in centred)
    if not squares:
        return 1.0
    share = sum(float((one[1:] * one[:-1]).sum()) for one in centred) / squares
    count = min(map(len, sides))
    corrected = (count * share + 1) / (count - 3)
    share = min(max(corrected, 0.0), _MOST_FOLLOWS)
    return float(np.sqrt((1 + share) / (1 - share)))
