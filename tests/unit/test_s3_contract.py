"""What a preflight is told, and what follows from findings alone."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from rich.console import Console

from validation.common.resources import STACKS_VARIABLE, in_stacks
from validation.errors import ConfigurationError, UsageError
from validation.runs.profiles import profile_named
from validation.s3.client.checksums import checksum, content_md5
from validation.s3.client.endpoint import Keys, endpoint_of
from validation.s3.client.signing import Payload, Signer, encoded_path, framed
from validation.s3.conformance.model import Need
from validation.s3.conformance.runner import Finding
from validation.s3.conformance.table import CHECKS
from validation.s3.preflight import console, contract
from validation.s3.preflight.contract import Options
from validation.s3.preflight.decisions import decide
from validation.s3.preflight.profile import compose, judged, load, name_in_stack
from validation.s3.preflight.reach import Reached
from validation.s3.workspace import Effort
from validation.target import Storage, Wal
from validation.verdicts.intervals import share_missed
from validation.verdicts.verdict import Outcome

STORAGE = Storage(provider="s3", endpoint="http://store:9000", bucket="milvus")


def finding(name="objects.body", outcome=Outcome.PASS, *, need=Need.MILVUS, applies=True):
    return Finding(
        id=name,
        title="",
        by="",
        breaks="",
        need=need,
        outcome=outcome,
        applies=applies,
        reason="because",
    )


def everything(**changed):
    """Return a finding of each check, all passed but for some."""
    return [
        finding(one.id, changed.get(one.id, Outcome.PASS), need=one.need)
        for one in CHECKS
        if changed.get(one.id, "") is not None
    ]


# --- which log, and how sure


def raced(races, **changed):
    return [
        one.model_copy(update={"evidence": {"races": races}}) if one.id.endswith("race") else one
        for one in everything(**changed)
    ]


def test_the_default_number_of_races_finds_one_violation_in_fifty_with_95_percent():
    for races in (Effort().races, profile_named("acceptance").store_races):
        assert share_missed(1 / 50, races) <= 0.05


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (raced(149), "log: woodpecker-embedded is allowed: all"),
        (raced(149), "two won none of 149 races"),
        (raced(149), "of stores where two win 1 race in 50, 5% would be missed"),
        (raced(20), "67% would be missed"),
        (raced(149, **{"conditional.race": Outcome.FAIL}), "embedded Woodpecker is unsafe here"),
        (raced(149, **{"conditional.race": None}), "embedded Woodpecker is not shown to be safe"),
    ],
)
def test_the_last_line_says_which_log_is_allowed_and_what_would_have_been_missed(findings, said):
    shown = io.StringIO()
    profile = compose(STORAGE, Reached("", ()), findings, seconds=0.0)
    console.conclude(profile, Path("p.json"), Console(file=shown, width=900, soft_wrap=True))
    last = shown.getvalue().splitlines()[-1]
    assert said in last
    assert last.split()[1].rstrip(":") == "pass"


# --- checksums and signatures: published check values


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("crc64nvme", "ae8b14860a799888"),
        ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    ],
)
def test_checksums_have_their_published_values(algorithm, value):
    assert base64.b64decode(checksum(algorithm, b"123456789")).hex() == value


def test_content_md5_is_the_digest_in_base64():
    assert content_md5(b"") == "1B2M2Y8AsgTpgAmY7PhCfg=="


def test_signatures_agree_with_an_independent_implementation():
    request = AWSRequest("GET", "http://store:9000/milvus/a%20b%2Bc?list-type=2&prefix=x%2Fy")
    S3SigV4Auth(Credentials("AK", "SK"), "s3", "us-east-1").add_auth(request)
    stamp = request.headers["X-Amz-Date"]
    signer = Signer(
        Keys("AK", "SK"),
        "us-east-1",
        datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    headers = {
        "host": "store:9000",
        "x-amz-date": stamp,
        "x-amz-content-sha256": request.headers["X-Amz-Content-SHA256"],
    }
    query = {"list-type": "2", "prefix": "x/y"}
    authorization, _ = signer.sign("GET", encoded_path("/milvus/a b+c"), query, headers)
    assert authorization == request.headers["Authorization"]


def test_a_framed_body_holds_its_chunks_and_ends_with_an_empty_one():
    signer = Signer(Keys("AK", "SK"), "us-east-1")
    body = framed(signer, "0" * 64, [b"abc", b"d"], payload=Payload.UNSIGNED_TRAILER, trailer="t:v")
    assert body == b"3\r\nabc\r\n1\r\nd\r\n0\r\nt:v\r\n\r\n"


def test_keys_do_not_show_themselves():
    assert "very-secret" not in repr(Keys("access", "very-secret"))


# --- where the contract comes from


def chosen(options: Options = Options(), **given: Any):  # noqa: B008  (frozen)
    store = dict.fromkeys(("target", "stack", "endpoint")) | given
    return contract.chosen(**store, options=options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "exactly one of"),
        ({"endpoint": "http://h:1", "stack": "prod"}, "exactly one of"),
        ({"endpoint": "http://h:1"}, "--endpoint needs --bucket"),
    ],
)
def test_exactly_one_store_has_to_be_named(given, said):
    with pytest.raises(UsageError, match=said):
        chosen(**given)


def test_a_wrong_provider_is_named():
    with pytest.raises(ConfigurationError, match="provider"):
        chosen(Options(bucket="b", provider="nas"), endpoint="http://h:1")


def test_the_addressing_of_an_endpoint_is_an_option():
    storage, _ = chosen(Options(bucket="b", addressing="virtual"), endpoint="http://h:1")
    assert storage.addressing == "virtual"
    with pytest.raises(UsageError, match="--addressing"):
        chosen(Options(bucket="b", addressing="host"), endpoint="http://h:1")


@pytest.mark.parametrize(
    ("urls", "performance", "said"),
    [
        (["http://h:2"], False, "for their speed alone"),
        (["http://h:2", "h:3"], True, "--more-endpoint.*not a URL"),
    ],
)
def test_further_endpoints_are_held_against_their_form_and_use(urls, performance, said):
    with pytest.raises(UsageError, match=said):
        contract.more_endpoints(STORAGE, urls, performance=performance)
    assert contract.more_endpoints(STORAGE, ["http://h:2"], performance=True) == ("http://h:2",)
    assert contract.more_endpoints(STORAGE, (), performance=False) == ()


def test_a_target_without_storage_is_named(tmp_path):
    path = tmp_path / "target.yaml"
    path.write_text("schema: milvus-kit/target/1\nname: t\nmilvus: {uri: 'http://h:1'}\n")
    with pytest.raises(ConfigurationError, match="declares no storage"):
        chosen(target=path)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({"stack": "prod"}, Options(bucket="other", region="eu"), "--bucket --region"),
        ({"target": Path("t.yaml")}, Options(ca_file=Path("ca.pem")), "--ca-file"),
        ({"target": Path("t.yaml")}, Options(secret_key_env="S"), "--secret-key-env"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(given, options, said):
    with pytest.raises(UsageError, match=said):
        chosen(options, **given)


STACK = """
config:
  milvus-kit:environment: dev
  milvus-kit:kubernetes: {provider: existing, createNamespace: false}
  milvus-kit:storage: %s
  milvus-kit:milvus: {version: 3.0.0, mode: standalone}
  milvus-kit:log: {type: woodpecker, mode: embedded}
"""


@pytest.fixture
def stack(tmp_path, monkeypatch):
    monkeypatch.setenv(STACKS_VARIABLE, str(tmp_path))

    def write(storage: str) -> None:
        (tmp_path / "Pulumi.site.yaml").write_text(STACK % storage)

    return write


def test_a_stacks_storage_settings_are_used(stack):
    stack(
        "{type: s3, endpoint: 'http://h:9', bucket: vectors, rootPath: data, encryption: AES256,"
        " credentials: {existingSecret: {name: s3}}}"
    )
    storage, wal = contract.of_stack("site", Options())
    assert (storage.endpoint, storage.bucket, storage.root_path) == (
        "http://h:9",
        "vectors",
        "data",
    )
    assert (storage.encryption, wal) == ("AES256", Wal.WOODPECKER_EMBEDDED)


IN_THE_CLUSTER = (
    "{type: s3, endpoint: 'https://h:9', bucket: vectors,"
    " ca: {existingSecret: {name: ca, key: ca.crt}}, credentials: {existingSecret: {name: s3}}}"
)


def test_a_stacks_ca_that_is_in_the_cluster_is_asked_for(stack):
    stack(IN_THE_CLUSTER)
    with pytest.raises(ConfigurationError, match=r"(?s)storage\.ca\.existingSecret.*--ca-file"):
        contract.of_stack("site", Options())


def test_a_stacks_ca_may_be_given_as_a_file(stack, tmp_path):
    stack(IN_THE_CLUSTER)
    storage, _ = contract.of_stack("site", Options(ca_file=tmp_path / "ca.pem"))
    assert storage.tls.ca_file == tmp_path / "ca.pem"


def test_a_stack_that_makes_its_own_store_has_none_to_test_yet(stack):
    stack("{type: minio}")
    with pytest.raises(ConfigurationError, match="makes its MinIO itself"):
        contract.of_stack("site", Options())


def test_an_unknown_stack_is_named(stack):
    del stack
    with pytest.raises(ConfigurationError, match=r"Pulumi\.absent\.yaml"):
        contract.of_stack("absent", Options())


@pytest.mark.parametrize(
    ("endpoint", "netloc"),
    [
        ("http://h", "h"),
        ("http://h:9000", "h:9000"),
        ("https://h:443", "h"),
        ("https://[::1]:9000", "[::1]:9000"),
    ],
)
def test_the_host_header_leaves_out_the_schemes_own_port(endpoint, netloc):
    assert endpoint_of(STORAGE.model_copy(update={"endpoint": endpoint})).netloc == netloc


def test_a_file_that_is_no_profile_is_named(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text('{"schema": "other"}')
    with pytest.raises(ConfigurationError, match="no profile of schema milvus-kit/s3-profile/1"):
        load(path)


# --- verdict and decisions


def test_nothing_measured_is_never_a_pass():
    assert judged([])[0] is Outcome.INCONCLUSIVE


def test_a_required_check_that_was_not_run_leaves_the_verdict_open():
    outcome, reason = judged(everything(**{"objects.body": None}))
    assert outcome is Outcome.INCONCLUSIVE
    assert "objects.body" in reason


@pytest.mark.parametrize(
    ("name", "outcome", "applies", "wal", "verdict"),
    [
        ("objects.body", Outcome.PASS, True, None, Outcome.PASS),
        ("objects.body", Outcome.FAIL, True, None, Outcome.FAIL),
        ("objects.body", Outcome.NOT_MEASURED, True, None, Outcome.INCONCLUSIVE),
        ("tls.trusted", Outcome.NOT_MEASURED, False, None, Outcome.PASS),
        ("integrity.crc32", Outcome.FAIL, True, None, Outcome.PASS),
        ("protection.encryption", Outcome.FAIL, True, None, Outcome.FAIL),
        ("protection.encryption", Outcome.NOT_MEASURED, True, None, Outcome.INCONCLUSIVE),
        ("conditional.race", Outcome.FAIL, True, None, Outcome.PASS),
        ("conditional.race", Outcome.FAIL, True, Wal.WOODPECKER_EMBEDDED, Outcome.FAIL),
        ("conditional.race", Outcome.FAIL, True, Wal.KAFKA, Outcome.PASS),
    ],
)
def test_only_what_is_needed_decides(*, name, outcome, applies, wal, verdict):
    (need,) = [one.need for one in CHECKS if one.id == name]
    changed = finding(name, outcome, need=need, applies=applies)
    assert judged([*everything(**{name: None}), changed], wal)[0] is verdict


@pytest.mark.parametrize(
    ("changed", "woodpecker"),
    [
        ({}, "safe"),
        ({"conditional.race": Outcome.FAIL}, "unsafe"),
        ({"conditional.race": Outcome.NOT_MEASURED}, "unknown"),
        ({"conditional.versioned": Outcome.FAIL}, "safe"),
        ({"consistency.list-after-write": Outcome.FAIL}, "unsafe"),
        ({"objects.metadata": Outcome.FAIL}, "unsafe"),
        ({"listing.default-page": Outcome.FAIL}, "unsafe"),
        ({"integrity.signed-payload": Outcome.FAIL}, "unsafe"),
        ({"consistency.read-after-miss": Outcome.NOT_MEASURED}, "unknown"),
        ({"conditional.multipart-race": Outcome.FAIL}, "safe"),  # it sends no such request
        ({"conditional.large-block": Outcome.FAIL}, "safe"),
        ({"conditional.detection": Outcome.FAIL}, "unsafe"),
        ({"objects.key-slashes": Outcome.FAIL}, "safe"),
        ({one.id: None for one in CHECKS if one.id.startswith("conditional.")}, "unknown"),
    ],
)
def test_woodpecker_is_proposed_only_where_every_rule_it_needs_was_seen_to_hold(
    changed, woodpecker
):
    decisions = decide(STORAGE, everything(**changed))
    assert decisions.woodpecker == woodpecker
    embedded = {"type": "woodpecker", "mode": "embedded"}
    assert (decisions.stack["milvus-kit:log"] == embedded) == (woodpecker == "safe")


def of_log(**evidence):
    """Return findings of which the races, and those named, are broken."""
    race = finding("conditional.race", Outcome.FAIL, need=Need.WOODPECKER)
    race = race.model_copy(update={"reason": "2 of 16 writers won race 1", "evidence": evidence})
    return [race, *everything(**{"conditional.race": None})]


def test_rows_are_said_to_be_in_danger_only_where_that_was_seen():
    lost = decide(STORAGE, of_log(lost=True)).wal.reason
    assert "could lose rows: conditional.race (2 of 16 writers won race 1)" in lost
    assert "could lose rows" not in decide(STORAGE, of_log()).wal.reason
    undetected = finding("conditional.detection", Outcome.FAIL, need=Need.WOODPECKER)
    kept = [one for one in of_log(lost=True) if one.id != "conditional.detection"]
    reason = decide(STORAGE, [*kept, undetected]).wal.reason
    assert "could lose rows" not in reason  # who does not find conditions holds locks instead
    assert "goes on with locks in etcd after about a minute, set to enable it panics" in reason


def test_a_log_that_is_safe_says_up_to_what_rate_that_was_looked_for():
    races = [
        finding(f"conditional.{name}", need=Need.WOODPECKER).model_copy(
            update={"evidence": {"races": count}}
        )
        for name, count in (("race", 149), ("fence-race", 20))
    ]
    names = {one.id: None for one in races}
    reason = decide(STORAGE, [*everything(**names), *races]).wal.reason
    assert "two won none of 20 races, so fewer than 13.9% of all (95 %)" in reason


def test_a_store_that_damages_default_checksums_gets_them_switched_off():
    decisions = decide(STORAGE, everything(**{"integrity.unsigned-trailer": Outcome.FAIL}))
    assert decisions.checksums.choice == "when_required"
    assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required" in decisions.checksums.reason


def test_virtual_host_style_is_proposed_only_where_path_style_does_not_work():
    assert decide(STORAGE, everything()).addressing.choice == "path"
    broken = everything(**{"addressing.path": Outcome.FAIL})
    assert decide(STORAGE, broken).addressing.choice == "virtual"


def test_the_spelling_of_an_endpoint_and_a_root_path_is_that_of_stacks():
    spelled = {"endpoint": "http://h:9/", "root_path": "/files/"}
    storage = Storage.model_validate({**STORAGE.model_dump(), **spelled})
    section = decide(storage, everything()).stack["milvus-kit:storage"]
    assert (section["endpoint"], section["rootPath"]) == ("http://h:9", "files")
    recorded = compose(storage, Reached("", ()), everything(), seconds=0.0).storage
    assert (recorded["endpoint"], recorded["root_path"]) == ("http://h:9", "files")


@pytest.mark.parametrize(
    ("declared", "pasted"),
    [
        (None, "embedded"),
        (Wal.WOODPECKER_EMBEDDED, "embedded"),
        (Wal.WOODPECKER_SERVICE, None),
        (Wal.KAFKA, None),
    ],
)
def test_a_log_that_was_chosen_is_not_replaced_by_another(declared, pasted):
    stack = decide(STORAGE, everything(), declared).stack
    assert stack.get("milvus-kit:log", {}).get("mode") == pasted


def test_http_is_accepted_in_what_is_pasted_and_https_needs_no_word_of_it():
    assert "allowInsecure: true # data and keys" in decide(STORAGE, everything()).yaml()
    secure = STORAGE.model_copy(update={"endpoint": "https://h:9"})
    assert "allowInsecure" not in decide(secure, everything()).yaml()


def test_many_rules_that_were_not_measured_for_one_reason_are_told_by_it():
    outcome, reason = judged([])
    assert outcome is Outcome.INCONCLUSIVE
    assert len(reason) < 200
    outcome, reason = judged(everything(**{"objects.body": Outcome.FAIL}))
    assert reason == "1 required rule is broken: objects.body"


@pytest.mark.parametrize("folder", ["stacks", "profiles"])
def test_a_profile_is_named_as_a_stack_finds_it(tmp_path, monkeypatch, folder):
    monkeypatch.delenv(STACKS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / folder / "prod.s3.json"
    path.parent.mkdir()
    path.touch()
    named = name_in_stack(Path(folder) / "prod.s3.json")
    assert named == ("prod.s3.json" if folder == "stacks" else str(path))
    assert in_stacks(named) == path


def test_each_check_says_who_needs_it_and_what_breaks():
    assert len({one.id for one in CHECKS}) == len(CHECKS) > 70
    for one in CHECKS:
        assert one.by, one.id
        assert one.breaks, one.id
        assert one.title[0].isupper(), one.id
