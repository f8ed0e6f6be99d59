"""Judgement: a pass has to be earned, and everything else says why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.verdicts.judging import judge, judge_all, overall
from validation.verdicts.verdict import Observation, Outcome, Rule, Verdict

RECALL = Rule(gate="recall", metric="ann_overlap@10", min=0.95, unit="ratio")
MISSING = Rule(gate="missing", metric="data.rows_missing", max=0, unit="rows")
P99 = Rule(gate="p99", metric="search.latency.serial", statistic="p99", max=50, unit="ms")
RATE = Rule(gate="rate", metric="loading.rate", min=1000, unit="rows/s")
SITE = Rule(gate="site", metric="site.balance", min=-5, unit="EUR")
ALL = (RECALL, MISSING, P99, RATE, SITE)

any_sample = st.floats(allow_nan=True, allow_infinity=True)


def seen(rule, samples, **changes):
    return Observation.model_validate(
        {
            "metric": rule.metric,
            "target": "local",
            "unit": rule.unit,
            "n": np.asarray(samples).size,
            **changes,
        }
    )


def judged(rule, samples, **changes):
    return judge(rule, seen(rule, samples, **changes), samples)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (RECALL, np.ones(400), np.full(400, 0.5)),
        (MISSING, [0.0], [1.0]),
        (P99, np.full(500, 3.0), np.full(500, 90.0)),
        (RATE, [5000.0], [10.0]),
        (SITE, [-4.0], [-6.0]),
    ],
)
def test_every_kind_of_rule_can_pass_and_can_fail(rule, good, bad):
    assert judged(rule, good).outcome is Outcome.PASS
    failed = judged(rule, bad)
    assert failed.outcome is Outcome.FAIL
    assert failed.remedy


def test_a_straddling_interval_is_inconclusive_and_says_so():
    found = judged(RECALL, np.full(400, 0.952))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == "the interval straddles the rule"
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.95 < found.high
    assert "more samples" in found.remedy


def test_too_few_samples_for_a_percentile_say_how_many_it_takes():
    found = judged(P99, np.full(100, 3.0))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == "100 samples are too few to bound p99: it takes 368"


def test_a_threshold_is_on_the_good_side_itself():
    assert judged(MISSING, [0.0]).outcome is Outcome.PASS
    assert judged(RATE, [1000.0]).outcome is Outcome.PASS


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.gate)
@pytest.mark.parametrize("void", [None, "the client was saturated"])
def test_nothing_measured_is_never_a_pass(rule, void):
    found = judged(rule, [], void=void)
    assert found.outcome is Outcome.NOT_MEASURED
    assert "no sample" in found.reason
    assert (void or "") in found.reason


def test_a_reason_why_nothing_was_measured_outranks_samples():
    found = judged(MISSING, [0.0], not_measured="the server cannot count")
    assert (found.outcome, found.reason) == (Outcome.NOT_MEASURED, "the server cannot count")


@pytest.mark.parametrize("samples", [np.full(500, 3.0), np.full(500, 90.0)])
def test_a_void_measurement_is_inconclusive_whatever_its_samples_say(samples):
    found = judged(P99, samples, void="the client was saturated")
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "the client was saturated")


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.gate)
def test_one_sample_that_is_not_a_number_makes_the_gate_not_measured(rule):
    samples = [0.0] * 999 + [math.nan]
    found = judged(rule, samples)
    assert found.outcome is Outcome.NOT_MEASURED
    assert found.reason == "1 of 1000 samples are not numbers"


def test_lost_samples_make_the_gate_not_measured():
    found = judge(RECALL, seen(RECALL, np.ones(400)), np.ones(399))
    assert found.outcome is Outcome.NOT_MEASURED
    assert found.reason == "400 samples were recorded and 399 are there"


def test_a_wrong_unit_makes_the_gate_not_measured():
    found = judged(P99, np.full(500, 0.003), unit="s")
    assert found.outcome is Outcome.NOT_MEASURED
    assert found.reason == "observed in s, the rule is in ms"


@pytest.mark.parametrize(
    ("rule", "samples"),
    [
        (RATE, [math.inf]),
        (SITE, [math.inf]),
        (MISSING, [-1.0, 1.0]),
        (P99, np.append(np.full(499, 3.0), -1.0)),
        (RECALL.model_copy(update={"statistic": "mean"}), np.append(np.full(399, 0.5), 200.0)),
    ],
    ids=["infinite rate", "infinite site figure", "counts that cancel", "negative time", "share"],
)
def test_samples_that_cannot_be_true_are_not_judged(rule, samples):
    found = judged(rule, samples)
    assert found.outcome is Outcome.NOT_MEASURED
    assert found.reason


def test_failed_requests_fail_a_latency():
    samples = np.append(np.full(400, 3.0), np.full(100, math.inf))
    assert judged(P99, samples).outcome is Outcome.FAIL


def test_a_mean_of_failed_requests_is_not_measured_with_the_reason():
    rule = P99.model_copy(update={"statistic": "mean"})
    found = judged(rule, np.append(np.full(400, 3.0), math.inf))
    assert found.outcome is Outcome.NOT_MEASURED
    assert "percentile" in found.reason


def test_a_single_figure_measured_twice_is_not_measured_with_the_reason():
    found = judged(RATE, [5000.0, 10.0])
    assert found.outcome is Outcome.NOT_MEASURED
    assert "exactly one sample" in found.reason


@given(samples=st.lists(any_sample, max_size=60), rule=st.sampled_from(ALL), void=st.booleans())
def test_whatever_the_samples_a_pass_is_finite_measured_and_on_the_good_side(samples, rule, void):
    found = judged(rule, samples, void="void" if void else None)
    if found.outcome is Outcome.PASS:
        assert not void
        assert found.n == len(samples) > 0
        bound = found.low if rule.min is not None else found.high
        assert bound is not None
        assert math.isfinite(bound)
        assert bound >= rule.min if rule.min is not None else bound <= rule.threshold
    elif found.outcome is Outcome.FAIL:
        assert found.remedy
    else:
        assert found.reason
        assert found.remedy


@given(samples=st.lists(st.floats(0, 200), min_size=1, max_size=500))
def test_a_stricter_threshold_never_turns_a_gate_better(samples):
    order = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]
    ranks = [
        order.index(judged(P99.model_copy(update={"max": limit}), samples).outcome)
        for limit in (150, 100, 50, 10)
    ]
    assert ranks == sorted(ranks)


def test_a_verdict_survives_json_with_its_infinite_ends():
    found = judged(P99, np.full(10, 3.0))
    assert found.high == math.inf
    assert Verdict.model_validate_json(found.model_dump_json()) == found


def test_a_rule_judges_each_observation_it_applies_to():
    pairs = [
        (seen(RECALL, np.ones(400), labels={"index": name}), np.full(400, share))
        for name, share in (("FLAT", 1.0), ("HNSW", 0.5))
    ]
    assert [one.outcome for one in judge_all([RECALL], pairs)] == [Outcome.PASS, Outcome.FAIL]
    only = RECALL.model_copy(update={"where": {"index": "FLAT", "target": "local"}})
    assert [one.outcome for one in judge_all([only], pairs)] == [Outcome.PASS]


def test_a_rule_that_matches_nothing_is_not_measured_and_names_what_there_was():
    pairs = [(seen(RECALL, np.ones(400), labels={"index": "HNSW"}), np.ones(400))]
    misspelt = RECALL.model_copy(update={"where": {"idnex": "HNSW"}})
    (found,) = judge_all([misspelt], pairs)
    assert found.outcome is Outcome.NOT_MEASURED
    assert "idnex=HNSW" in found.reason
    assert "local: ann_overlap@10[index=HNSW]" in found.reason


def test_a_rule_for_another_kind_of_server_is_not_waited_for():
    ours = MISSING.model_copy(update={"server": "milvus-lite"})
    rule = RECALL.model_copy(update={"server": "milvus"})
    lite = [
        (seen(rule, [0.4], server="milvus-lite"), np.array([0.4])),
        (seen(ours, [0.0], server="milvus-lite"), np.zeros(1)),
    ]
    missing, recall = judge_all([ours, rule], lite)
    assert (missing.outcome, recall.outcome) == (Outcome.PASS, Outcome.NOT_MEASURED)
    assert not recall.required
    assert recall.reason == "the rule is for milvus, which no target of this run is"
    assert overall([missing, recall]) is Outcome.PASS
    assert overall(judge_all([rule], lite)) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("server", ["milvus", None])
def test_a_rule_for_the_kind_of_server_that_was_measured_is_waited_for(server):
    rule = RECALL.model_copy(update={"server": "milvus"})
    beside = [
        (seen(rule, [0.4], server="milvus-lite"), np.array([0.4])),
        (seen(MISSING, [0.0], server=server), np.zeros(1)),
    ]
    assert judge_all([rule], beside)[0].required
    assert judge_all([rule], [])[0].required
    assert judged(rule, np.full(400, 0.5), server=server).outcome is Outcome.FAIL


def test_a_rule_of_another_target_s_metric_matches_nothing():
    elsewhere = RECALL.model_copy(update={"where": {"target": "prod"}})
    (found,) = judge_all([elsewhere], [(seen(RECALL, np.ones(400)), np.ones(400))])
    assert (found.outcome, found.target) == (Outcome.NOT_MEASURED, "prod")


def gate(outcome, *, required=True):
    rule = RECALL.model_copy(update={"required": required})
    return Verdict(gate="g", rule=rule, outcome=outcome)


@given(
    st.lists(
        st.tuples(st.sampled_from(Outcome), st.booleans()).map(
            lambda pair: gate(pair[0], required=pair[1])
        )
    )
)
def test_the_run_passes_only_if_every_required_gate_passes_and_there_is_one(gates):
    required = {one.outcome for one in gates if one.required}
    expected = Outcome.INCONCLUSIVE
    if Outcome.FAIL in required:
        expected = Outcome.FAIL
    elif required == {Outcome.PASS}:
        expected = Outcome.PASS
    assert overall(gates) is expected


def test_a_run_without_gates_is_inconclusive():
    assert overall([]) is Outcome.INCONCLUSIVE
    assert overall([gate(Outcome.PASS, required=False)]) is Outcome.INCONCLUSIVE


def test_a_rule_may_wait_only_for_targets_that_declare_what_it_is_about():
    always = Rule(gate="tls", metric="security.let_in", max=0, unit="strangers")
    declared = always.model_copy(update={"if_declared": True})
    undeclared = {"not_measured": "the target declares no TLS", "undeclared": True}
    for rule, waits in ((always, True), (declared, False)):
        found = judged(rule, [], **undeclared)
        assert found.outcome is Outcome.NOT_MEASURED
        assert found.required is waits
    # What is declared and could not be asked is waited for, and what is wrong fails.
    assert judged(declared, [], not_measured="it does not answer").required
    assert judged(declared, [1.0]).required
    assert overall([judged(MISSING, [0.0]), judged(declared, [1.0])]) is Outcome.FAIL
