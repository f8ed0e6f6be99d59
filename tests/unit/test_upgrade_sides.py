"""Two stored sides: what passes, what each planted regression turns red, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.unit.test_upgrade_manifest import columns, made_of, saved, without
from validation import cli
from validation.common.progress import Progress
from validation.errors import ExitCode
from validation.target import Milvus, Role, Target
from validation.upgrade import commands, side
from validation.upgrade.judging import judge
from validation.upgrade.measuring import NO_CONTROL, NULL, STORE
from validation.upgrade.plan import OPERATIONS, SLOWDOWN, Plan, plan_for
from validation.upgrade.side import Measured
from validation.verdicts.verdict import Outcome

STACKS = Path(__file__).resolve().parents[2] / "stacks"
TARGET = Target(
    name="t", milvus=Milvus(uri="http://h:1", version="2.3.3", roles=(Role(name="proxy"),))
)
HELD = made_of(columns())


def plan(**changes):
    made = plan_for(TARGET, STACKS / "upgrade.slo.yaml", rounds=20, seed=1, rows=100, dim=4)
    return Plan.model_validate({**made.model_dump(by_alias=True), **changes})


def measured(seed, *, slower=(), factor=1.5, control=1.0, scatter=0.01, count=20, **changes):
    rng = np.random.default_rng(seed)

    def rounds(median, by=1.0):
        return [[by * median * np.exp(rng.normal(0, scatter))] * 3 for _ in range(count)]

    made = {
        "server": "v2.3.3",
        "rounds": {of: rounds(5.0, factor if of in slower else 1.0) for of in OPERATIONS},
        "controls": {NULL: rounds(0.1, control), STORE: rounds(2.0)},
        "overlap": [1.0, 0.9] * 100,
        "failed": dict.fromkeys(OPERATIONS, 0),
    }
    return Measured.model_validate({**made, **changes})


def side_of(folder, found, *, held=HELD, of=None, signers=(), base=None, **manifest):
    """A baseline, or the other side of one."""
    of = of or plan()
    side.begin(folder, of, signers)
    saved(folder / side.MANIFEST, held, **manifest)
    side.end(folder, of, found, signers, baseline=base and side.read(base))
    return folder


def after_of(base, folder, found, **changes):
    return side_of(folder, found, base=base, **changes)


def outcomes(base, after):
    found = judge(side.read(base), side.read(after), after, {"name": "t"})
    return found, {gate.gate.removeprefix("upgrade."): gate for gate in found.gates}


@pytest.fixture
def base(tmp_path):
    return side_of(tmp_path / "base", measured(1))


def test_one_version_beside_itself_passes_again_and_again(base, tmp_path):
    for seed in range(2, 7):
        found, gates = outcomes(base, after_of(base, tmp_path / str(seed), measured(seed)))
        assert found.verdict is Outcome.PASS, {name: gate.reason for name, gate in gates.items()}
        assert len(gates) == 13


@pytest.mark.parametrize(
    ("planted", "red"),
    [
        ({"slower": ["search"]}, "search"),
        ({"slower": ["upsert"]}, "upsert"),
        ({"slower": ["cold search"]}, "cold"),
        ({"overlap": [0.9, 0.9] * 100}, "recall"),
        ({"wrong": 1}, "answers"),
        ({"failed": {"insert": 1}}, "requests"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_planted_regression_turns_its_own_gate_red_and_no_other(base, tmp_path, planted, red):
    found, gates = outcomes(base, after_of(base, tmp_path / "after", measured(2, **planted)))
    assert found.verdict is Outcome.FAIL
    assert [name for name, gate in gates.items() if gate.outcome is not Outcome.PASS] == [red]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"held": without(HELD, 3)}, "1 rows are missing; first keys: 3"),
        ({"indexes": {"v": {"index_type": "HNSW", "M": "8"}}}, "indexes.v.M was '16', now '8'"),
        ({"not_read": "it is not loaded"}, "docs was served before, and now: it is not loaded"),
        ({"served": False}, "docs was served before, and now: it was loaded for the manifest"),
    ],
    ids=["lost rows", "changed index", "not served", "loaded by the kit"],
)
def test_what_the_database_lost_fails_with_its_first_key(base, tmp_path, change, said):
    found, gates = outcomes(base, after_of(base, tmp_path / "after", measured(2), **change))
    assert found.verdict is Outcome.FAIL
    assert [name for name, gate in gates.items() if gate.outcome is Outcome.FAIL] == ["data"]
    assert said in gates["data"].reason


def test_deletes_that_came_back_fail(tmp_path):
    base = side_of(tmp_path / "base", measured(1), held=without(HELD, 3))
    _, gates = outcomes(base, after_of(base, tmp_path / "after", measured(2)))
    assert "1 rows were not there before; first keys: 3" in gates["data"].reason


def test_a_stack_that_is_too_noisy_is_not_judged_however_slow_it_became(tmp_path):
    base = side_of(tmp_path / "base", measured(1, scatter=0.3))
    found, gates = outcomes(
        base, after_of(base, tmp_path / "after", measured(2, slower=["search"]))
    )
    assert gates["search"].outcome is Outcome.INCONCLUSIVE
    assert "too noisy" in gates["search"].reason
    assert found.verdict is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("control", [1.5, 1 / 1.5], ids=["slower", "faster"])
def test_another_host_is_not_called_another_milvus(base, tmp_path, control):
    _, gates = outcomes(
        base, after_of(base, tmp_path / "a", measured(2, slower=["search"], control=control))
    )
    assert gates["search"].outcome is Outcome.INCONCLUSIVE
    assert "the control (null server)" in gates["search"].reason
    assert gates["flush"].outcome is Outcome.PASS  # which has the store for its control


def test_a_starved_client_is_not_called_a_slow_milvus(base, tmp_path):
    after = measured(2, slower=["search"], void={"search": "starved"})
    _, gates = outcomes(base, after_of(base, tmp_path / "a", after))
    assert gates["search"].outcome is Outcome.INCONCLUSIVE
    assert "the client was the bottleneck after: starved" in gates["search"].reason


def controls(*kept, **changed):
    made = {name: rounds for name, rounds in measured(3).controls.items() if name in kept}
    return {**made, **changed}


BROKEN = controls(NULL, s3=[[np.inf]] * 20)


@pytest.mark.parametrize(
    ("before", "after", "name", "said"),
    [
        ({}, {"controls": controls(NULL)}, "flush", "the control (s3) was measured before alone"),
        (
            {"controls": controls(STORE)},
            {},
            "search",
            "the control (null server) was measured after alone",
        ),
        ({"void": {NULL: "starved"}}, {}, "search", "of the control (null server) before"),
        ({}, {"controls": BROKEN}, "load", "the control (s3) failed after"),
        ({"controls": BROKEN}, {}, "load", "the control (s3) failed before"),
        ({}, {"changed": "segments of docs changed"}, "search", "after: segments of docs changed"),
        ({"changed": "segments of docs changed"}, {}, "load", "before: segments of docs changed"),
    ],
)
def test_a_control_that_tells_nothing_and_a_server_that_did_not_rest_let_nothing_be_judged(
    tmp_path, before, after, name, said
):
    base = side_of(tmp_path / "base", measured(1, **before))
    found, gates = outcomes(base, after_of(base, tmp_path / "after", measured(2, **after)))
    assert gates[name].outcome is Outcome.INCONCLUSIVE
    assert said in gates[name].reason
    assert found.verdict is Outcome.INCONCLUSIVE


def test_where_there_is_no_store_the_evidence_says_that_there_is_no_control(tmp_path):
    base = side_of(tmp_path / "base", measured(1, controls=controls(NULL)))
    found, gates = outcomes(
        base, after_of(base, tmp_path / "after", measured(2, controls=controls(NULL)))
    )
    assert gates["flush"].outcome is Outcome.PASS
    said = {
        one.labels["of"]: one.evidence["control"]
        for one in found.observations
        if one.metric == SLOWDOWN
    }
    assert said["search"] == NULL
    assert said["flush"] == f"none: {NO_CONTROL}"


def test_rules_without_margins_are_judged_too(tmp_path):
    def counts_alone(rules):
        for gate in [gate for gate, rule in rules.items() if rule["max"]]:
            del rules[gate]

    own = plan_for(TARGET, rules_file(tmp_path, counts_alone), rounds=20, seed=1, rows=100, dim=4)
    base = side_of(tmp_path / "base", measured(1), of=own)
    found, _ = outcomes(base, after_of(base, tmp_path / "after", measured(2), of=own))
    assert found.verdict is Outcome.PASS


@pytest.mark.parametrize(
    ("changes", "manifest", "said"),
    [
        ({"wrong": 2}, {}, "2 answers are wrong already"),
        ({"failed": {"load": 1}}, {}, "1 requests failed already (load)"),
        ({"void": {"search": "starved"}}, {}, "the client was the bottleneck (search): starved"),
        ({"changed": "segments of a changed"}, {}, "did not rest while it was measured: segments"),
        ({}, {"access_not_read": "denied"}, "users and roles were not read: denied"),
        ({}, {"not_read": "it is not loaded"}, "not read, so that nothing vouches for it: docs"),
        ({}, {"counted": 999}, "docs, partition _default: the server counts 999 rows and returned"),
    ],
)
def test_a_baseline_says_what_lets_a_comparison_prove_nothing(tmp_path, changes, manifest, said):
    assert list(commands.unjudged(side.read(side_of(tmp_path / "a", measured(1))))) == []
    base = side.read(side_of(tmp_path / "base", measured(1, **changes), **manifest))
    (text,) = commands.unjudged(base)
    assert said in text


def test_what_is_advisory_lets_no_baseline_be_inconclusive(tmp_path):
    def advise(rules):
        for rule in rules.values():
            rule["required"] = not rule["metric"].endswith("slowdown")

    own = plan_for(TARGET, rules_file(tmp_path, advise), rounds=20, seed=1, rows=100, dim=4)
    busy = {"void": {"search": "starved", NULL: "starved"}, "changed": "segments of a changed"}
    noisy = measured(1, scatter=1.0, **busy)
    base = side.read(side_of(tmp_path / "base", noisy, of=own))
    assert list(commands.unjudged(base)) == []
    assert commands._say_noise(base, Progress(quiet=True))
    strict = side.read(side_of(tmp_path / "strict", noisy))
    assert len(list(commands.unjudged(strict))) == 3
    assert not commands._say_noise(strict, Progress(quiet=True))


@pytest.mark.parametrize(
    ("target", "server", "outcome", "said"),
    [
        ({"milvus": {"version": "2.3.3"}}, "v2.3.3", "passed", ""),
        ({"milvus": {"version": None}}, "v2.3.3", "skipped", "not declared"),
        ({"milvus": {"version": "2.3.3"}}, "unknown", "skipped", "does not say which version"),
        ({"name": "t"}, "v2.3.3", "skipped", "no server was asked"),
    ],
)
def test_a_version_that_nobody_declared_or_asked_is_not_said_to_run(
    tmp_path, target, server, outcome, said
):
    base = side_of(tmp_path / "base", measured(1))
    after = after_of(base, tmp_path / "after", measured(2, server=server))
    (check,) = judge(side.read(base), side.read(after), after, target).checks
    assert (check.outcome, said in check.message) == (outcome, True)


def test_a_server_that_cannot_be_measured_any_more_never_passes(base, tmp_path):
    gone = Measured(server="v2.3.5", waited="mk_upgrade_rows is gone")
    found, gates = outcomes(base, after_of(base, tmp_path / "a", gone))
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "mk_upgrade_rows is gone" in gates["search"].reason


def test_an_operation_that_mostly_fails_after_is_slower_than_any_margin(base, tmp_path):
    after = measured(2)
    after.rounds["load"] = [[np.inf]] * 20
    after.rounds["flush"][3] = [np.inf]
    _, gates = outcomes(base, after_of(base, tmp_path / "a", after))
    assert gates["load"].outcome is Outcome.FAIL
    assert gates["flush"].outcome is Outcome.INCONCLUSIVE


def test_a_baseline_whose_own_requests_failed_judges_no_requests(tmp_path):
    base = side_of(tmp_path / "base", measured(1, failed={"search": 2}))
    _, gates = outcomes(base, after_of(base, tmp_path / "a", measured(2, failed={"search": 3})))
    assert gates["requests"].outcome is Outcome.INCONCLUSIVE


def rules_file(folder, change):
    document = yaml.safe_load((STACKS / "upgrade.slo.yaml").read_text())
    change(document["rules"])
    path = folder / "own.slo.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(one) for one in arguments])
    return ended.value.code


def test_the_command_judges_two_stored_sides_and_ends_with_the_verdict(base, tmp_path, capsys):
    good = after_of(base, tmp_path / "good", measured(2))
    bad = after_of(base, tmp_path / "bad", measured(2, slower=["search"]))
    assert command("compare", base, good) == ExitCode.PASS
    assert command("compare", base, bad) == ExitCode.FAIL
    assert "upgrade.search" in capsys.readouterr().out
    assert json.loads((bad / "results.json").read_text())["verdict"] == "fail"
    assert command("compare", base) == ExitCode.USAGE
    assert command("compare", base, good, "-o", tmp_path) == ExitCode.USAGE
    assert command("compare", tmp_path, good) == ExitCode.USAGE
