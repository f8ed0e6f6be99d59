"""From measurements to the answer: each piece of missing or contradictory evidence undecides it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.attribution import flight, probe
from validation.attribution.answer import answer, load_part, search_part, slowest
from validation.attribution.flight import Sample
from validation.attribution.measure import slo_of
from validation.attribution.model import Bound, ColdLoad, Part, Replay, Searches, Slo
from validation.judging import judge
from validation.milvus.objects import Stored
from validation.milvus.storage_reads import StorageReads
from validation.statistics.intervals import estimate
from validation.target import Milvus, Target
from validation.verdict import Observation, Outcome, Rule

REPLAY = Replay(bytes=1_000_000, requests=10, seconds=0.5, request_seconds=2.0)


def reads(seconds, *, requests=10, failed=0, size: int | None = 1_000_000):
    return StorageReads(requests, failed, seconds, seconds + 0.001 * requests, size)


def load(seconds=4.0, took=2.0, **changes):
    values = {
        "reads": reads(took),
        "index_bytes": 900_000,
        "stored_bytes": 1_000_000,
        "segments": 1.0,
        **changes,
    }
    return load_part(ColdLoad(seconds, **values), REPLAY)


def searched(latencies=None, took=0.0, requests=0, **changes):
    latencies = np.full(100, 10.0) if latencies is None else latencies
    found = reads(took, requests=requests, size=0)
    values = {"reads": found, "counted": float(len(latencies)), **changes}
    return search_part(Searches("warm", latencies, **values), REPLAY)


def test_a_fast_store_leaves_a_load_compute_bound():
    part = load(took=0.1)
    assert part.bound is Bound.COMPUTE
    assert part.high == pytest.approx(0.11 / 4)


def test_a_slow_store_makes_a_load_storage_bound():
    part = load(seconds=10.0, took=20.0, in_flight=8.0)
    assert part.bound is Bound.STORAGE
    assert (part.low, part.high) == (0.8, 1.0)


def test_a_slow_computer_does_not_make_a_load_storage_bound():
    assert load(seconds=100.0, took=2.0, in_flight=2.0).bound is Bound.COMPUTE


def test_overlapping_reads_that_may_or_may_not_have_been_waited_for_leave_it_undecided():
    part = load(seconds=4.0, took=3.9)
    assert part.bound is Bound.UNDECIDED
    assert (part.low or 0) < 0.5 <= (part.high or 0)


def test_a_client_far_from_the_store_does_not_blame_the_store_for_its_own_way():
    far = dataclasses.replace(REPLAY, seconds=50.0, request_seconds=200.0)
    near = ColdLoad(4.0, 900_000, 1_000_000, segments=1.0, reads=reads(1.0))
    part = load_part(near, far)
    assert part.bound is Bound.COMPUTE
    assert part.low == pytest.approx(50 * 1.0 / 200 / 4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reads": None, "unknown": "no metrics there"}, "no metrics there"),
        ({"segments": 0.0}, "another query node"),
        ({"index_bytes": 0, "stored_bytes": 0}, "holds nothing of this collection"),
        ({"reads": reads(0.1, size=100)}, "was not cold"),
        ({"reads": reads(0.0, requests=0, size=None)}, "no read of the store"),
    ],
    ids=[
        "no counters",
        "another node loaded",
        "another bucket",
        "read from a cache",
        "nothing read",
    ],
)
def test_a_load_without_sound_evidence_is_undecided_with_the_reason(changes, reason):
    part = load(**changes)
    assert part.bound is Bound.UNDECIDED
    assert part.low is None
    assert reason in part.reason


def test_reads_that_failed_may_have_taken_all_the_time():
    assert load(reads=reads(0.1, failed=1)).high == 1.0
    assert searched(reads=reads(0.0, requests=0, failed=1)).high == 1.0


def test_searches_that_read_nothing_owe_nothing_to_the_store():
    part = searched()
    assert (part.low, part.high, part.bound) == (0.0, 0.0, Bound.COMPUTE)


def test_reads_in_the_background_are_held_against_the_slowest_searches_at_most():
    part = searched(took=0.02, requests=5)
    # five slowest of 100 searches at 10 ms: 50 ms; reads: 20 ms and five cut milliseconds
    assert part.high == pytest.approx(0.025 / 0.05)
    assert part.bound is Bound.UNDECIDED


def test_searches_that_say_what_they_read_can_be_storage_bound():
    latencies = np.full(100, 10.0)
    latencies[:5] = 1_000.0
    remote = np.zeros(100)
    remote[:5] = 1_600_000.0
    part = searched(latencies, took=9.0, requests=50, remote_bytes=remote)
    assert part.low == pytest.approx(8_000_000 * 0.5 / 1_000_000 / 5)
    assert part.bound is Bound.STORAGE


@pytest.mark.parametrize(
    ("latencies", "changes", "reason"),
    [
        (np.array([]), {}, "no search"),
        (np.array([1.0, np.inf]), {}, "1 of 2 searches failed"),
        (np.ones(10), {"reads": None, "unknown": "a proxy answers"}, "a proxy answers"),
        (np.ones(10), {"counted": 4.0}, "4 of 10 searches"),
        (np.ones(10), {"counted": None}, "0 of 10 searches"),
        (np.ones(10), {"remote_bytes": np.ones(10)}, "counters do not show"),
    ],
    ids=["none", "failures", "no counters", "other nodes", "not counted", "contradiction"],
)
def test_searches_without_sound_evidence_are_undecided_with_the_reason(latencies, changes, reason):
    part = searched(latencies, **changes)
    assert part.bound is Bound.UNDECIDED
    assert reason in part.reason


def test_the_slowest_twentieth_is_at_least_one_search():
    assert slowest(np.array([1.0, 9.0, 3.0])).tolist() == [1]
    assert slowest(np.arange(100.0)).tolist() == [99, 98, 97, 96, 95]
    assert slowest(np.array([])).tolist() == []


STORAGE, COMPUTE = Part("cold load", 0.7, 0.9), Part("warm searches", 0.0, 0.1)
OPEN, UNKNOWN = Part("cold searches", 0.1, 0.9), Part("cold searches", reason="no metrics")


@pytest.mark.parametrize(
    ("parts", "bound"),
    [
        ([COMPUTE, STORAGE], Bound.STORAGE),
        ([UNKNOWN, STORAGE], Bound.STORAGE),
        ([COMPUTE, COMPUTE], Bound.COMPUTE),
        ([COMPUTE, OPEN], Bound.UNDECIDED),
        ([COMPUTE, UNKNOWN], Bound.UNDECIDED),
        ([], Bound.UNDECIDED),
    ],
)
def test_one_storage_bound_part_decides_and_compute_needs_them_all(parts, bound):
    assert answer(parts).bound is bound


def test_the_line_names_the_word_the_rule_the_shares_and_every_gap():
    line = answer([COMPUTE, UNKNOWN], slo="p99 <= 50 ms, measured 7 ms").line
    assert line.startswith("this stack is undecided at its SLO (p99 <= 50 ms, measured 7 ms): ")
    assert "unknown for the cold searches: no metrics" in line
    assert "at most 10 % of the warm searches" in line
    assert "no latency rule is in force" in answer([COMPUTE]).line


def test_the_rule_with_the_highest_percentile_of_serial_searches_is_the_slo():
    def rule(gate, metric, statistic, **where):
        limits = {"statistic": statistic, "max": 9, "unit": "ms", "where": where}
        return Rule(gate=gate, metric=metric, **limits)

    target = Target(name="prod", milvus=Milvus(uri="http://127.0.0.1:1"))
    rules = [
        rule("a", "search.latency.open_loop", "p99.9"),
        rule("b", "search.latency.serial", "p50"),
        rule("c", "search.latency.serial", "p99"),
        rule("d", "search.latency.serial", "p99.9", target="another"),
    ]
    assert slo_of(rules, target) == Slo("c", "p99", 9.0)
    assert slo_of(rules[:1], target) == Slo("a", "p99.9", 9.0)
    assert slo_of([], target) is None


def test_bounds_pass_or_fail_only_where_both_are_on_one_side():
    rule = Rule(gate="g", metric="storage.share_of_cold_load", max=0.5, unit="ratio")

    def outcome(*samples):
        seen = Observation(metric=rule.metric, target="t", unit="ratio", n=len(samples))
        return judge(rule, seen, samples).outcome

    assert outcome(0.1, 0.4) is Outcome.PASS
    assert outcome(0.6, 1.0) is Outcome.FAIL
    assert outcome(0.1, 0.9) is Outcome.INCONCLUSIVE
    assert outcome(0.1) is Outcome.NOT_MEASURED
    assert outcome(0.1, 1.2) is Outcome.NOT_MEASURED
    with pytest.raises(ValueError, match="lower and an upper"):
        estimate("bounds", np.array([0.1, 0.2, 0.3]))


def taken(requests, times):
    """Return samples of requests (begin, duration) as counters would show them."""
    key = ("internal_storage", "get")
    return [
        Sample(at, at, {key: (float(len(done)), float(sum(done)))})
        for at in times
        for done in [[took for begin, took in requests if begin + took <= at]]
    ]


def union(requests):
    covered, until = 0.0, -1.0
    for begin, end in sorted((begin, begin + took) for begin, took in requests):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered


TIMES = [step / 10 for step in range(101)]


@given(
    st.lists(
        st.tuples(st.floats(0, 6), st.floats(0.001, 4)).filter(lambda one: sum(one) <= 10),
        max_size=8,
    )
)
def test_time_under_way_is_never_said_to_be_more_than_it_was(requests):
    assert flight.least(taken(requests, TIMES), 0.0, 10.0) <= union(requests) + 1e-9


def test_long_reads_one_after_the_other_are_found_almost_whole():
    requests = [(1.0, 2.0), (3.0, 2.0), (3.5, 2.5)]
    assert flight.least(taken(requests, TIMES), 0.0, 10.0) > union(requests) - 0.8


def test_only_the_interval_asked_for_counts():
    assert flight.least(taken([(1.0, 6.0)], TIMES), 4.0, 5.0) == pytest.approx(1.0)


def test_short_reads_leave_no_certain_trace():
    assert flight.least(taken([(1.01, 0.05)], TIMES), 0.0, 10.0) == 0.0


def test_the_replay_reads_what_a_load_needs_first_and_no_more_than_wanted():
    objects = [
        Stored("insert_log", "vectors", 5_000),
        Stored("insert_log", "ids", 10),
        Stored("stats_log", "stats", 100),
        Stored("index_files", "hnsw", 4_000),
    ]
    assert [one.key for one in probe.choose(objects, 4_050)] == ["hnsw", "stats"]
    assert [one.key for one in probe.choose(objects, 4_105)] == ["hnsw", "stats", "ids"]
    assert len(probe.choose(objects, 1 << 40)) == 4
    assert probe.choose([], 10) == []
