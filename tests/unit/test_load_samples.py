import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.load.open_loop import _samples, schedule
from validation.load.plan import Plan
from validation.load.samples import MAX_CPU, MAX_LAG_ARRIVALS, MAX_LAG_MS, counted, saturation
from validation.load.worker import Job, Record
from validation.milvus.wire import Endpoint

PLAN = Plan(Endpoint("here", "127.0.0.1:1"), (b"",), (10,))


@given(
    rate=st.floats(1, 5_000),
    seconds=st.floats(0.1, 5),
    arrivals=st.sampled_from(["poisson", "uniform"]),
)
def test_a_schedule_has_the_offered_number_of_requests_in_order(rate, seconds, arrivals):
    times = schedule(rate, seconds, arrivals=arrivals, seed=1)
    assert len(times) == max(1, round(rate * seconds))
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] <= seconds


def test_the_same_seed_gives_the_same_schedule_and_another_gives_another():
    assert (schedule(100, 5, seed=7) == schedule(100, 5, seed=7)).all()
    assert (schedule(100, 5, seed=7) != schedule(100, 5, seed=8)).any()


def test_poisson_arrivals_have_gaps_as_wide_apart_as_an_exponential_distribution():
    gaps = np.diff(schedule(1_000, 100, seed=3))
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1, abs=0.02)


def test_uniform_arrivals_have_equal_gaps():
    assert np.diff(schedule(100, 1, arrivals="uniform")) == pytest.approx(0.01)


def test_latency_runs_from_the_intended_moment_so_that_waiting_in_the_client_counts():
    job = Job(PLAN, np.arange(3), np.array([0.0, 0.1, 0.2]), 0)
    record = Record(np.array([0.0, 0.3, 0.3]), np.array([0.05, 0.35, 0.36]), ["", "", ""], 0.1)
    found = _samples([job], [record], rate=100)
    assert found.latencies_ms == pytest.approx([50, 250, 160])
    assert found.lag_ms == pytest.approx([0, 200, 100])
    assert "fell behind" in str(found.saturated)


def test_failed_and_lost_requests_count_as_infinitely_slow():
    job = Job(PLAN, np.arange(3), np.array([0.0, 0.1, 0.2]), 0)
    record = Record(
        np.array([0.0, 0.1, 0.2]),
        np.array([0.05, 0.15, np.nan]),
        ["", "incomplete: 3 of 10 hits", "gRPC: no reply"],
        0.1,
    )
    found = _samples([job], [record], rate=100)
    assert found.latencies_ms == pytest.approx([50, np.inf, np.inf])
    assert found.failed.tolist() == [0, 1, 1]
    assert found.errors == {"incomplete: 3 of 10 hits": 1, "gRPC: no reply": 1}
    assert found.saturated is None


def test_several_workers_are_put_together_in_order_of_the_schedule():
    jobs = [
        Job(PLAN, np.arange(2), np.array([0.0, 0.2]), 0),
        Job(PLAN, np.arange(2), np.array([0.1, 0.3]), 0),
    ]
    records = [
        Record(np.array([0.0, 0.2]), np.array([0.01, 0.23]), ["", "a"], 0.2),
        Record(np.array([0.1, 0.3]), np.array([0.12, 0.34]), ["", ""], 0.3),
    ]
    found = _samples(jobs, records, rate=100)
    assert found.offsets_s.tolist() == [0.0, 0.1, 0.2, 0.3]
    assert found.latencies_ms == pytest.approx([10, 20, np.inf, 40])
    assert found.client_cpu == 0.5


def test_a_client_that_keeps_up_is_not_saturated():
    assert saturation(np.full(100, MAX_LAG_MS - 1), MAX_CPU - 0.1, rate=5_000) is None


def test_a_client_behind_its_schedule_is_saturated():
    lag = np.zeros(100)
    lag[:3] = MAX_LAG_MS + 50
    assert "p99 of the send lag" in str(saturation(lag, 0.1, rate=5_000))


def test_a_client_at_the_end_of_its_core_is_saturated():
    assert "of a core" in str(saturation(np.zeros(100), 0.97, rate=100))


def test_failures_are_counted_by_kind():
    assert counted(["", "a", "b", "a", ""]) == {"a": 2, "b": 1}


def test_at_low_rates_a_client_may_be_late_by_a_few_gaps_and_no_more():
    gap = 1000 / 100
    assert saturation(np.full(100, MAX_LAG_ARRIVALS * gap - 1), 0.1, rate=100) is None
    assert saturation(np.full(100, MAX_LAG_ARRIVALS * gap + 1), 0.1, rate=100)
