"""From measurements to the answer: each piece of missing or contradictory evidence undecides it."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.attribution import flight, probe
from validation.attribution.answer import answer, unanswered
from validation.attribution.bounds import TRACKING, load_part, search_part, slowest
from validation.attribution.flight import Sample
from validation.attribution.model import Bound, ColdLoad, Cost, Part, Replay, Searches
from validation.attribution.slo import Slo, slo_of
from validation.milvus.objects import Stored
from validation.milvus.storage_reads import Ended, StorageReads
from validation.verdicts.intervals import estimate
from validation.verdicts.judging import judge
from validation.verdicts.verdict import Observation, Outcome, Rule

REPLAY = Replay(bytes=1_000_000, requests=10, seconds=0.5, request_seconds=2.0)


def reads(seconds, *, requests=10, failed=0, size: int | None = 1_000_000, untimed=False):
    high = seconds + 0.001 * requests
    return StorageReads(requests, failed, seconds, high, size, untimed=untimed)


def load(seconds=4.0, took=2.0, **changes):
    values = {
        "seconds_low": seconds,
        "reads": reads(took),
        "index_bytes": 900_000,
        "row_bytes": 2_000_000,
        "stored_bytes": 3_000_000,
        "segments": 1.0,
        **changes,
    }
    return load_part(ColdLoad(seconds, **values), REPLAY)


def costs(remote=None, total=None, *, n=100):
    """Return what searches say: nothing, or these bytes."""
    silent = np.full(n, np.nan)
    remote = silent if remote is None else remote
    total = silent if total is None else total
    return Cost(remote, total, 1 - remote / np.where(total > 0, total, np.nan))


def searched(latencies=None, took=0.0, requests=0, **changes):
    latencies = np.full(100, 10.0) if latencies is None else latencies
    found = reads(took, requests=requests, size=0)
    began = (
        np.concatenate([[0.0], np.cumsum(latencies[:-1]) / 1e3]) if len(latencies) else latencies
    )
    values = {
        "reads": found,
        "counted": float(len(latencies)),
        "cost": costs(n=len(latencies)),
        **changes,
    }
    return search_part(Searches("warm", latencies, began, **values))


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


def test_many_reads_at_once_are_not_taken_for_as_long_as_a_client_with_fewer_connections_needs():
    # 64 reads of 1 s, all in the same second of seven; 16 connections need four seconds.
    part = load(seconds=7.0, reads=reads(64.0, requests=64, size=64_000_000), in_flight=0.9)
    assert part.low == pytest.approx(0.9 / 7)
    assert part.bound is Bound.UNDECIDED


def test_the_replay_is_shown_for_comparison_and_moves_no_bound():
    slow = dataclasses.replace(REPLAY, seconds=50.0, request_seconds=200.0)
    part = load_part(
        ColdLoad(4.0, 4.0, 900_000, 0, 1_000_000, segments=1.0, reads=reads(1.0)), slow
    )
    assert part.low == 0.0
    assert "for comparison" in part.arithmetic
    assert "50 s" in part.arithmetic


def test_the_time_that_a_load_may_not_have_taken_does_not_dilute_the_store():
    # Between the last "not loaded" and the first "loaded" it may have been done all along.
    part = load(seconds=1.0, seconds_low=0.5, took=0.3)
    assert part.high == pytest.approx(0.31 / 0.5)
    assert part.bound is Bound.UNDECIDED
    assert load(seconds=1.0, seconds_low=0.0, took=0.1).high == 1.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reads": None, "unknown": "no metrics there"}, "no metrics there"),
        ({"segments": 0.0}, "another query node"),
        ({"index_bytes": 0, "stored_bytes": 0}, "holds nothing of this collection"),
        ({"reads": reads(0.1, size=100)}, "was not cold"),
        ({"reads": reads(0.0, requests=1, size=100), "index_bytes": 0}, "bytes of the rows"),
        ({"index_bytes": 0, "row_bytes": 0}, "neither an index nor rows"),
        ({"reads": reads(0.1, size=None)}, "does not count the bytes"),
        ({"reads": reads(0.0, requests=0)}, "no read"),
    ],
    ids=[
        "no counters",
        "another node loaded",
        "another bucket",
        "read from a cache",
        "rows read from a cache",
        "nothing to read",
        "bytes unknown",
        "nothing read",
    ],
)
def test_a_load_without_sound_evidence_is_undecided_with_the_reason(changes, reason):
    part = load(**changes)
    assert part.bound is Bound.UNDECIDED
    assert part.low is None
    assert reason in part.reason


def test_a_load_without_an_index_is_cold_if_it_read_the_rows():
    rows = {"index_bytes": 0, "row_bytes": 1_000_000}
    assert load(**rows, reads=reads(0.1, size=950_000)).bound is Bound.COMPUTE


def test_reads_that_failed_may_have_taken_all_the_time():
    assert load(reads=reads(0.1, failed=1)).high == 1.0
    assert searched(reads=reads(0.0, requests=0, failed=1)).high == 1.0


def test_reads_of_a_client_without_times_may_have_taken_all_of_a_load():
    quick = load(reads=reads(0.1, untimed=True))
    assert (quick.high, quick.bound) == (1.0, Bound.UNDECIDED)
    assert "does not time" in quick.arithmetic
    slow = load(seconds=10.0, reads=reads(20.0, untimed=True), in_flight=8.0)
    assert slow.bound is Bound.STORAGE


def test_searches_that_read_nothing_owe_nothing_to_the_store():
    part = searched()
    assert (part.low, part.high, part.bound) == (0.0, 0.0, Bound.COMPUTE)


@pytest.mark.parametrize(
    "cost",
    [
        costs(),
        costs(np.zeros(100), np.zeros(100)),
        costs(np.zeros(100), np.where(np.arange(100) < 1, 0.0, 9.0)),
    ],
    ids=["nothing said", "tracking off", "one says nothing"],
)
def test_searches_of_a_server_that_also_reads_untimed_are_undecided_unless_each_says_what_it_read(
    cost,
):
    part = searched(reads=reads(0.0, requests=0, untimed=True), cost=cost)
    assert part.bound is Bound.UNDECIDED
    assert TRACKING in part.reason


def test_searches_that_prove_to_have_read_nothing_are_compute_bound_on_any_server():
    cost = costs(np.zeros(100), np.full(100, 4096.0))
    part = searched(reads=reads(0.0, requests=0, untimed=True), cost=cost)
    assert (part.low, part.high, part.bound) == (0.0, 0.0, Bound.COMPUTE)
    assert part.inputs["cache_hit_ratio"] == 1.0
    assert part.inputs["scanned_total_bytes"] == 409_600
    assert part.inputs["searches_that_say_what_they_read"] == 100


def test_searches_that_read_by_a_client_without_times_may_have_waited_all_along():
    latencies, remote = np.full(100, 10.0), np.zeros(100)
    latencies[:5], remote[:3] = 1_000.0, 5_000.0
    cost = costs(remote, np.full(100, 10_000.0))
    part = searched(latencies, reads=reads(0.0, requests=0, untimed=True), cost=cost)
    assert part.high == pytest.approx(3 / 5)
    assert part.bound is Bound.UNDECIDED
    assert part.inputs["cache_hit_ratio"] == pytest.approx(0.985)


def test_reads_in_the_background_are_held_against_the_slowest_searches_at_most():
    part = searched(took=0.02, requests=5)
    # five slowest of 100 searches at 10 ms: 50 ms; reads: 20 ms and five cut milliseconds
    assert part.high == pytest.approx(0.025 / 0.05)
    assert part.bound is Bound.UNDECIDED


def test_searches_during_which_reads_were_certainly_under_way_can_be_storage_bound():
    latencies = np.full(100, 10.0)
    latencies[:5] = 1_000.0
    part = searched(latencies, took=9.0, requests=50, under_way=((0.1, 0.9), (1.2, 4.7)))
    assert part.low == pytest.approx((0.8 + 3.5) / 5)
    assert part.bound is Bound.STORAGE


def test_a_read_for_others_is_not_held_against_a_search_that_proves_to_have_read_nothing():
    cost = costs(np.zeros(100), np.full(100, 4096.0))
    part = searched(took=0.2, requests=1, under_way=((0.0, 0.2),), cost=cost)
    assert part.low == 0.0
    assert part.bound is Bound.UNDECIDED


@pytest.mark.parametrize(
    ("latencies", "changes", "reason"),
    [
        (np.array([]), {}, "no search"),
        (np.array([1.0, np.inf]), {}, "1 of 2 searches failed"),
        (np.ones(10), {"reads": None, "unknown": "a proxy answers"}, "a proxy answers"),
        (np.ones(10), {"counted": 4.0}, "4 of 10 searches"),
        (np.ones(10), {"counted": None}, "0 of 10 searches"),
        (np.ones(10), {"cost": costs(np.ones(10), np.ones(10))}, "counters do not show"),
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
    assert "at most 10 % of the warm searches (compute-bound)" in line
    assert "no latency rule is in force" in answer([COMPUTE]).line
    assert "(compute-bound)" not in answer([COMPUTE]).line


def test_the_line_of_what_could_not_be_measured_says_why():
    line = unanswered("no metrics: declare them", slo="latency.p99: p99 <= 50 ms").line
    assert line == (
        "this stack is undecided at its SLO (latency.p99: p99 <= 50 ms): no metrics: declare them"
    )


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.0, 0.4999, "at most 49.99 %"),
        (0.0, 0.5, "at most 50 %"),
        (0.5, 0.7, "50 to 70 %"),
        (0.0, 0.004, "at most 1 %"),
        (0.029, 0.07, "2 to 7 %"),
        (0.0, 0.0, "0 %"),
        (1.0, 1.0, "100 %"),
    ],
)
def test_a_share_is_shown_on_its_side_of_the_half_and_rounded_outwards(low, high, said):
    assert f"explains {said} of" in Part("cold load", low, high).text()


def rule(gate, metric, statistic, **where):
    limits = {"statistic": statistic, "max": 9, "unit": "ms", "where": where}
    return Rule(gate=gate, metric=metric, **limits)


def test_the_rule_with_the_highest_percentile_of_serial_searches_is_the_slo():
    rules = [
        rule("a", "search.latency.open_loop", "p99.9"),
        rule("b", "search.latency.serial", "p50"),
        rule("c", "search.latency.serial", "p99"),
        rule("d", "search.latency.serial", "p99.9", target="another"),
        rule("e", "search.latency.serial", "p99.9", index="DISKANN"),
    ]
    hnsw = {"index": "HNSW"}
    assert slo_of(rules, "prod", hnsw) == Slo("c", "p99", 9.0)
    assert slo_of(rules, "prod", {"index": "DISKANN"}) == Slo("e", "p99.9", 9.0)
    assert slo_of(rules[:1], "prod", hnsw) == Slo("a", "p99.9", 9.0, offered=True)
    assert slo_of([], "prod", hnsw) is None


def test_searches_stand_to_their_rule_with_an_interval():
    text = Slo("gate", "p99", 50.0).text(np.arange(1.0, 401.0))
    assert text == "gate: p99 <= 50 ms; one search at a time here: 396 ms [392, 400], n = 400"
    assert "no upper end], n = 200" in Slo("gate", "p99", 50.0).text(np.ones(200))


def test_a_rule_for_an_offered_rate_is_not_compared_with_searches_one_at_a_time():
    text = Slo("gate", "p99", 50.0, offered=True).text(np.ones(400))
    assert text == "gate: p99 <= 50 ms at the offered rate; seen here: one search at a time"


def test_failed_searches_are_counted_and_not_shown_as_infinite_time():
    text = Slo("gate", "p99", 50.0).text(np.array([1.0, np.inf]))
    assert text == "gate: p99 <= 50 ms; 1 of 2 searches failed here"


def test_bounds_pass_or_fail_only_where_both_are_on_one_side():
    half = Rule(gate="g", metric="storage.share_of_cold_load", max=0.5, unit="ratio")

    def outcome(*samples):
        seen = Observation(metric=half.metric, target="t", unit="ratio", n=len(samples))
        return judge(half, seen, samples).outcome

    assert outcome(0.1, 0.4) is Outcome.PASS
    assert outcome(0.6, 1.0) is Outcome.FAIL
    assert outcome(0.1, 0.9) is Outcome.INCONCLUSIVE
    assert outcome(0.1) is Outcome.NOT_MEASURED
    assert outcome(0.1, 1.2) is Outcome.NOT_MEASURED
    with pytest.raises(ValueError, match="lower and an upper"):
        estimate("bounds", np.array([0.1, 0.2, 0.3]))


LIMITS = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, float("inf"))


def ended(took, *, limits=LIMITS, tick=0.0):
    """Return what a histogram shows of requests that took so long, or None of none."""
    values = [cut(one, tick) for one in took]
    within = {limit: float(sum(one <= limit for one in values)) for limit in limits}
    return Ended(float(len(values)), float(sum(values)), within)


def taken(requests, times, **more):
    """Return samples of requests (begin, duration) as counters would show them."""
    return [
        Sample(at, at, {("internal_storage", "get"): ended(done, **more)})
        for at in times
        for done in [[took for begin, took in requests if begin + took <= at]]
    ]


def cut(seconds, tick):
    return seconds // tick * tick if tick else seconds


def union(requests, *windows):
    """Return for how long at least one request was under way within windows, or at all.

    Between two neighbouring ends nothing changes, so the middle stands for all of it.
    """
    windows = windows or [(-1e9, 1e9)]
    spans = [(begin, begin + took) for begin, took in requests]
    ends = sorted({end for span in [*spans, *windows] for end in span})
    return sum(
        later - earlier
        for earlier, later in itertools.pairwise(ends)
        for middle in [(earlier + later) / 2]
        if any(begin < middle < end for begin, end in windows)
        and any(begin < middle < end for begin, end in spans)
    )


TIMES = [step / 10 for step in range(101)]
SCHEDULES = st.lists(
    st.tuples(st.floats(0, 6), st.floats(0.001, 4)).filter(lambda one: sum(one) <= 10), max_size=24
)


def covered(samples, begin=0.0, end=10.0):
    return flight.within(flight.joined(flight.certain(samples)), begin, end)


@given(SCHEDULES)
def test_time_under_way_is_never_said_to_be_more_than_it_was(requests):
    assert covered(taken(requests, TIMES)) <= union(requests) + 1e-9


def counted(requests):
    """Return the reads as two processes would count them together, in whole milliseconds."""
    low = sum(cut(took, 0.001) for _, took in requests)
    return StorageReads(len(requests), 0, low, low + 0.001 * len(requests), 1_000_000)


@given(SCHEDULES, st.floats(0.1, 1.0), st.floats(0, 0.2))
def test_the_true_share_of_a_load_lies_between_its_bounds(requests, step, gap):
    """However many reads were under way at once, and wherever they were sampled."""
    times = np.arange(0, 10 + step, step)
    in_flight = covered(taken(requests, times, tick=0.001), 0.0, 10.0)
    part = load(seconds=10.0 + gap, seconds_low=10.0, reads=counted(requests), in_flight=in_flight)
    if not requests:
        assert part.low is None
        return
    assert part.low is not None
    assert part.high is not None
    assert part.low - 1e-9 <= union(requests) / 10.0 <= part.high + 1e-9


@given(SCHEDULES, st.lists(st.floats(0.01, 2.0), min_size=1, max_size=20), st.floats(0.05, 1.0))
def test_the_true_share_of_slow_searches_lies_between_its_bounds(requests, took, step):
    latencies = np.array(took) / sum(took) * 10.0
    began = np.concatenate([[0.0], np.cumsum(latencies)[:-1]])
    samples = taken(requests, np.arange(0, 10 + step, step), tick=0.001)
    part = search_part(
        Searches(
            "warm",
            latencies * 1e3,
            began,
            costs(n=len(took)),
            counted=float(len(took)),
            reads=counted(requests),
            under_way=flight.joined(flight.certain(samples)),
        )
    )
    slow = slowest(latencies)
    windows = [(began[at], began[at] + latencies[at]) for at in slow]
    truth = union(requests, *windows) / latencies[slow].sum()
    assert part.low is not None
    assert part.high is not None
    assert part.low - 1e-6 <= truth <= part.high + 1e-6


@given(
    st.lists(st.floats(0.001, 4), max_size=8),
    st.lists(st.floats(0.001, 4), min_size=1, max_size=8),
    st.sampled_from([(), LIMITS, LIMITS[-1:]]),
)
def test_the_longest_read_is_never_said_to_be_longer_than_it_was(earlier, later, limits):
    before, after = (ended(some, limits=limits) for some in (earlier, earlier + later))
    found = flight.longest(before, after)
    assert sum(later) / len(later) - 1e-9 <= found <= max(later) + 1e-9


def test_one_long_read_among_many_short_ones_is_found():
    before, after = ended([]), ended([6.0] + [0.004] * 20)
    assert flight.longest(before, after) == pytest.approx(6.0, rel=0.05)
    assert flight.longest(after, after) == 0.0


def test_long_reads_one_after_the_other_are_found_almost_whole():
    requests = [(1.0, 2.0), (3.0, 2.0), (3.5, 2.5)]
    assert covered(taken(requests, TIMES)) > union(requests) - 0.8


def test_only_the_interval_asked_for_counts():
    assert covered(taken([(1.0, 6.0)], TIMES), 4.0, 5.0) == pytest.approx(1.0)


def test_short_reads_leave_no_certain_trace():
    assert covered(taken([(1.01, 0.05)], TIMES)) == 0.0


def test_spans_of_several_processes_are_time_only_once():
    spans = flight.joined([(1.0, 3.0), (2.0, 4.0), (6.0, 7.0), (6.5, 6.6)])
    assert spans == ((1.0, 4.0), (6.0, 7.0))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    assert flight.within(spans, 3.5, 6.5) == pytest.approx(1.0)


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
