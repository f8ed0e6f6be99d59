"""What no comparison is made of: sides, baselines and rules, each refused with what is wrong."""

import json
import shutil

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.test_upgrade_sides import (
    STACKS,
    TARGET,
    after_of,
    command,
    measured,
    outcomes,
    plan,
    rules_file,
    side_of,
)
from validation.certificate import envelopes, keys
from validation.errors import ConfigurationError, ExitCode, UsageError
from validation.target import Milvus, Role, Target
from validation.upgrade import commands, side
from validation.upgrade.judging import why_not_declared
from validation.upgrade.measuring import STORE
from validation.upgrade.plan import plan_for
from validation.upgrade.side import ROUNDS, SEAL, Measured
from validation.verdicts.verdict import Outcome


@pytest.fixture
def base(tmp_path):
    return side_of(tmp_path / "base", measured(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made.rounds.pop("load"), "0 rounds of load, and 20 were planned"),
        (lambda made: made.rounds["load"].pop(), "19 rounds of load"),
        (lambda made: made.rounds["load"].__setitem__(3, []), "a round of load holds no latency"),
        (lambda made: made.rounds["load"].__setitem__(3, [np.nan]), "a round of load holds"),
        (lambda made: made.controls[STORE].clear(), "0 rounds of s3"),
        (lambda made: made.overlap.pop(), "the recall of 199 queries, and 200 were planned"),
    ],
)
def test_a_side_that_lacks_what_is_judged_is_refused_with_what(tmp_path, change, said):
    made = measured(1)
    change(made)
    with pytest.raises(ConfigurationError, match=said):
        side.read(side_of(tmp_path / "base", made))


def test_stored_sides_of_another_kit_are_refused(tmp_path):
    older = plan(kit_version="0.0.1")
    base = side_of(tmp_path / "base", measured(1), of=older)
    after = after_of(base, tmp_path / "after", measured(2), of=older)
    with pytest.raises(ConfigurationError, match="another kit version"):
        commands.compare_stored(side.read(base), after, ())


def test_a_baseline_of_which_nothing_was_measured_is_none(tmp_path):
    base = side_of(tmp_path / "base", Measured(server="v2.3.3", waited="it was gone"))
    with pytest.raises(ConfigurationError, match="nothing was measured of this baseline"):
        outcomes(base, base)


def test_sides_of_different_plans_are_refused(base, tmp_path):
    wider = plan()
    rules = [
        rule.model_copy(update={"max": 9.0}) if rule.max and rule.max > 1 else rule
        for rule in wider.rules
    ]
    other = wider.model_copy(update={"rules": tuple(rules)})
    after = after_of(base, tmp_path / "after", measured(2), of=other)
    with pytest.raises(ConfigurationError, match="different plans: rules, data, rounds"):
        outcomes(base, after)


def edited(folder, name, change):
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document))


def test_a_side_that_was_edited_or_cut_short_is_refused_with_what_was_changed(base):
    for name, what in ((ROUNDS, "rounds.json was changed"), ("manifest/manifest.json", "manifest")):
        whole = (base / name).read_text()
        edited(base, name, lambda document: document.update(server="v9"))
        with pytest.raises(ConfigurationError, match=what):
            side.read(base)
        (base / name).write_text(whole)
    (base / SEAL).unlink()
    with pytest.raises(ConfigurationError, match="cut short"):
        side.read(base)
    with pytest.raises(ConfigurationError, match="no baseline here"):
        side.read(base / "manifest")


def test_a_plan_of_other_margins_does_not_fit_the_seal_of_the_side(base, tmp_path):
    rules = [
        rule.model_copy(update={"max": 9.0}) if rule.max and rule.max > 1 else rule
        for rule in plan().rules
    ]
    side.begin(tmp_path / "other", plan().model_copy(update={"rules": tuple(rules)}), ())
    shutil.copy(tmp_path / "other" / side.PLAN, base / side.PLAN)
    with pytest.raises(ConfigurationError, match="its plan was changed after it was sealed"):
        side.read(base)


def test_a_signed_baseline_holds_for_its_key_alone(tmp_path, private_keys):
    (own, public), (_, other) = private_keys
    base = side_of(tmp_path / "base", measured(1), signers=[keys.signer(str(own))])
    side.read(base, [keys.public(public)])
    with pytest.raises(ConfigurationError, match="none of its 1 signatures"):
        side.read(base, [keys.public(other)])


@pytest.fixture
def private_keys(tmp_path):
    found = []
    for name in ("one", "two"):
        key = Ed25519PrivateKey.generate()
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        found.append((private, public))
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kit_version": "0.0.1"}, "another kit version"),
        ({"target": "other"}, "another target"),
        ({"topology": {**plan().topology, "roles": {"proxy": 3}}}, "another topology"),
    ],
    ids=["kit", "target", "topology"],
)
def test_a_baseline_of_something_else_is_refused(changes, said):
    plan().require_fits(TARGET)
    with pytest.raises(ConfigurationError, match=said):
        plan(**changes).require_fits(TARGET)


def test_roles_that_come_and_go_with_a_version_are_no_other_topology():
    roles = (*TARGET.milvus.roles, Role(name="streamingnode"))
    milvus = TARGET.milvus.model_copy(update={"roles": roles})
    plan().require_fits(TARGET.model_copy(update={"milvus": milvus}))


def test_a_baseline_of_other_data_is_refused():
    plan().dataset()
    with pytest.raises(ConfigurationError, match="generates other rows"):
        plan(data="0" * 32).dataset()


def test_rules_of_something_else_and_too_few_rounds_are_refused():
    with pytest.raises(ConfigurationError, match="so few rounds"):
        plan_for(TARGET, STACKS / "upgrade.slo.yaml", rounds=9, seed=1, rows=100, dim=4)
    with pytest.raises(ConfigurationError, match="not of a comparison"):
        plan_for(TARGET, STACKS / "local.slo.yaml", rounds=10, seed=1, rows=100, dim=4)


@pytest.mark.parametrize(
    ("gate", "change", "said"),
    [
        ("upgrade.data", None, "no required rule says that upgrade.differences is at most 0"),
        ("upgrade.answers", {"max": 1}, "upgrade.wrong_answers is at most 0"),
        ("upgrade.requests", {"required": False}, "upgrade.requests_failed is at most 0"),
        ("upgrade.data", {"where": {"target": "t"}}, "upgrade.differences is at most 0"),
        ("upgrade.data", {"server": "milvus-lite"}, "upgrade.differences is at most 0"),
        ("upgrade.search", {"where": {"of": "serch"}}, "nothing of a comparison is `of: serch`"),
        ("upgrade.search", {"where": {"target": "other"}}, "is `target: other`"),
        ("upgrade.recall", {"where": {"of": "search"}}, "is `of: search`"),
    ],
)
def test_rules_that_would_let_a_loss_pass_or_judge_nothing_are_refused(
    tmp_path, gate, change, said
):
    def changed(rules):
        rules.pop(gate) if change is None else rules[gate].update(change)

    with pytest.raises(ConfigurationError, match=said):
        plan_for(TARGET, rules_file(tmp_path, changed), rounds=10, seed=1, rows=100, dim=4)


def test_a_rule_of_every_operation_and_of_this_target_is_a_rule(tmp_path):
    def changed(rules):
        rules["upgrade.search"]["where"] = {"target": "t"}

    plan_for(TARGET, rules_file(tmp_path, changed), rounds=10, seed=1, rows=100, dim=4)


def test_a_folder_that_holds_something_is_not_measured_into(base):
    with pytest.raises(UsageError, match="something in this folder"):
        side.begin(base, plan(), ())


@pytest.mark.parametrize(
    ("declared", "running", "wrong"),
    [
        ("2.3.3", "v2.3.3-lite", False),
        ("2.3.5", "v2.3.3-lite", True),
        ("2.3", "v2.3.3", False),
        (None, "v2.3.3", False),
    ],
)
def test_the_declared_version_has_to_run(declared, running, wrong):
    target = Target(name="t", milvus=Milvus(uri="http://h:1", version=declared))
    assert bool(why_not_declared(target, running)) == wrong


def test_sides_in_the_wrong_order_or_of_another_baseline_are_refused(base, tmp_path, private_keys):
    after = after_of(base, tmp_path / "after", measured(2))
    twin = side_of(tmp_path / "twin", measured(3))
    for first, second, said in (
        (after, base, "this is the side that came after; give BASELINE first"),
        (after, after, "give BASELINE first"),
        (base, base, "this is a baseline, not the side that came after one"),
        (twin, after, "measured against another baseline"),
        (base, twin, "this is a baseline"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            outcomes(first, second)
    assert command("compare", base, base) == ExitCode.USAGE
    assert not (base / "results.json").exists()
    with pytest.raises(ConfigurationError, match="give BASELINE first"):
        commands.compare(side.read(after), TARGET, tmp_path / "third", ())
    ((own, _), _) = private_keys
    (envelope,) = envelopes.read(base / SEAL)
    envelopes.write([envelope.signed([keys.signer(str(own))])], base / SEAL)
    assert outcomes(base, after)[0].verdict is Outcome.PASS
