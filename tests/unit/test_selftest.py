"""The self-test's own judgement: which gates had to turn red, and which must not."""

import dataclasses
import json
from collections import Counter

import pytest

from tests.builders import build
from validation.common.resources import find
from validation.errors import ConfigurationError
from validation.report.results import State
from validation.selftest.fault import Fault, metrics, never
from validation.selftest.faults import AT_ONCE, FAULTS, UNPLANTED
from validation.selftest.finding import compare
from validation.selftest.page import write as write_page
from validation.selftest.record import SelfTest, planted, write
from validation.selftest.runner import Choices, groups, with_others, without_a_fault
from validation.selftest.scene import ANSWERS, WHOLE
from validation.selftest.wire.script import Struck
from validation.verdicts import rules
from validation.verdicts.verdict import Outcome

RULES = rules.load(find("stacks/local.slo.yaml"))


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


def compared(faults, clean, faulty, struck=None):
    return compare(faults, clean, faulty, target="local", struck=struck)


def fault(*names):
    return Fault("made-up", "for this test", metrics(*names), scene=WHOLE)


def green(results, metric):
    found = {one.gate for one in results.gates if one.rule.metric == metric}
    return found & {one.gate for one in results.gates if one.outcome is Outcome.PASS}


METRIC = "data.rows_missing"


def test_a_fault_that_turns_just_its_gates_red_is_caught(clean):
    own = green(clean, METRIC)
    assert own
    finding = compared([fault(METRIC)], clean, turned(clean, dict.fromkeys(own, Outcome.FAIL)))
    assert finding.caught, finding.line()


def test_a_gate_that_stays_green_is_named(clean):
    finding = compared([fault(METRIC)], clean, clean)
    assert not finding.caught
    assert "stayed green" in finding.line()


def test_a_gate_that_turns_red_for_no_reason_is_named(clean):
    both = green(clean, METRIC) | green(clean, "identity.mismatches")
    finding = compared([fault(METRIC)], clean, turned(clean, dict.fromkeys(both, Outcome.FAIL)))
    assert not finding.caught
    assert "red for no reason: identity" in finding.line()


def test_a_gate_that_is_no_longer_measured_is_not_a_gate_that_is_fine(clean):
    outcomes = dict.fromkeys(green(clean, METRIC), Outcome.FAIL)
    outcomes |= dict.fromkeys(green(clean, "identity.mismatches"), Outcome.NOT_MEASURED)
    finding = compared([fault(METRIC)], clean, turned(clean, outcomes))
    assert not finding.caught
    assert "not decided any more: identity" in finding.line()


def test_a_run_that_broke_off_proves_nothing(clean):
    faulty = turned(clean, dict.fromkeys(green(clean, METRIC), Outcome.FAIL))
    broken = faulty.model_copy(update={"state": State.BROKEN, "reason": "no more disk"})
    finding = compared([fault(METRIC)], clean, broken)
    assert not finding.caught
    assert "no more disk" in finding.line()


@pytest.mark.parametrize(
    ("struck", "said"),
    [
        (Struck(times=Counter({"made-up": 0})), "met no call: made-up"),
        (Struck(failed=Counter({"made-up: KeyError()": 1})), "the fault itself failed: made-up"),
    ],
)
def test_a_fault_that_was_not_really_planted_proves_nothing(clean, struck, said):
    faulty = turned(clean, dict.fromkeys(green(clean, METRIC), Outcome.FAIL))
    assert compared([fault(METRIC)], clean, faulty, Struck(Counter({"made-up": 1}))).caught
    finding = compared([fault(METRIC)], clean, faulty, struck)
    assert not finding.caught
    assert said in finding.line()


def test_faults_that_are_planted_together_turn_the_gates_of_each_red(clean):
    both = [fault(METRIC), fault("identity.mismatches")]
    own, other = green(clean, METRIC), green(clean, "identity.mismatches")
    assert not compared(both, clean, turned(clean, dict.fromkeys(own, Outcome.FAIL))).caught
    finding = compared(both, clean, turned(clean, dict.fromkeys(own | other, Outcome.FAIL)))
    assert finding.caught
    assert finding.name == "made-up + made-up on local"


VOIDING = Fault("starving", "for this test", never, voids=metrics(METRIC), scene=WHOLE)


def test_a_fault_that_voids_a_figure_leaves_its_gate_undecided_and_not_red(clean):
    own = green(clean, METRIC)
    for outcome, caught in (
        (Outcome.INCONCLUSIVE, True),
        (Outcome.FAIL, False),
        (Outcome.PASS, False),
    ):
        finding = compared([VOIDING], clean, turned(clean, dict.fromkeys(own, outcome)))
        assert finding.caught is caught, finding.line()
        assert not finding.busy


def test_what_one_fault_voids_another_cannot_turn_red(clean):
    both, own = [fault(METRIC), VOIDING], green(clean, METRIC)
    assert compared(both, clean, turned(clean, dict.fromkeys(own, Outcome.INCONCLUSIVE))).caught


def test_gates_that_a_busy_machine_leaves_undecided_are_neither_caught_nor_missed(clean):
    own, other = green(clean, METRIC), green(clean, "identity.mismatches")
    red = dict.fromkeys(own, Outcome.FAIL)
    undecided = turned(clean, red | dict.fromkeys(other, Outcome.INCONCLUSIVE))
    finding = compared([fault(METRIC)], clean, undecided)
    assert (finding.busy, finding.caught) == (True, False)
    finding = compared(
        [fault(METRIC)], clean, turned(clean, dict.fromkeys(other, Outcome.NOT_MEASURED))
    )
    assert (finding.busy, finding.caught) == (False, False)


def test_a_gate_that_is_undecided_without_a_fault_proves_nothing_with_it(clean):
    own = green(clean, METRIC)
    dull = turned(clean, dict.fromkeys(own, Outcome.INCONCLUSIVE))
    finding = compared([fault(METRIC)], dull, turned(clean, dict.fromkeys(own, Outcome.FAIL)))
    assert (finding.busy, finding.caught) == (True, False)
    assert "not decided without a fault either" in finding.line()


def test_a_gate_of_which_one_observation_is_lost_is_not_a_gate_that_is_fine(clean):
    gate = next(one for one in clean.gates if one.gate in green(clean, METRIC))
    another = gate.model_copy(update={"labels": {"dataset": "another"}})
    both = clean.model_copy(update={"gates": (*clean.gates, another)})
    own = fault("identity.mismatches")
    red = dict.fromkeys(green(clean, "identity.mismatches"), Outcome.FAIL)
    assert compared([own], both, turned(both, red)).caught
    finding = compared([own], both, turned(clean, red))
    assert finding.undecided == {gate.gate}


def test_all_faults_are_planted_alone_in_pairs_and_several_at_once():
    planted = groups(Choices())
    alone = [group.faults[0].name for group in planted if len(group.faults) == 1]
    assert alone == list(FAULTS)
    paired = {fault.name for group in planted if len(group.faults) == 2 for fault in group.faults}
    assert paired == {one.name for one in FAULTS.values() if one.scene is ANSWERS and one.wire}
    at_once = [group.faults for group in planted if group.scene is WHOLE]
    assert [tuple(fault.name for fault in faults) for faults in at_once] == [*AT_ONCE]


def test_faults_that_are_named_are_planted_alone_or_all_together():
    named = ("wrong-scores", "dropped-rows")
    assert [len(group.faults) for group in groups(Choices(named))] == [1, 1]
    (together,) = groups(Choices(named, together=True))
    assert [fault.name for fault in together.faults] == list(named)
    assert together.scene is WHOLE
    five, _ = groups(Choices(together=True))
    assert [fault.name for fault in five.faults] == list(AT_ONCE[0])


def test_a_fault_that_is_unknown_is_refused():
    with pytest.raises(ConfigurationError, match="wrong-skores"):
        groups(Choices(("wrong-skores",)))


@pytest.fixture
def record(clean):
    """A selftest of two faults alone and both together, of which one was missed."""
    own = turned(clean, dict.fromkeys(green(clean, METRIC), Outcome.FAIL))
    findings = [
        compared([fault(METRIC)], clean, own),
        compared([fault("identity.mismatches")], clean, clean),
        compared([fault(METRIC), fault("identity.mismatches")], clean, own),
    ]
    kept = [planted(one, story="<b>for this test</b>", scene="whole") for one in findings]
    return SelfTest(
        run="20260314T092653Z-selftest",
        kit_version="0.1.0",
        started=clean.started,
        finished=clean.finished,
        profile="selftest",
        host=clean.host,
        rules_source="local.slo.yaml",
        servers={"local": "v2.3.5"},
        planted=2,
        noticed=1,
        exact=1,
        faults=tuple(kept[:2]),
        together=tuple(kept[2:]),
        unplanted={"recall.diskann": "cannot be built"},
    )


def test_the_kill_rate_is_printed_and_kept_as_a_certificate_reads_it(record, tmp_path):
    lines = record.lines()
    assert lines[0] == "local (v2.3.5): 1 of 2 faults noticed"
    assert lines[-1].startswith("FAIL  kill rate: 1 of 2 planted faults noticed")
    assert sum("stayed green" in line for line in lines) == 2
    kept = json.loads(write(record, tmp_path).read_text())
    assert (kept["schema"], kept["planted"], kept["noticed"]) == ("milvus-kit/selftest/1", 2, 1)
    assert SelfTest.model_validate(kept) == record


def test_the_kill_rate_is_shown_on_a_page_that_escapes_what_it_shows(record, tmp_path):
    page = write_page(record, tmp_path).read_text()
    assert "<h1>1 of 2 planted faults noticed</h1>" in page
    assert "<b>for this test" not in page
    assert "&lt;b&gt;for this test" in page
    assert page.count('class="badge pass"') == 1
    assert page.count('class="badge fail"') == 2


def test_a_selftest_that_is_whole_passes_and_one_on_a_busy_machine_is_inconclusive(record):
    whole = record.model_copy(update={"faults": record.faults[:1], "together": ()})
    assert whole.whole
    assert whole.lines()[-1].startswith("PASS")
    busy = record.faults[1].model_copy(update={"busy": True})
    open_ = record.model_copy(update={"faults": (record.faults[0], busy), "together": ()})
    assert (open_.whole, open_.busy) == (False, True)
    assert open_.lines()[-1].startswith("INCONCLUSIVE")
    assert not record.model_copy(update={"faults": (), "together": ()}).whole


def test_a_fault_that_no_rule_is_about_is_not_caught(clean):
    assert not compared([fault("site.nothing")], clean, clean).caught


def test_every_required_gate_of_the_embedded_stack_has_its_fault():
    assert without_a_fault(RULES) == []


def test_a_gate_without_a_fault_is_named():
    lonely = RULES[0].model_copy(update={"gate": "lonely", "metric": "site.lonely"})
    assert without_a_fault([*RULES, lonely]) == ["lonely"]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_about_a_rule_in_force(name):
    fault = FAULTS[name]
    assert any(fault.turns_red(rule) or fault.voids(rule) for rule in with_others(RULES))


def test_rules_that_validate_has_besides_are_in_force_where_they_have_a_fault():
    more = {rule.metric for rule in with_others(RULES)} - {rule.metric for rule in RULES}
    planted = {name for name in more if name.startswith(("hosts.", "security."))}
    assert more - planted == {
        *("storage.rules_broken", "storage.growth", "load.sustained_rate", "ingest.recall"),
        *("write.visible_after", "write.longest_gap", "write.latency", "search.latency.first"),
        *("segments.seconds", "segments.slowdown", "segments.recall", "segments.searches_failed"),
    }
    required = {rule.metric for rule in with_others(RULES) if rule.required}
    assert planted == {name for name in required if name.startswith(("hosts.", "security."))}


def test_excuses_are_only_for_gates_that_are_there():
    known = {rule.gate for rule in RULES} | {"checks.assertions"}
    assert set(UNPLANTED) <= known


def test_a_gate_that_may_change_need_not(clean):
    own, other = green(clean, METRIC), green(clean, "identity.mismatches")
    loose = dataclasses.replace(fault(METRIC), may_change=metrics("identity.mismatches"))
    for red in (own, own | other):
        assert compared([loose], clean, turned(clean, dict.fromkeys(red, Outcome.FAIL))).caught
    assert not compared([loose], clean, turned(clean, dict.fromkeys(other, Outcome.FAIL))).caught
