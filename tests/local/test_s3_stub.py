"""Every conformance check can fail: for its own rule, and only for that."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import s3_servers
import s3_stub
from rich.console import Console

from validation.errors import UnreachableError
from validation.s3.client.endpoint import Keys
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import CHECKS, TABLE
from validation.s3.preflight import console, remains
from validation.s3.preflight.reach import reach
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Effort, Permissions, opened
from validation.verdicts.verdict import Outcome

EFFORT = Effort(
    listed_keys=12,
    page=5,
    large_bytes=300_000,
    part_bytes=20_000,
    parts=12,
    racers=3,
    races=2,
    versioned_races=1,
    consistency_rounds=8,
    retention_seconds=5,
)
PERMISSIONS = Permissions(
    versioned_bucket="versioned",
    backup_bucket="backup",
    other_bucket="tenant",
    bucket_creation="refused",
    prefix_isolation=True,
    outsider=s3_stub.OUTSIDER,
)
ELSEWHERE = {"addressing.virtual-host", "consistency.addresses"}
ABOUT_LOG = tuple(
    one
    for one in CHECKS
    if one.id.startswith(("conditional.", "consistency.", "objects.")) and "versioned" not in one.id
)
FAULTS = [c.id for c in CHECKS if not c.id.startswith("tls.") and c.id not in ELSEWHERE]


@pytest.fixture(scope="module")
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


@pytest.fixture
def storage(stub):
    stub.reset()
    stub.faults = set()
    yield s3_servers.storage(stub.endpoint, encryption="AES256")
    stub.faults = set()


def outcomes(storage, checks=CHECKS):
    left: list[str] = []
    reach(storage)
    with opened(storage, PERMISSIONS, EFFORT, leftovers=left) as space:
        findings = run(space, checks)
    return {finding.id: finding for finding in findings}, left


def red(findings):
    return {name for name, one in findings.items() if one.outcome is Outcome.FAIL}


def test_a_store_that_keeps_every_rule_passes_every_check(stub, storage):
    findings, left = outcomes(storage)
    assert {n: f.reason for n, f in findings.items() if f.outcome is Outcome.FAIL} == {}
    unmeasured = {n for n, f in findings.items() if f.outcome is Outcome.NOT_MEASURED}
    tls = {"tls.trusted", "tls.host-name", "tls.validity", "tls.protocol"}
    assert unmeasured == {*tls, "consistency.addresses"}
    assert left == []
    assert all(not bucket.objects and not bucket.uploads for bucket in stub.buckets.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_rule_turns_its_check_red(stub, storage, fault):
    stub.faults = {fault}
    findings, _ = outcomes(storage, [one for one in CHECKS if one.id == fault])
    assert findings[fault].outcome is Outcome.FAIL
    assert findings[fault].reason


def halves() -> list[list[str]]:
    """Return sets of faults such that each pair of faults is parted by some set, both ways."""
    bits = range(len(FAULTS).bit_length())
    return [
        [fault for number, fault in enumerate(FAULTS) if bool(number >> bit & 1) == chosen]
        for bit in bits
        for chosen in (True, False)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("faults", halves(), ids=lambda faults: f"{len(faults)}-from-{faults[0]}")
def test_no_check_turns_red_for_a_rule_that_is_not_its_own(stub, storage, faults):
    stub.faults = set(faults)
    # Waiting for a lock to run out takes seconds, so it is done where the lock is broken.
    lock = "protection.backup-lock"
    checks = [one for one in CHECKS if one.id != lock or lock in faults]
    findings, _ = outcomes(storage, checks)
    assert red(findings) == set(faults)


def test_a_store_that_checks_and_then_writes_loses_the_race_and_the_log(stub, storage):
    stub.faults = {"check, then write"}
    profile = preflight(storage, permissions=PERMISSIONS, effort=EFFORT, checks=ABOUT_LOG)
    assert profile.finding("conditional.detection").outcome is Outcome.PASS
    race, fence = (profile.finding(f"conditional.{one}") for one in ("race", "fence-race"))
    assert race.outcome is fence.outcome is Outcome.FAIL
    assert "of 3 writers won race 1" in race.reason
    assert fence.evidence["answers"] == [200, 200]
    assert profile.decisions.woodpecker == "unsafe"
    assert profile.decisions.stack["milvus-kit:log"]["mode"] == "service"


def test_names_that_a_store_lists_otherwise_are_not_told_as_rows_that_the_log_could_lose(
    stub, storage
):
    stub.faults = {"objects.key-characters"}
    profile = preflight(storage, permissions=PERMISSIONS, effort=EFFORT, checks=ABOUT_LOG)
    assert profile.finding("objects.key-characters").outcome is Outcome.FAIL
    assert "objects.key-characters (keys are listed under another" in profile.decisions.wal.reason
    assert "could lose rows" not in profile.decisions.wal.reason


def test_a_store_that_aborts_no_upload_breaks_that_rule_alone(storage, monkeypatch):
    delete = s3_stub.Operations.delete_object

    def refusing(self) -> None:
        if "uploadId" in self.query:
            raise s3_stub.S3Error(405, "MethodNotAllowed")
        delete(self)

    monkeypatch.setattr(s3_stub.Operations, "delete_object", refusing)
    findings, left = outcomes(storage, [one for one in CHECKS if one.id.startswith("multipart.")])
    assert red(findings) == {"multipart.abort"}
    assert {one.partition(" (")[2] for one in left} == {
        "an unfinished upload that is still listed)"
    }


@pytest.mark.parametrize(
    ("fault", "check", "outcome", "said"),
    [
        ("versions of all keys may be listed", "access.other-names", Outcome.FAIL, "LIST VERSIONS"),
        ("strangers are throttled", "access.unknown-key", Outcome.NOT_MEASURED, "too busy"),
        ("a tenant's bucket has a bad name", "access.other-bucket", Outcome.FAIL, "not refused"),
        ("whatever is there may be deleted", "access.other-prefix", Outcome.FAIL, "DELETE"),
        ("whatever is there may be read", "access.other-prefix", Outcome.FAIL, "GET"),
        ("no version can be deleted", "protection.backup-lock", Outcome.NOT_MEASURED, "after its"),
        ("deleting a version breaks", "protection.backup-lock", Outcome.FAIL, "answered 500"),
        ("no conditional completion", "conditional.multipart", Outcome.FAIL, "412"),
        ("no ETag", "multipart.out-of-order", Outcome.FAIL, "lacks 'ETag'"),
        ("an aborted upload can be completed", "multipart.abort", Outcome.FAIL, "was completed"),
        ("completions break", "multipart.wrong-part", Outcome.FAIL, "answered 500"),
        ("what is refused is answered with 500", "multipart.abort", Outcome.PASS, ""),
        ("what is refused is answered with 500", "multipart.wrong-part", Outcome.PASS, ""),
        ("what is refused is answered with 500", "integrity.tampered-chunk", Outcome.PASS, ""),
        ("no body in chunks is taken", "integrity.tampered-chunk", Outcome.NOT_MEASURED, "501"),
        ("no body in chunks is taken", "integrity.wrong-trailer", Outcome.NOT_MEASURED, "501"),
        ("multipart.wrong-part", "multipart.error-status", Outcome.NOT_MEASURED, "completed"),
        ("no link works", "access.presigned-expired", Outcome.NOT_MEASURED, "good links"),
        ("no link works", "access.presigned-tampered", Outcome.NOT_MEASURED, "good links"),
        ("completions are throttled", "multipart.wrong-part", Outcome.NOT_MEASURED, "too busy"),
        ("making buckets breaks", "bucket.creation", Outcome.FAIL, "answered 500"),
        ("there are too many buckets", "bucket.creation", Outcome.NOT_MEASURED, "want of room"),
    ],
)
def test_an_answer_that_only_looks_like_the_right_one_is_no_pass(
    stub, storage, *, fault, check, outcome, said
):
    stub.faults = {fault}
    findings, _ = outcomes(storage, [TABLE[check]])
    assert findings[check].outcome is outcome
    assert said in findings[check].reason


def test_a_store_that_makes_no_buckets_at_all_refuses_them_as_declared(stub, storage):
    stub.faults = {"no bucket is ever made"}
    findings, _ = outcomes(storage, [TABLE["bucket.creation"]])
    assert findings["bucket.creation"].outcome is Outcome.PASS
    assert findings["bucket.creation"].evidence == {"refused": "NotImplemented"}


@pytest.mark.parametrize("declared", ["allowed", "refused"])
def test_a_bucket_that_a_busy_store_made_all_the_same_was_allowed_and_is_removed(
    stub, storage, declared
):
    stub.faults = {"a bucket is made, and the answer is 503"}
    left: list[str] = []
    buckets = set(stub.buckets)
    with opened(storage, Permissions(bucket_creation=declared), EFFORT, leftovers=left) as space:
        (found,) = run(space, [TABLE["bucket.creation"]])
    assert found.outcome is {"allowed": Outcome.PASS, "refused": Outcome.FAIL}[declared]
    assert (set(stub.buckets), left) == (buckets, [])


def test_a_key_that_may_not_ask_for_settings_sees_by_a_write_whether_versions_are_kept(
    stub, storage
):
    stub.faults = {"settings are kept"}
    names = ("protection.milvus-unversioned", "protection.milvus-unlocked")
    checks = [TABLE[name] for name in names]
    seen = []
    for versioned in (False, True):
        stub.buckets["milvus"].versioned = versioned
        findings, _ = outcomes(storage, checks)
        seen.append(tuple(findings[name].outcome for name in names))
    assert seen == [(Outcome.PASS, Outcome.PASS), (Outcome.FAIL, Outcome.NOT_MEASURED)]


def test_a_store_that_names_each_write_and_keeps_the_last_has_no_versions(stub, storage):
    stub.faults = {"each write is told a version"}
    findings, _ = outcomes(storage, [TABLE["protection.milvus-unversioned"]])
    assert findings["protection.milvus-unversioned"].outcome is Outcome.PASS


def test_a_store_whose_completions_check_and_then_assemble_loses_their_race_and_not_the_log(
    stub, storage
):
    stub.faults = {"completions check, assemble for 50 ms, then write"}
    profile = preflight(storage, permissions=PERMISSIONS, effort=EFFORT, checks=ABOUT_LOG)
    broken = {one.id for one in profile.findings if one.outcome is Outcome.FAIL}
    assert "conditional.multipart-race" in broken
    assert broken <= {"conditional.multipart-race", "conditional.mixed-race"}
    assert profile.decisions.woodpecker != "unsafe"  # Woodpecker sends none of these


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("one listing of a hundred lags", "consistency.list-after-write"),
        ("one read of a hundred lags", "consistency.read-after-write"),
    ],
)
def test_a_store_that_is_late_one_time_in_a_hundred_is_caught_at_the_usual_effort(
    stub, storage, fault, rule
):
    stub.faults = {fault}
    checks = [one for one in CHECKS if one.id == rule]
    usual = Effort()
    with opened(storage, PERMISSIONS, usual) as space:
        (finding,) = run(space, checks)
    assert finding.outcome is Outcome.FAIL, finding.evidence
    assert 0 < finding.evidence["stale"] < finding.evidence["looks"] / 25
    assert finding.evidence["rounds"] == usual.consistency_rounds >= 300


def test_requests_that_fail_now_and_then_say_nothing_of_consistency_and_are_counted(stub, storage):
    stub.faults = {"one listing of ten breaks"}
    findings, _ = outcomes(storage, [TABLE["consistency.list-after-write"]])
    finding = findings["consistency.list-after-write"]
    assert finding.outcome is Outcome.PASS
    assert finding.evidence["answered_5xx"] > 0


def test_a_listing_that_always_fails_is_told_as_that_and_not_as_stale(stub, storage):
    stub.faults = {"listings break"}
    with pytest.raises(UnreachableError), opened(storage, PERMISSIONS, EFFORT):
        pass
    stub.faults = set()
    with opened(storage, PERMISSIONS, EFFORT) as space:
        stub.faults = {"listings break"}
        (finding,) = run(space, [TABLE["consistency.list-after-write"]])
        stub.faults = set()
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == "ListObjectsV2 answered 500 InternalError"
    assert finding.breaks == "ListObjectsV2 fails, and whether the rule is kept cannot be seen"
    assert "lost" not in finding.evidence


def test_a_race_says_how_many_violations_it_would_have_missed(storage):
    findings, _ = outcomes(storage, [TABLE["conditional.race"]])
    evidence = findings["conditional.race"].evidence
    assert evidence["answered"] == {"200": 2, "412": 4}
    assert evidence["two_winners_below"] == pytest.approx(1 - 0.05 ** (1 / 2), abs=1e-4)
    assert evidence["misses_1_in_50"] == pytest.approx(0.98**2, abs=1e-4)


def test_a_rule_that_held_every_time_says_how_often_it_may_not_hold(storage):
    findings, _ = outcomes(storage, [TABLE["consistency.read-after-delete"]])
    evidence = findings["consistency.read-after-delete"].evidence
    assert (evidence["stale"], evidence["looks"]) == (0, 2 * EFFORT.consistency_rounds)
    assert 0.15 < evidence["stale_rate_below"] < 0.25  # Wilson, 0 of 16


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("listing.v2-paging", "a page is as long as the store likes"),
        ("listing.v1-paging", "a page is as long as the store likes"),
    ],
)
def test_a_page_that_holds_more_than_was_asked_for_breaks_its_rule(stub, storage, rule, fault):
    stub.faults = {fault}
    findings, _ = outcomes(storage, [TABLE[rule]])
    assert findings[rule].outcome is Outcome.FAIL
    assert "more keys than asked for" in findings[rule].reason


@pytest.mark.parametrize("refused", ["crc64nvme", "sha1"])
def test_a_trailer_with_one_algorithm_that_a_store_refuses_is_named(storage, monkeypatch, refused):
    unframed = s3_stub.Handler._unframed

    def picky(self, payload):
        if refused in self.lower.get("x-amz-trailer", ""):
            raise s3_stub.S3Error(400, "InvalidRequest")
        return unframed(self, payload)

    monkeypatch.setattr(s3_stub.Handler, "_unframed", picky)
    checks = [one for one in CHECKS if one.id.startswith("integrity.")]
    findings, _ = outcomes(storage, checks)
    parts = {"integrity.cpp-parts"} if refused == "crc64nvme" else set()
    assert red(findings) == {"integrity.signed-trailer", "integrity.unsigned-trailer"} | parts
    assert findings["integrity.signed-trailer"].evidence == {"broken": [refused]}


@pytest.mark.parametrize("status", [500, 503])
def test_two_winners_are_a_double_win_whatever_a_third_writer_was_told(
    stub, storage, monkeypatch, status
):
    stub.faults = {"check, then write"}
    put, third = s3_stub.Operations.put_object, set()

    def failing(self):
        raced = self.key.rpartition("/")[2].startswith("race-")
        if raced and self.body == b"writer 0":
            third.add(self.key)
            raise s3_stub.S3Error(status, "InternalError" if status == 500 else "SlowDown")
        put(self)

    monkeypatch.setattr(s3_stub.Operations, "put_object", failing)
    findings, _ = outcomes(storage, [TABLE["conditional.race"]])
    assert third
    finding = findings["conditional.race"]
    assert (finding.outcome, finding.evidence["winners"]) == (Outcome.FAIL, 2)
    assert status in finding.evidence["answers"]


def garbage_time(self, one):
    return object_headers(self, one) | {"Last-Modified": "yesterday"}


def garbage_size(self, key, one):
    return entry(self, key, one).replace("<Size>", "<Size>x")


object_headers, entry = s3_stub.Operations._object_headers, s3_stub.Operations._entry


@pytest.mark.parametrize(
    ("method", "garbage", "rule"),
    [
        ("_object_headers", garbage_time, "objects.head"),
        ("_entry", garbage_size, "listing.attributes"),
    ],
)
def test_a_value_that_cannot_be_read_breaks_a_rule_and_ends_nothing(
    storage, monkeypatch, method, garbage, rule
):
    monkeypatch.setattr(s3_stub.Operations, method, garbage)
    profile = preflight(
        storage, effort=EFFORT, checks=(TABLE["bucket.head"], TABLE[rule], TABLE["bucket.missing"])
    )
    found = profile.finding(rule)
    assert found.outcome is Outcome.FAIL
    assert "cannot be read: ValueError" in found.reason
    others = {profile.finding(f"bucket.{name}").outcome for name in ("head", "missing")}
    assert others == {Outcome.PASS}


def test_a_date_that_cannot_be_read_breaks_the_rule_that_needs_it(storage, monkeypatch):
    answer = s3_stub.Handler.answer

    def undated(self, status=200, body=b"", headers=None):
        answer(self, status, body, {**(headers or {}), "Date": "now"})

    monkeypatch.setattr(s3_stub.Handler, "answer", undated)
    checks = [TABLE[name] for name in ("protection.backup-lock", "objects.head")]
    findings, _ = outcomes(storage, checks)
    assert red(findings) == {"protection.backup-lock"}
    assert "cannot be read" in findings["protection.backup-lock"].reason


def test_a_sweep_that_cannot_read_the_listing_says_so(storage, monkeypatch):
    delete_nothing(monkeypatch)
    monkeypatch.setattr(s3_stub.Operations, "_entry", garbage_size)
    left, space = left_by(storage, ("objects.zero-byte",))
    assert left == [f"milvus/{space.prefix} (it could not be listed)"]


def test_without_the_races_the_log_is_not_called_safe(storage):
    checks = [one for one in ABOUT_LOG if one.id != "conditional.race"]
    profile = preflight(storage, permissions=PERMISSIONS, effort=EFFORT, checks=tuple(checks))
    assert profile.decisions.woodpecker == "unknown"


@pytest.mark.parametrize("fault", ["access.presigned-tampered", ""])
def test_links_below_a_root_path_that_is_encoded_are_judged_alike(stub, storage, fault):
    stub.faults = {fault}
    here = storage.model_copy(update={"root_path": "files/of ours + yours"})
    checks = [TABLE[name] for name in ("access.presigned", "access.presigned-tampered")]
    findings, _ = outcomes(here, checks)
    assert red(findings) == {fault} - {""}


def delete_nothing(monkeypatch) -> None:
    for way in ("remove", "_delete_version"):
        monkeypatch.setattr(s3_stub.Operations, way, lambda _self, _name: None)


def forbidden(_self):
    raise s3_stub.S3Error(403, "AccessDenied")


def left_by(storage, checks, **permissions):
    """Return what checks leave behind."""
    left: list[str] = []
    with opened(storage, Permissions(**permissions), EFFORT, leftovers=left) as space:
        run(space, [TABLE[one] for one in checks])
    return left, space


def test_a_bucket_that_cannot_be_removed_again_is_told(stub, storage, monkeypatch):
    stub.faults = {"bucket.creation"}  # it may be asked for a bucket

    def made_and_left() -> tuple[str, list[str]]:
        left: list[str] = []
        with opened(storage, Permissions(make_buckets=True), EFFORT, leftovers=left) as space:
            name = space.make_bucket("one")
        return name, left

    name, left = made_and_left()
    assert (left, name in stub.buckets) == ([], False)
    monkeypatch.setattr(s3_stub.Operations, "delete_bucket", forbidden)
    name, left = made_and_left()
    assert (left, name in stub.buckets) == ([f"{name}/"], True)


def test_versions_that_stay_in_a_named_bucket_are_told(stub, storage, monkeypatch):
    checks = ("conditional.versioned",)
    assert left_by(storage, checks, versioned_bucket="versioned")[0] == []
    monkeypatch.setattr(s3_stub.Operations, "list_versions", forbidden)
    left, space = left_by(storage, checks, versioned_bucket="versioned")
    assert left == [f"versioned/{space.prefix} (its versions could not be listed)"]
    assert stub.buckets["versioned"].objects


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("uploads stay listed", "aborted (an unfinished upload that is still listed)"),
        ("emptied folders stay", "/ (a folder without objects that the store still lists)"),
    ],
)
def test_what_a_store_still_shows_of_what_is_gone_is_told(stub, storage, fault, told):
    stub.faults = {fault}
    left, _ = left_by(storage, ("multipart.abort",))
    assert [one for one in left if one.endswith(told)] == left != []
    assert remains.remains(storage) == []


@pytest.mark.parametrize("refused", [True, False])
def test_what_a_batch_does_not_delete_goes_one_by_one(stub, storage, monkeypatch, refused):
    def batch(self) -> None:
        if refused:
            raise s3_stub.S3Error(501, "NotImplemented")
        keys = re.findall(r"<Key>([^<]*)</Key>", self.body.decode())
        self.xml("DeleteResult", "".join(f"<Deleted><Key>{k}</Key></Deleted>" for k in keys))

    monkeypatch.setattr(s3_stub.Operations, "post_bucket", batch)
    assert left_by(storage, ("objects.zero-byte",))[0] == []
    assert stub.buckets["milvus"].objects == {}


def test_a_bucket_that_is_not_there_has_nothing_left_in_it(storage):
    left, _ = left_by(storage, ("protection.backup-versions",), backup_bucket="absent")
    assert left == []


def test_a_write_that_the_store_does_after_the_key_was_deleted_leaves_nothing(
    stub, storage, monkeypatch
):
    remove, late = s3_stub.Operations.remove, []

    def overtaking(self, key: str) -> None:
        versions = self.bucket.objects.get(key)
        remove(self, key)
        if versions and key not in late:
            late.append(key)
            self.bucket.objects[key] = versions

    monkeypatch.setattr(s3_stub.Operations, "remove", overtaking)
    monkeypatch.setattr(s3_stub.Operations, "list_versions", forbidden)  # it would go with these
    left, _ = left_by(storage, ("objects.zero-byte",))
    assert len(late) == 2
    assert (left, stub.buckets["milvus"].objects) == ([], {})


def test_what_cannot_be_deleted_is_told(storage, monkeypatch):
    delete_nothing(monkeypatch)
    profile = preflight(storage, checks=(TABLE["objects.zero-byte"],))
    assert len(profile.leftovers) == 2
    assert all(name.startswith("milvus/files/milvus-kit-preflight-") for name in profile.leftovers)
    shown = io.StringIO()
    console.conclude(profile, Path("profile.json"), Console(file=shown, width=200, soft_wrap=True))
    assert all(f"could not be deleted: {name}" in shown.getvalue() for name in profile.leftovers)
