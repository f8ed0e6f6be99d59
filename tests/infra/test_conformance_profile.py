"""A stack is refused where its recorded S3 profile does not show what it relies on."""

import json

import pytest

from infra.settings import conformance
from infra.settings.storage import S3

RECORDED = {
    "endpoint": "http://h:9",
    "bucket": "vectors",
    "region": "us-east-1",
    "root_path": "files",
}


def _problems(folder, profile, declared=None, *, embedded=False):
    """Return what a stack beside this recorded profile is told."""
    (folder / "profile.json").write_text(json.dumps(profile), encoding="utf-8")
    document = {
        "type": "s3",
        "endpoint": "http://h:9",
        "bucket": "vectors",
        "credentials": {"existingSecret": {"name": "s3"}},
        "conformanceProfile": "profile.json",
        **(declared or {}),
    }
    return list(conformance.problems(S3.model_validate(document), embedded=embedded))


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return which keys of a stack are refused, with an outcome of virtual-host style recorded."""
    monkeypatch.setenv("MILVUS_KIT_STACKS", str(tmp_path))

    def keys(outcome: str, **declared: str) -> list[str]:
        profile = {
            "schema": conformance.SCHEMA,
            "storage": RECORDED,
            "verdict": "pass",
            "findings": [
                {"id": "addressing.path", "outcome": "pass"},
                {"id": "addressing.virtual-host", "outcome": outcome},
            ],
        }
        found = _problems(tmp_path, profile, declared)
        return [one.key for one in found]

    return keys


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("pass", []), ("fail", ["storage.addressing"]), ("not measured", ["storage.addressing"])],
)
def test_a_style_is_accepted_only_where_it_was_seen_to_work(refused, outcome, expected):
    assert refused(outcome, addressing="virtual") == expected
    assert refused(outcome, addressing="path") == []


@pytest.mark.parametrize("name", ["region", "rootPath"])
def test_a_profile_of_another_region_or_root_path_is_refused(refused, name):
    assert refused("pass") == []
    assert refused("pass", **{name: "other"}) == [conformance.KEY]


def finding(name, outcome, need="milvus", **more):
    return {"id": name, "outcome": outcome, "need": need, "reason": f"{name} said so", **more}


GOOD = [finding("addressing.path", "pass", "declared"), finding("objects.body", "pass")]
OPEN = finding("listing.paging", "not measured")
RED = finding("listing.paging", "fail")
LOG = finding("conditional.race", "not measured", "woodpecker")


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """Return what is said of a stack with these findings, verdict and decision on its record."""
    monkeypatch.setenv("MILVUS_KIT_STACKS", str(tmp_path))

    def said(findings, *, embedded=False, log="safe", **more):
        profile = {
            "schema": conformance.SCHEMA,
            "storage": RECORDED,
            "verdict": "pass",
            "reason": "the recorded reason",
            "findings": findings,
            "decisions": {"woodpecker": log, "wal": {"reason": "the log's reason"}},
            **more,
        }
        return _problems(tmp_path, profile, embedded=embedded)

    return said


def test_a_profile_that_shows_all_that_is_required_is_accepted(problems):
    absent = finding("tls.trusted", "not measured", applies=False)
    operation = finding("access.presigned", "fail", "operation")
    assert problems([*GOOD, absent, operation, LOG]) == []
    assert problems([*GOOD], embedded=True) == []


@pytest.mark.parametrize("verdict", ["inconclusive", "pass"])
def test_a_required_rule_that_was_not_measured_is_refused_with_reason_and_remedy(problems, verdict):
    (one,) = problems([*GOOD, OPEN], verdict=verdict)
    assert one.key == conformance.KEY
    assert "listing.paging said so" in str(one.what)
    assert "preflight" in one.remedy


@pytest.mark.parametrize("verdict", ["inconclusive", None, "not measured"])
def test_a_verdict_that_is_no_pass_is_refused_also_where_no_finding_says_why(problems, verdict):
    (one,) = problems(GOOD, verdict=verdict)
    assert "the recorded reason" in str(one.what)


@pytest.mark.parametrize("verdict", ["fail", "pass"])
def test_a_broken_rule_is_refused(problems, verdict):
    (one,) = problems([*GOOD, RED], verdict=verdict)
    assert "cannot carry Milvus: listing.paging" in str(one.what)
    assert [p.key for p in problems(GOOD, verdict="fail")] == [conformance.KEY]


@pytest.mark.parametrize("outcome", ["not measured", "fail", "inconclusive"])
def test_conditional_writes_left_open_matter_to_a_log_on_this_store_alone(problems, outcome):
    findings = [*GOOD, finding("conditional.race", outcome, "woodpecker")]
    verdict = "fail" if outcome == "fail" else "inconclusive"
    recorded = {"verdict": verdict, "declared_wal": "woodpecker-embedded", "log": "unknown"}
    assert problems(findings, **recorded) == []
    (one,) = problems(findings, embedded=True, **recorded)
    assert one.key == "log.mode"
    assert "the log's reason" in str(one.what)
    assert "preflight" in one.remedy


@pytest.mark.parametrize("verdict", ["fail", "inconclusive", None])
@pytest.mark.parametrize("outcome", [None, "pass"])
def test_a_verdict_that_no_rule_of_the_log_explains_is_not_passed_over(problems, verdict, outcome):
    of_log = [finding("conditional.race", outcome, "woodpecker")] if outcome else []
    recorded = {"verdict": verdict, "declared_wal": "woodpecker-embedded"}
    (one,) = problems([*GOOD, *of_log], **recorded)
    assert one.key == conformance.KEY
    assert "the recorded reason" in str(one.what)


def test_a_failed_verdict_is_not_explained_by_what_of_the_log_was_left_open(problems):
    (one,) = problems([*GOOD, LOG], verdict="fail", declared_wal="woodpecker-embedded")
    assert one.key == conformance.KEY


def test_a_stack_that_declares_encryption_wants_a_profile_that_looked_for_it(refused, monkeypatch):
    assert refused("pass", encryption="AES256") == [conformance.KEY]
    monkeypatch.setitem(RECORDED, "encryption", "AES256")
    assert refused("pass", encryption="AES256") == []
    assert refused("pass") == []


def test_a_profile_without_findings_shows_nothing(problems):
    recorded = {"verdict": "inconclusive", "declared_wal": "woodpecker-embedded"}
    assert conformance.KEY in [one.key for one in problems([], **recorded)]


@pytest.mark.parametrize(
    "mangled",
    [
        {"findings": "many"},
        {"findings": ["one"]},
        {"findings": [{**GOOD[0], "need": ["milvus"]}]},
        {"findings": [{**GOOD[0], "id": ["addressing.path"]}]},
        {"findings": [{**GOOD[0], "outcome": {}}]},
        {"decisions": []},
        {"decisions": {"woodpecker": ["safe"]}},
        {"decisions": {"checksums": {"choice": ["when_required"]}}},
        {"verdict": ["pass"]},
        {"declared_wal": {}},
        {"storage": "s3"},
    ],
    ids=str,
)
def test_a_mangled_profile_is_a_message(problems, mangled):
    findings = mangled.get("findings", GOOD)
    (one,) = problems(findings, **{k: v for k, v in mangled.items() if k != "findings"})
    assert "no profile of schema" in one.what


def test_a_decision_that_is_no_decision_is_a_message(problems):
    (one,) = problems(GOOD, decisions={"woodpecker": "safe", "addressing": "path"})
    assert "no profile of schema" in one.what


@pytest.mark.parametrize("document", [[], "profile", None, {"schema": conformance.SCHEMA, "x": 1}])
def test_what_is_no_profile_decides_nothing_of_checksums(tmp_path, document):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    stack = {"type": "s3", "endpoint": "http://h:9", "conformanceProfile": str(path)}
    assert conformance.checksums(S3.model_validate(stack)) is None


@pytest.mark.parametrize(
    ("name", "spelled"), [("endpoint", "http://h:9/"), ("root_path", "/files/")]
)
def test_a_slash_at_an_end_makes_no_other_store(refused, monkeypatch, name, spelled):
    monkeypatch.setitem(RECORDED, name, spelled)
    assert refused("pass") == []


@pytest.mark.parametrize("recorded", [7, None, ["http://h:9"]])
def test_an_endpoint_that_is_no_text_is_another(refused, monkeypatch, recorded):
    monkeypatch.setitem(RECORDED, "endpoint", recorded)
    assert refused("pass") == [conformance.KEY]


@pytest.mark.parametrize(
    ("trusted", "declared", "expected"),
    [
        ("ca-file", {}, ["storage.ca"]),
        ("ca-file", {"ca": {"existingSecret": {"name": "ca", "key": "ca.crt"}}}, []),
        ("system", {}, []),
        (None, {}, []),
    ],
)
def test_a_store_that_was_trusted_with_a_private_ca_wants_it_in_the_stack(
    tmp_path, monkeypatch, trusted, declared, expected
):
    monkeypatch.setenv("MILVUS_KIT_STACKS", str(tmp_path))
    profile = {
        "schema": conformance.SCHEMA,
        "storage": {**RECORDED, "endpoint": "https://h:9"},
        "verdict": "pass",
        "findings": GOOD,
        "decisions": {"tls": {"choice": trusted}} if trusted else {},
    }
    found = _problems(tmp_path, profile, {"endpoint": "https://h:9", **declared})
    assert [one.key for one in found] == expected
