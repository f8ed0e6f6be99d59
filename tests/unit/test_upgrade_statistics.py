"""Comparisons of rounds: seldom wrong about the same version, seldom blind to a slower one."""

import numpy as np
import pytest

from benchmarks import upgrade
from validation.upgrade.statistics import bounds, loss, moved, noise

RNG = np.random.default_rng(7)
QUIET = 3.0 * np.exp(RNG.normal(0, 0.02, 20))
AGAIN = 3.0 * np.exp(RNG.normal(0, 0.02, 20))


def test_a_version_beside_itself_fails_in_at_most_five_of_a_hundred_comparisons():
    found = upgrade.counts(1.0, seed=1)
    assert found["fail"] <= 0.05 * upgrade.COMPARISONS
    assert found["pass"] >= 0.9 * upgrade.COMPARISONS


def test_a_regression_of_ten_percent_is_found_in_nine_of_ten_with_twenty_rounds():
    found = upgrade.counts(upgrade.PLANTED, seed=1)
    assert found["fail"] >= 0.9 * upgrade.COMPARISONS
    assert found["pass"] == 0


@pytest.mark.parametrize("count", [10, 20])
def test_a_bound_is_wrong_about_as_often_as_its_confidence_says(count):
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        before, after = upgrade.rounds(rng, count), upgrade.rounds(rng, count)
        wrong += bounds(before, after, confidence=0.95)[1] < 1
    assert wrong <= 0.1 * 200  # 5 % are promised; ten rounds tell that much of how they follow


def test_a_regression_as_large_as_the_margin_hardly_ever_passes():
    found = upgrade.counts(upgrade.MARGIN, seed=3)
    assert found["pass"] <= 0.1 * upgrade.COMPARISONS


def test_rounds_that_are_all_alike_differ_by_exactly_their_ratio():
    low, high = bounds(np.full(10, 2.0), np.full(10, 3.0), confidence=0.95)
    assert low == pytest.approx(1.5, rel=1e-6)
    assert high == pytest.approx(1.5, rel=1e-6)


def test_a_failed_round_is_never_within_a_margin_and_mostly_failed_rounds_are_beyond_each():
    one = AGAIN.copy()
    one[3] = np.inf
    assert bounds(QUIET, one, confidence=0.95) == (0.0, np.inf)
    assert bounds(QUIET, np.full(20, np.inf), confidence=0.95) == (np.inf, np.inf)
    with pytest.raises(ValueError, match="no latency"):
        bounds(one, QUIET, confidence=0.95)


def test_noise_is_small_where_rounds_agree_and_large_where_they_do_not():
    assert 1 < noise(QUIET, 20) < 1.03
    assert noise(QUIET * np.exp(RNG.normal(0, 0.5, 20)), 20) > 1.3
    assert noise(np.append(QUIET, np.inf), 20) == np.inf
    assert noise(np.full(10, 2.0), 10) == 1


def test_a_control_that_moved_is_told_in_both_directions_and_a_scattered_one_is_not():
    assert moved(QUIET, AGAIN * 1.4, 1.1) == pytest.approx(1.4, rel=0.05)
    assert moved(QUIET, AGAIN / 1.4, 1.1) == pytest.approx(1 / 1.4, rel=0.05)
    assert moved(QUIET, AGAIN, 1.1) == 0
    assert moved(QUIET, AGAIN * np.exp(RNG.normal(0, 0.5, 20)), 1.1) == 0


def test_recall_is_compared_query_by_query():
    before = RNG.choice([0.8, 0.9, 1.0], 200)
    assert loss(before, before, confidence=0.95) == (0, 0)
    low, high = loss(before, np.clip(before - 0.1, 0, 1), confidence=0.95)
    assert low == pytest.approx(0.1) == high
    better = loss(before - 0.1, before, confidence=0.95)
    assert better == (0, 0)
    low, high = loss(before, RNG.permutation(before), confidence=0.95)
    assert low == 0 < high < 0.03
