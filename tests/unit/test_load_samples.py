import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.load.arrivals import schedule
from validation.load.client import ClientUse
from validation.load.loops import _samples, open_loop
from validation.load.plan import Plan
from validation.load.record import Feed, Record
from validation.load.samples import counted
from validation.milvus.wire import Endpoint
from validation.verdicts.intervals import estimate

PLAN = Plan(Endpoint("here", "127.0.0.1:1"), (b"",), (0,))


@given(
    rate=st.floats(1, 5_000),
    seconds=st.floats(0.1, 5),
    arrivals=st.sampled_from(["poisson", "constant"]),
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


def test_constant_arrivals_have_equal_gaps():
    assert np.diff(schedule(100, 1, arrivals="constant")) == pytest.approx(0.01)


def record(due, sent, done, failures=None, *, waited=0.0, cpu=0.01):
    """Return what an engine would have seen; a reply without hits is complete for `PLAN`."""
    count = len(due)
    return Record(
        due_s=np.array(due),
        sent_s=np.array(sent),
        done_s=np.array(done),
        waited_s=np.full(count, waited),
        failures=list(failures or [""] * count),
        replies=[b""] * count,
        limited=0,
        resent=0,
        turns_s=np.array([0.001]),
        use=ClientUse(seconds=1.0, cpu=cpu, waited=waited * count),
    )


def feeds(*records):
    return [Feed(np.arange(len(one.due_s)), one.due_s) for one in records]


def test_latency_runs_from_the_intended_moment_so_that_waiting_in_the_client_counts():
    seen = record([0.0, 0.1, 0.2], [0.0, 0.3, 0.3], [0.05, 0.35, 0.36])
    found = _samples(PLAN, feeds(seen), [seen])
    assert found.latencies_ms == pytest.approx([50, 250, 160])
    assert found.lag_ms == pytest.approx([0, 200, 100])
    assert "the client was starved" in str(found.void)


def test_the_own_part_of_a_latency_is_the_lag_and_the_wait_for_a_core():
    seen = record([0.0, 0.1], [0.0, 0.101], [0.05, 0.15], waited=0.002)
    assert _samples(PLAN, feeds(seen), [seen]).own_ms == pytest.approx([2, 3])


def test_failed_and_lost_requests_count_as_infinitely_slow():
    seen = record(
        [0.0, 0.1, 0.2],
        [0.0, 0.1, 0.2],
        [0.05, 0.15, 0.3],
        ["", "connection lost", "gRPC DEADLINE_EXCEEDED"],
    )
    found = _samples(PLAN, feeds(seen), [seen])
    assert found.latencies_ms == pytest.approx([50, np.inf, np.inf])
    assert found.failed.tolist() == [0, 1, 1]
    assert found.errors == {"connection lost": 1, "gRPC DEADLINE_EXCEEDED": 1}
    assert found.void is None


def test_several_workers_are_put_together_in_order_of_the_schedule():
    seen = [
        record([0.0, 0.2], [0.0, 0.2], [0.01, 0.23], ["", "a"], cpu=0.2),
        record([0.1, 0.3], [0.1, 0.3], [0.12, 0.34], cpu=0.3),
    ]
    found = _samples(PLAN, feeds(*seen), seen)
    assert found.offsets_s.tolist() == [0.0, 0.1, 0.2, 0.3]
    assert found.latencies_ms == pytest.approx([10, 20, np.inf, 40])
    assert found.evidence()["client_cpu_cores"] == 0.5


def test_failures_are_counted_by_kind():
    assert counted(["", "a", "b", "a", ""]) == {"a": 2, "b": 1}


@pytest.mark.parametrize(("rate", "cores", "workers"), [(50, 2, 1), (9_000, 4, 2), (90_000, 4, 4)])
def test_a_rate_gets_as_many_workers_as_it_takes_and_the_host_has(
    monkeypatch, rate, cores, workers
):
    def run(jobs, **_):
        return [record(job.feed.due_s, job.feed.due_s, job.feed.due_s + 0.01) for job in jobs]

    monkeypatch.setattr("validation.load.loops.host.cores", lambda: cores)
    monkeypatch.setattr("validation.load.loops.processes.run", run)
    found = open_loop(PLAN, rate=rate, seconds=0.1)
    assert len(found.uses) == workers
    assert found.n == rate // 10


@pytest.mark.parametrize("seed", range(5))
def test_four_workers_merge_to_what_one_recorder_of_all_samples_says(seed):
    """Raw samples are merged, never percentiles: the median of four medians is nobody's median."""
    random = np.random.default_rng(seed)
    due = np.sort(random.random(1_003)) * 4
    # Each fourth request is slow: the worker that has them all would spoil a mean of percentiles.
    slow = np.where(np.arange(len(due)) % 4 == 1, 0.5, 0.0)
    sent = due + random.exponential(0.001, size=len(due))
    done = sent + random.exponential(0.01, size=len(due)) + slow
    failures = np.where(random.random(len(due)) < 0.02, "gRPC UNAVAILABLE", "").tolist()
    numbers = random.permutation(len(due))
    whole = record(due, sent, done, failures, waited=0.0001)
    shares = [
        record(due[at::4], sent[at::4], done[at::4], failures[at::4], waited=0.0001)
        for at in range(4)
    ]
    one = _samples(PLAN, [Feed(numbers, due)], [whole])
    four = _samples(PLAN, [Feed(numbers[at::4], due[at::4]) for at in range(4)], shares)
    for name in ("latencies_ms", "offsets_s", "lag_ms", "own_ms", "numbers", "failed"):
        assert np.array_equal(getattr(one, name), getattr(four, name)), name
    assert four.errors == one.errors
    assert four.seconds == one.seconds
    for statistic in ("p50", "p99", "p99.9"):
        assert estimate(statistic, four.latencies_ms) == estimate(statistic, one.latencies_ms)
    assert sum(use.cpu for use in four.uses) == pytest.approx(4 * sum(use.cpu for use in one.uses))
    assert four.replies.failures == one.replies.failures
