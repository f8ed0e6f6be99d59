"""Figures and intervals: exact where they can be, and covering the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from validation.verdicts.intervals import STATISTICS, estimate, samples_needed

PERCENTILES = [name for name in STATISTICS if name[0] == "p" and name != "proportion"]

finite = st.floats(min_value=-1e9, max_value=1e9)
shares = arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 1))
anything = arrays(np.float64, st.integers(1, 200), elements=finite)


@given(samples=anything, statistic=st.sampled_from(["mean", *PERCENTILES]))
def test_the_figure_lies_within_its_interval(samples, statistic):
    found = estimate(statistic, samples)
    assert found.low <= found.value <= found.high
    assert found.n == samples.size


@given(samples=shares)
def test_a_proportion_s_interval_lies_between_zero_and_one_and_holds_the_mean(samples):
    found = estimate("proportion", samples)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(samples.mean())


@given(samples=anything, seed=st.integers(0, 2**16), statistic=st.sampled_from(PERCENTILES))
def test_a_percentile_does_not_depend_on_the_order_of_samples(samples, seed, statistic):
    shuffled = np.random.default_rng(seed).permutation(samples)
    assert estimate(statistic, shuffled) == estimate(statistic, samples)


@given(samples=anything, statistic=st.sampled_from(PERCENTILES))
def test_more_confidence_never_narrows_a_percentile_s_interval(samples, statistic):
    usual = estimate(statistic, samples, confidence=0.9)
    surer = estimate(statistic, samples, confidence=0.99)
    assert surer.low <= usual.low
    assert surer.high >= usual.high


@given(samples=anything, statistic=st.sampled_from(PERCENTILES))
def test_a_percentile_is_the_nearest_rank(samples, statistic):
    share = float(statistic[1:]) / 100
    found = estimate(statistic, samples).value
    assert np.mean(samples <= found) >= share - 1e-9
    assert np.mean(samples < found) < share + 1e-9


@pytest.mark.parametrize("statistic", ["sum", "min", "max"])
@given(samples=anything)
def test_counts_and_extremes_are_exact(statistic, samples):
    found = estimate(statistic, samples)
    assert found.low == found.value == found.high == getattr(np, statistic)(samples)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_statistic_makes_a_figure_of_nothing(statistic):
    with pytest.raises(ValueError, match="no samples"):
        estimate(statistic, np.array([]))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_statistic_takes_what_is_not_a_number(statistic):
    with pytest.raises(ValueError, match="NaN"):
        estimate(statistic, np.array([0.5, math.nan]))


def test_value_wants_exactly_one_sample():
    assert estimate("value", np.array([3.0])).value == 3
    with pytest.raises(ValueError, match="exactly one sample, got 2"):
        estimate("value", np.array([3.0, 4.0]))


def test_a_proportion_refuses_what_is_not_a_share():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], got 0 to 1.5"):
        estimate("proportion", np.array([0.0, 1.5]))


def test_a_mean_refuses_failed_requests():
    with pytest.raises(ValueError, match="finite"):
        estimate("mean", np.array([1.0] * 50 + [math.inf]))


def test_an_unknown_statistic_is_refused():
    with pytest.raises(ValueError, match="unknown statistic 'median'"):
        estimate("median", np.array([1.0]))


def test_failed_requests_raise_a_percentile_to_infinity_as_soon_as_they_reach_it():
    samples = np.array([1.0] * 980 + [math.inf] * 20)
    assert estimate("p50", samples).value == 1
    assert estimate("p99", samples).value == math.inf
    assert estimate("p99", samples).high == math.inf


def test_wilson_agrees_with_scipy():
    for hits, n in ((0, 10), (1, 10), (95, 100), (400, 400), (7, 1000)):
        samples = np.array([1.0] * hits + [0.0] * (n - hits))
        found = estimate("proportion", samples)
        known = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-12)


def test_the_median_s_interval_agrees_with_the_binomial_table():
    # n = 10, 95 %: the 2nd and the 9th order statistic (97.9 % coverage).
    found = estimate("p50", np.arange(1.0, 11.0))
    assert (found.low, found.high) == (2, 9)


@pytest.mark.parametrize(
    ("statistic", "needed"), [("p50", 6), ("p90", 36), ("p95", 72), ("p99", 368), ("p99.9", 3688)]
)
def test_too_few_samples_leave_a_percentile_unbounded(statistic, needed):
    assert samples_needed(statistic) == needed
    enough = estimate(statistic, np.arange(float(needed)))
    assert math.isfinite(enough.high)
    short = estimate(statistic, np.arange(float(needed - 1)))
    assert short.high == math.inf


def test_all_alike_is_not_taken_for_certain():
    found = estimate("mean", np.full(50, 0.9))
    assert found.low < 0.9 < found.high


SHARE = (0.0, 1.0)


@pytest.mark.parametrize(("figure", "low", "high"), [(1.0, 0.94, 1.0), (0.0, 0.0, 0.06)])
def test_a_share_that_is_always_alike_has_an_interval_within_what_a_share_can_be(figure, low, high):
    found = estimate("mean", np.full(50, figure), span=SHARE)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("statistic", STATISTICS)
@given(samples=shares)
def test_no_interval_leaves_what_the_figure_can_be(statistic, samples):
    samples = samples[: {"value": 1, "bounds": 2}.get(statistic)]
    if statistic == "bounds" and samples.size < 2:
        return
    found = estimate(statistic, samples, span=SHARE)
    assert found.low <= found.value <= found.high
    if statistic != "sum":
        assert found.low >= 0
        assert found.high <= 1


def test_few_samples_give_no_bounded_mean():
    assert samples_needed("mean") == 20
    found = estimate("mean", np.arange(19.0))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isfinite(estimate("mean", np.arange(20.0)).high)


def test_a_bootstrap_gives_the_same_interval_twice():
    samples = np.random.default_rng(0).lognormal(size=300)
    assert estimate("mean", samples) == estimate("mean", samples)


def _coverage(statistic, draw, truth, n, runs=400):
    """Return how often the interval holds the truth, with fixed seeds."""
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(runs):
        found = estimate(statistic, draw(generator, n))
        hits += found.low <= truth <= found.high
    return hits / runs


@pytest.mark.parametrize("statistic", ["p50", "p90", "p95", "p99"])
@pytest.mark.parametrize("n", [40, 400, 1000])
def test_percentile_intervals_cover_the_truth_as_often_as_they_say(statistic, n):
    truth = float(stats.lognorm(0.5).ppf(float(statistic[1:]) / 100))
    covered = _coverage(statistic, lambda rng, size: rng.lognormal(0, 0.5, size), truth, n)
    assert covered >= 0.93


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("n", [50, 400])
def test_wilson_intervals_cover_the_truth_as_often_as_they_say(share, n):
    covered = _coverage("proportion", lambda rng, size: rng.binomial(1, share, size), share, n)
    assert covered >= 0.91  # 0.911 is Wilson's exact coverage at 0.99 and n = 50


@pytest.mark.parametrize("share", [0.9, 0.97, 0.99])
@pytest.mark.parametrize("n", [50, 400])
def test_a_share_just_at_the_rule_hardly_ever_passes_it(share, n):
    generator = np.random.default_rng(11)
    passed = [
        estimate("proportion", generator.binomial(1, share, n)).low > share for _ in range(400)
    ]
    assert np.mean(passed) <= 0.04


@pytest.mark.parametrize("share", [0.9, 0.97])
def test_wilson_is_conservative_for_shares_of_ten_neighbours(share):
    covered = _coverage(
        "proportion", lambda rng, size: rng.binomial(10, share, size) / 10, share, 400
    )
    assert covered >= 0.99


@pytest.mark.parametrize(("n", "floor"), [(20, 0.88), (100, 0.92), (400, 0.93)])
def test_bootstrap_intervals_cover_the_mean_nearly_as_often_as_they_say(n, floor):
    truth = math.exp(0.125)
    covered = _coverage("mean", lambda rng, size: rng.lognormal(0, 0.5, size), truth, n, runs=300)
    assert covered >= floor
