"""The self-test's own judgement: which gates had to turn red, and which must not."""

import dataclasses

import pytest

from tests.builders import build
from validation import rules
from validation.report.results import State
from validation.resources import find
from validation.selftest.faults import FAULTS, UNPLANTED, Fault, metrics
from validation.selftest.runner import compare, without_a_fault
from validation.verdict import Outcome

RULES = rules.load(find("stacks/local.slo.yaml"))
NOTHING = FAULTS["stale-row-count"].plant


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A run of which some gates are green."""
    return build(tmp_path_factory.mktemp("run"))


def turned(results, outcomes):
    """The same run with other outcomes for some gates."""
    gates = tuple(
        gate.model_copy(update={"outcome": outcomes.get(gate.gate, gate.outcome)})
        for gate in results.gates
    )
    return results.model_copy(update={"gates": gates})


def fault(*names):
    return Fault("made-up", "for this test", metrics(*names), NOTHING)


def green(results, metric):
    found = {one.gate for one in results.gates if one.rule.metric == metric}
    return found & {one.gate for one in results.gates if one.outcome is Outcome.PASS}


METRIC = "data.rows_missing"


def test_a_fault_that_turns_just_its_gates_red_is_caught(clean):
    own = green(clean, METRIC)
    assert own
    finding = compare(fault(METRIC), clean, turned(clean, dict.fromkeys(own, Outcome.FAIL)))
    assert finding.caught, finding.line()


def test_a_gate_that_stays_green_is_named(clean):
    finding = compare(fault(METRIC), clean, clean)
    assert not finding.caught
    assert "stayed green" in finding.line()


def test_a_gate_that_turns_red_for_no_reason_is_named(clean):
    both = green(clean, METRIC) | green(clean, "identity.mismatches")
    finding = compare(fault(METRIC), clean, turned(clean, dict.fromkeys(both, Outcome.FAIL)))
    assert not finding.caught
    assert "red for no reason: identity" in finding.line()


def test_a_gate_that_is_no_longer_measured_is_not_a_gate_that_is_fine(clean):
    outcomes = dict.fromkeys(green(clean, METRIC), Outcome.FAIL)
    outcomes |= dict.fromkeys(green(clean, "identity.mismatches"), Outcome.NOT_MEASURED)
    finding = compare(fault(METRIC), clean, turned(clean, outcomes))
    assert not finding.caught
    assert "lost: identity" in finding.line()


def test_a_run_that_broke_off_proves_nothing(clean):
    faulty = turned(clean, dict.fromkeys(green(clean, METRIC), Outcome.FAIL))
    broken = faulty.model_copy(update={"state": State.BROKEN, "reason": "no more disk"})
    finding = compare(fault(METRIC), clean, broken)
    assert not finding.caught
    assert "no more disk" in finding.line()


def test_a_fault_that_no_rule_is_about_is_not_caught(clean):
    assert not compare(fault("site.nothing"), clean, clean).caught


def test_every_required_gate_of_the_embedded_stack_has_its_fault():
    assert without_a_fault(RULES) == []


def test_a_gate_without_a_fault_is_named():
    lonely = RULES[0].model_copy(update={"gate": "lonely", "metric": "site.lonely"})
    assert without_a_fault([*RULES, lonely]) == ["lonely"]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_about_a_rule_in_force(name):
    assert any(FAULTS[name].turns_red(rule) for rule in RULES)


def test_excuses_are_only_for_gates_that_are_there():
    known = {rule.gate for rule in RULES} | {"checks.assertions"}
    assert set(UNPLANTED) <= known


def test_a_gate_that_may_turn_red_need_not(clean):
    own, other = green(clean, METRIC), green(clean, "identity.mismatches")
    loose = dataclasses.replace(fault(METRIC), may_turn_red=metrics("identity.mismatches"))
    for red in (own, own | other):
        assert compare(loose, clean, turned(clean, dict.fromkeys(red, Outcome.FAIL))).caught
    assert not compare(loose, clean, turned(clean, dict.fromkeys(other, Outcome.FAIL))).caught
