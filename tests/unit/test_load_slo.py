"""The search of the highest rate: what it finds of servers whose limit is known."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from validation.answers.model import Findings
from validation.load.plans.found import Found
from validation.load.plans.model import STANDARD, LoadPlan
from validation.load.slo import search as sustained
from validation.load.slo import trial
from validation.load.slo.background import Background
from validation.load.slo.calibration import Calibration
from validation.load.slo.finding import Finding
from validation.load.slo.search import Held, Trial, search
from validation.verdicts.intervals import estimate
from validation.verdicts.judging import BEHIND
from validation.verdicts.verdict import Rule


def a_server(limit, *, noise=0.0, open_from=np.inf, seed=0):
    """Return trials of a server that holds up to a limit, which varies from trial to trial."""
    random = np.random.default_rng(seed)

    def offer(rate, _):
        if rate >= open_from:
            return Trial(rate, Held.OPEN, "the client was starved of CPU")
        held = rate <= limit * (1 + noise * random.standard_normal())
        return Trial(rate, Held.YES if held else Held.NO, "" if held else "latency.p99: 400 > 300")

    return offer


@pytest.mark.parametrize("limit", [17.0, 40.0, 990.0, 31_000.0])
@pytest.mark.parametrize("about", [11.0, 500.0, 20_000.0])
def test_each_round_finds_the_rate_to_one_step_wherever_it_begins(limit, about):
    rounds, _ = search(a_server(limit), about=about)
    assert len(rounds) == sustained.ROUNDS
    for found in rounds:
        assert limit / sustained.STEP < found.rate <= limit
        assert found.why == "latency.p99: 400 > 300"
        assert not found.open


def test_a_round_takes_few_trials_where_the_first_guess_is_near():
    _, trials = search(a_server(700.0), about=600.0, rounds=1)
    assert len(trials) <= 6


def test_the_interval_of_a_noisy_server_holds_its_limit():
    held = 0
    for seed in range(100):
        rounds, _ = search(a_server(500.0, noise=0.1, seed=seed), about=300.0)
        found = estimate("p50", np.array([one.rate for one in rounds]))
        assert found.method == "order statistics"
        held += found.low / sustained.STEP <= 500.0 <= found.high * sustained.STEP
    assert held >= 90


def test_a_server_that_holds_at_no_rate_has_the_rate_0():
    rounds, _ = search(a_server(0.0), about=100.0, rounds=2)
    assert [(one.rate, one.open) for one in rounds] == [(0.0, "")] * 2


def test_what_is_above_the_end_of_the_grid_is_not_claimed_to_be_the_limit():
    rounds, _ = search(a_server(1e9), about=100.0, rounds=1)
    assert rounds[0].rate > sustained.HIGHEST / sustained.STEP
    assert "nothing above 100000/s is looked for" in rounds[0].open


def test_where_the_client_ends_the_server_s_limit_is_open():
    rounds, trials = search(a_server(900.0, open_from=400.0), about=300.0, rounds=1)
    assert rounds[0].rate < 400.0
    assert rounds[0].open == "the client was starved of CPU"
    spoilt = [one for one in trials if one.held is Held.OPEN]
    assert len(spoilt) % 2 == 0  # each was made once more


def test_a_client_that_spoils_every_trial_ends_the_search_early():
    rounds, trials = search(a_server(900.0, open_from=0.0), about=300.0)
    assert [(one.rate, one.open) for one in rounds] == [(0.0, "the client was starved of CPU")]
    assert len(trials) == 4


LATENCY = {"metric": trial.LATENCY, "statistic": "p99", "max": 100, "unit": "ms"}
RULES = [
    Rule(gate="latency.p99", **LATENCY),
    Rule(gate="errors", metric=trial.ERRORS, max=0.01, unit="ratio"),
    Rule(gate="recall", metric=trial.RECALL, where={"index": "HNSW"}, min=0.95, unit="ratio"),
]


def samples(
    *, latency=5.0, own=0.0, failed=0, n=1_000, seconds=4.0, capacity=np.inf, void=None, limited=0
) -> Any:
    """Return a measurement of searches at a constant rate; above a capacity they queue."""
    due = np.linspace(0, seconds, n)
    waited = np.maximum(0.0, np.arange(n) / capacity - due) * 1000
    latencies = np.full(n, latency) + waited
    latencies[:failed] = np.inf
    return SimpleNamespace(
        errors={"gRPC UNAVAILABLE": failed} if failed else {},
        limited=limited,
        latencies_ms=latencies,
        own_ms=np.full(n, own),
        offsets_s=due,
        failed=np.isinf(latencies).astype(float),
        void=void,
    )


def judged(measured, *, overlap=1.0, others=None, wrong=0, rules=RULES):
    shares = {"plain": np.full(len(measured.failed), overlap)}
    if others is not None:
        shares["filtered"] = np.full(10, others)
    counts = {"answers.duplicates": np.arange(1_000) < wrong}
    findings = Findings(counts, {}, np.empty(1_000))
    figures = {name: {} for name in shares}
    searched = np.ones(len(measured.failed), dtype=bool)
    found = Found(searched, shares, findings, figures)
    return trial.judged(250.0, measured, found, rules)


def test_a_rate_at_which_all_is_well_holds():
    assert judged(samples()).held is Held.YES


@pytest.mark.parametrize(
    ("found", "more", "why"),
    [
        (samples(latency=101), {}, "latency.p99: p99 101 > 100"),
        (samples(failed=20), {}, "latency.p99: p99 inf > 100"),
        (
            samples(failed=20),
            {"rules": RULES[1:]},
            "errors: proportion 0.02 > 0.01; 20 times gRPC UN",
        ),
        (samples(latency=101, limited=7), {}, "it limited the rate 7 times (code 8)"),
        (samples(), {"overlap": 0.9}, "recall: proportion 0.9 < 0.95"),
        (samples(), {"others": 0.5}, "recall of filtered: proportion 0.5 < 0.95"),
        (samples(), {"wrong": 3}, "3 of 1000 answers were wrong (answers.duplicates)"),
        (samples(capacity=220), {"rules": RULES[1:]}, "the queue grows"),
        (samples(latency=150, own=20), {}, "latency.p99: p99 130 > 100"),
        (samples(latency=150, own=20, void="starved"), {}, "latency.p99: p99 130 > 100"),
    ],
)
def test_what_does_not_hold_is_named(found, more, why):
    seen = judged(found, **more)
    assert seen.held is Held.NO
    assert why in seen.why


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (samples(void="the client was starved of CPU"), "the client was starved of CPU"),
        (samples(latency=110, own=20), "only with the client's own part"),
    ],
)
def test_what_the_client_spoilt_is_open(found, why):
    seen = judged(found)
    assert seen.held is Held.OPEN
    assert why in seen.why


def test_a_queue_of_one_burst_is_not_one_that_grows():
    found = samples(n=400)
    found.latencies_ms[300:320] = 60.0
    assert judged(found).held is Held.YES


@pytest.mark.parametrize(("capacity", "grows"), [(250 * 1.05, False), (250 / 1.12, True)])
def test_a_queue_grows_where_more_comes_than_is_answered(capacity, grows):
    found = samples(capacity=capacity)
    assert bool(trial.queue_grows(found)) is grows


def test_rules_of_one_fixed_rate_or_another_index_are_not_a_trial_s():
    fixed = Rule(gate="fixed", where={"rate": "50/s"}, **LATENCY)
    other = Rule(gate="flat", metric=trial.RECALL, where={"index": "FLAT"}, min=0.9, unit="ratio")
    serial = Rule(gate="serial", metric="search.latency.serial", max=1, unit="ms")
    kept = trial.rules_for([*RULES, fixed, other, serial], "local", {"index": "HNSW"})
    assert kept == RULES


ROUNDS = [sustained.Round(rate, "latency.p99: 400 > 300") for rate in (90.0, 100.0, 110.0)]


ANSWERED = {"requests": 9, "failed": 0, "recall": 1.0}


def held(**kinds: Any) -> Trial:
    return Trial(100.0, Held.YES, figures={"kinds": {"searches": ANSWERED, **kinds}})


def finding(rounds=ROUNDS, *, cpu_s=50e-6, failure=""):
    return Finding(
        rounds,
        [held()],
        Calibration(cpu_s, 9_000.0),
        Background(2, 10_000, failure),
        400.0,
    )


def test_a_finding_hands_over_the_rounds_rates_and_what_broke():
    found = finding()
    assert found.rates == [90.0, 100.0, 110.0]
    assert found.why_void(50.0) == ""
    told = found.evidence(RULES)
    assert told[BEHIND] == "latency.p99: 400 > 300"
    figures = {"kinds": {"searches": ANSWERED}}
    assert told["trials"] == [{"rate": 100.0, "held": "held", "why": "", **figures}]
    assert told["rules"] == ["latency.p99", "errors", "recall"]
    assert told["not_judged"] == []


MIXED = LoadPlan.model_validate(
    {"name": "mixed", "mix": {"searches": {"kind": "search"}, "rare": {"kind": "hybrid"}}}
)


@pytest.mark.parametrize(
    ("rare", "why"),
    [
        ({"requests": 1, "failed": 0}, ""),
        ({"requests": 0, "failed": 0}, "of rare none was sent in a trial that held"),
        ({"requests": 2, "failed": 2}, "of rare none of 2 was answered in a trial that held"),
    ],
)
def test_a_rate_is_not_judged_where_a_kind_of_the_mix_was_never_in_it(rare, why):
    # A trial that did not hold is no proof of anything.
    trials = [held(rare=rare), Trial(200.0, Held.NO, "x", {"kinds": {"rare": ANSWERED}})]
    found = dataclasses.replace(finding(), trials=trials, plan=MIXED)
    assert found.why_void(50.0).startswith(why)
    assert bool(found.why_void(50.0)) is bool(why)
    assert found.why_void(500.0) == ""  # too low with or without


def test_a_rule_for_recall_that_nothing_was_held_against_is_said_to_be_none():
    rare = {"requests": 3, "failed": 0}
    found = dataclasses.replace(finding(), trials=[held(rare=rare)], plan=MIXED)
    assert found.evidence(RULES)["rules"] == ["latency.p99", "errors", "recall"]
    assert found.evidence(RULES)["not_judged"] == ["recall of rare"]
    alone = MIXED.model_copy(update={"mix": {"rare": MIXED.mix["rare"]}})
    found = dataclasses.replace(found, plan=alone)
    assert found.evidence(RULES)["rules"] == ["latency.p99", "errors"]
    assert found.evidence(RULES)["not_judged"] == ["recall of rare"]


def test_a_trial_always_says_what_was_asked_of_each_kind():
    assert set(judged(samples()).figures["kinds"]) == {"plain"}


@pytest.mark.parametrize(
    ("found", "least", "why"),
    [
        (finding(failure="no connection"), 50.0, "loading beside it ended: no connection"),
        (finding([sustained.Round(90.0, "x", "starved")]), 50.0, "the client may be the limit"),
        (finding([sustained.Round(0.0, "x")]), 1.0, "no rate from 10/s on held"),
        (finding(cpu_s=0.1), 50.0, "is more than clients of this host send"),
    ],
)
def test_a_finding_that_says_nothing_of_the_server_is_void(found, least, why):
    assert why in found.why_void(least)


def test_a_server_that_died_is_no_void_finding_although_the_loading_beside_it_ended_too():
    dead = Trial(10.0, Held.NO, "nothing", dead=True)
    found = dataclasses.replace(
        finding([sustained.Round(0.0, "gone")] * 6, failure="no connection"), trials=[dead]
    )
    assert found.why_void(50.0) == ""


def test_a_server_that_holds_no_rate_is_no_void_finding_where_the_rule_asks_for_more():
    assert finding([sustained.Round(0.0, "errors: 0.1 > 0.01")]).why_void(50.0) == ""


def test_one_rate_that_was_offered_alone_says_nothing_of_a_higher_one():
    at = STANDARD.model_copy(update={"rate": 100.0})
    only = dataclasses.replace(finding([sustained.Round(100.0, "")] * 6), plan=at)
    assert only.why_void(80.0) == ""
    assert only.why_void(150.0) == "100/s alone was offered, and the rule asks for more"
    slow = STANDARD.model_copy(update={"rate": 5.0})
    broke = dataclasses.replace(finding([sustained.Round(0.0, "x")] * 6), trials=[], plan=slow)
    assert broke.why_void(5.0) == ""


def test_one_rate_is_offered_as_often_as_there_are_rounds():
    rounds, _ = sustained.hold(a_server(500.0), 400.0)
    assert [one.rate for one in rounds] == [400.0] * 6
    rounds, _ = sustained.hold(a_server(500.0), 600.0)
    assert [(one.rate, one.why) for one in rounds] == [(0.0, "latency.p99: 400 > 300")] * 6
    rounds, trials = sustained.hold(a_server(500.0, open_from=0.0), 400.0)
    assert {one.open for one in rounds} == {"the client was starved of CPU"}
    assert len(trials) == 12  # each was made once more


def test_a_server_that_dies_midway_sustains_nothing_and_is_asked_no_more():
    alive = a_server(500.0)

    def offer(rate, number):
        if number < 9:
            return alive(rate, number)
        return Trial(rate, Held.NO, "errors: 1 > 0.01; 30 times gRPC UNAVAILABLE", dead=True)

    rounds, trials = search(offer, about=300.0)
    assert [one.rate for one in rounds] == [0.0] * sustained.ROUNDS
    assert rounds[0].why.startswith("the server answers nothing any more: errors: 1 > 0.01")
    assert len(trials) == 11  # those before, the one that found it dead, and one at the lowest rate


def test_a_server_that_drowns_at_a_high_rate_is_not_taken_for_a_dead_one():
    def offer(rate, _):
        if rate > 500:
            return Trial(rate, Held.NO, "nothing was answered", dead=True)
        return Trial(rate, Held.YES)

    rounds, _ = search(offer, about=300.0, rounds=2)
    assert all(500 / sustained.STEP < one.rate <= 500 for one in rounds)
