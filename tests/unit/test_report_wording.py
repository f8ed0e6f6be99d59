"""Words and figures: the same in all renderings, readable, and never softer than the verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.builders import build, latencies
from validation.report import wording
from validation.report.families import family
from validation.report.results import Check, State
from validation.verdicts.catalogue import CATALOGUE
from validation.verdicts.judging import judge
from validation.verdicts.verdict import Observation, Outcome, Rule

P99 = Rule(gate="p99", metric="search.latency.serial", statistic="p99", max=50, unit="ms")
RECALL = Rule(gate="recall", metric="ann_overlap@10", min=0.95, unit="ratio")


def verdict(rule, samples, **changes):
    seen = Observation.model_validate(
        {"metric": rule.metric, "target": "local", "unit": rule.unit, "n": len(samples), **changes}
    )
    return judge(rule, seen, samples)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (100_000.0, "100,000"),
        (0.987_25, "0.9872"),
        (7.089_962, "7.09"),
        (12_345.678, "12,346"),
        (0.000_012_345, "1.234e-05"),
        (9.999_96, "10"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "not a number"),
    ],
)
def test_numbers_have_the_digits_that_matter(value, shown):
    assert wording.number(value) == shown


@given(st.floats(-1e300, 1e300))
def test_a_shown_number_is_the_number_to_four_digits(value):
    shown = float(wording.number(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=6e-4, abs=1e-300)


@given(threshold=st.floats(-1000, 1000), step=st.floats(-1e-3, 1e-3))
@example(threshold=2.00001, step=-0.00001)
@example(threshold=0.94998, step=-0.00002)
@example(threshold=0.94998, step=0)
@example(threshold=12_345_678.5, step=-1e-8)
def test_a_figure_is_shown_on_the_side_of_the_rule_where_it_is(threshold, step):
    value = threshold + step
    shown, rule = (
        float(text.replace(",", ""))
        for text in (wording.beside(value, threshold), wording.beside(threshold, threshold))
    )
    assert rule == threshold
    assert (shown < rule, shown > rule) == (value < threshold, value > threshold)


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [(0.99995, "0.99995"), (0.1, "0.1"), (1_234.5678, "1,234.5678"), (50, "50")],
)
def test_a_rule_is_shown_with_every_digit_it_was_given(threshold, shown):
    assert wording.beside(threshold, threshold) == shown


def test_a_recall_just_below_its_rule_is_shown_below_it():
    found = verdict(RECALL, np.full(4_000_000, 0.949_96))
    assert wording.observed(found) == "0.94996"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.00 s"),
        (0.42, "0.42 s"),
        (8.84, "8.8 s"),
        (59.97, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7_400.0, "2 h 03 min"),
        (math.nan, "unknown"),
    ],
)
def test_durations_read_as_a_person_says_them(seconds, shown):
    assert wording.duration(seconds) == shown


def test_failed_requests_are_no_answer_not_infinity():
    found = verdict(P99, latencies(3.0, failed=50))
    assert found.outcome is Outcome.FAIL
    assert wording.observed(found) == "no answer"
    assert wording.interval(found) == "[no answer, no answer]"


def test_an_end_that_n_cannot_bound_says_so():
    found = verdict(P99, latencies(3.0, n=100))
    assert wording.interval(found).endswith(", unbounded: n too small]")


def test_an_exact_count_has_no_interval():
    rule = Rule(gate="missing", metric="data.rows_missing", max=0, unit="rows")
    found = verdict(rule, [3.0])
    assert (wording.observed(found), wording.interval(found)) == ("3 rows", "")


def test_an_unusual_confidence_is_said():
    rule = RECALL.model_copy(update={"confidence": 0.99})
    assert wording.interval(verdict(rule, np.ones(400))).endswith("] (0.99 confidence)")


def test_a_gate_s_line_tells_rule_figure_interval_n_reason_and_remedy():
    found = verdict(RECALL, np.full(400, 0.952), labels={"index": "HNSW"})
    assert wording.gate_line(found) == (
        "recall: INCONCLUSIVE; ann_overlap@10 (index HNSW) mean ≥ 0.95; "
        "observed 0.952 [0.9264, 0.969], n = 400; the interval straddles the rule "
        "-> measure with more samples (a larger profile)"
    )


def test_a_gate_s_line_is_one_line_whatever_the_server_said():
    found = verdict(RECALL, [], not_measured="no\nindex\x1b[31m\u202e\r", labels={"a\n": "b\x00"})
    line = wording.gate_line(found)
    assert len(line.splitlines()) == 1
    assert not set("\x1b\u202e\x00\r") & set(line)
    assert "\\u001b[31m" in line


@given(st.text())
def test_no_text_keeps_a_control_character(text):
    shown = wording.plain(text)
    assert all(char.isprintable() or char in "\n\t\u2028\u2029" or char.isspace() for char in shown)
    shown.encode()


def test_each_metric_has_a_family_and_a_claim():
    for metric in CATALOGUE:
        assert family(metric) not in {"other", "site"}
        assert wording.claim(metric)
    assert family("site.tickets") == "site"


@pytest.mark.parametrize(
    ("changes", "starts"),
    [
        ({}, "15 of 15 required gates passed"),
        ({"missing_rows": 3}, "1 required gate failed: data.complete; 14 of 15"),
        ({"missing_rows": 3, "hnsw": 0.9}, "2 required gates failed: data.complete, recall.hnsw"),
        ({"saturated": True}, "1 required gate inconclusive: latency.open-loop; 14 of 15"),
        ({"state": State.INTERRUPTED, "reason": "Ctrl-C"}, "the run was interrupted: Ctrl-C; 15"),
        ({"state": State.BROKEN}, "the run broke off; 15 of 15"),
    ],
)
def test_the_headline_says_why_the_verdict_is_what_it_is(tmp_path, changes, starts):
    assert wording.headline(build(tmp_path, **changes)).startswith(starts)


def test_the_headline_of_a_run_without_required_gates_says_that_nothing_was_proved(tmp_path):
    results = build(tmp_path)
    bare = results.model_copy(update={"gates": (), "verdict": Outcome.INCONCLUSIVE})
    assert wording.headline(bare) == "no required gate was judged, so nothing was proved"


def test_what_no_rule_asks_for_is_listed_with_its_reason(tmp_path):
    skipped = Check(id="checks/a.py::b", outcome="skipped", seconds=0, message="left out by smoke")
    results = build(tmp_path, extra_checks=(skipped,))
    unruled = Observation(
        metric="mrr@10", target="local", unit="ratio", not_measured="the server has no BM25"
    )
    no_tls = unruled.model_copy(update={"not_measured": "no TLS", "undeclared": True})
    seen = (*results.observations, unruled, no_tls)
    results = results.model_copy(update={"observations": seen})
    assert wording.unmeasured(results) == [
        "mrr@10 at local: the server has no BM25",
        "checks/a.py::b: left out by smoke",
    ]
