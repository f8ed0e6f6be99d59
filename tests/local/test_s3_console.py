"""What a preflight tells its user: what to paste, what to do, what was left, how to remove it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import s3_servers
import s3_stub
import yaml
from s3_stub_store import Bucket
from typer.testing import CliRunner

from infra.settings import conformance
from infra.settings.parse import from_file
from infra.settings.services import Woodpecker
from infra.settings.storage import S3
from validation.cli import app
from validation.errors import CredentialsError, ExitCode
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import CHECKS, TABLE
from validation.s3.preflight import console, remains
from validation.s3.preflight.profile import load
from validation.s3.preflight.remedies import step
from validation.s3.workspace import MARK, Effort, Permissions, opened
from validation.verdicts.verdict import Outcome

EFFORT = Effort(listed_keys=12, page=5, large_bytes=300_000, part_bytes=20_000, racers=3, races=2)
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": s3_servers.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET}
BESIDE = """config:
  milvus-kit:environment: {environment}
  milvus-kit:kubernetes: {{provider: existing, createNamespace: false}}
  milvus-kit:milvus: {{version: 3.0.5, mode: cluster}}
"""


@pytest.fixture
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


@pytest.fixture
def preflight(stub, monkeypatch):
    """Run the command in this process, with little effort; return its code and what it said."""
    from validation.s3 import workspace  # noqa: PLC0415  (its default is changed here)

    monkeypatch.setattr(workspace, "Effort", lambda: EFFORT)

    def ask(*options, endpoint=stub.endpoint):
        command = ["preflight", "--endpoint", endpoint, "--bucket", "milvus", *map(str, options)]
        return CliRunner().invoke(app, command, env=ENVIRONMENT, catch_exceptions=True)

    return ask


def pasted(said: str, folder, environment: str):
    """Put what is to be pasted into a whole stack and return its settings."""
    block = yaml.safe_load(said.partition("same sections:\n")[2].partition("\n\n")[0])["config"]
    stack = yaml.safe_load(BESIDE.format(environment=environment))["config"] | block
    path = folder / "Pulumi.site.yaml"
    path.write_text(yaml.safe_dump({"config": stack}), encoding="utf-8")
    return from_file(path)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["stacks", "elsewhere"])
def test_what_is_printed_to_paste_is_a_stack_that_config_check_accepts(
    preflight, stub, tmp_path, monkeypatch, where
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILVUS_KIT_STACKS", raising=False)
    (tmp_path / "stacks").mkdir()
    result = preflight(
        "--root-path", "files/", "--output", f"{where}/site.s3.json", endpoint=f"{stub.endpoint}/"
    )
    assert result.exit_code == ExitCode.PASS, result.output
    named = "site.s3.json" if where == "stacks" else str(tmp_path / "elsewhere/site.s3.json")
    assert f"conformanceProfile: {named}\n" in result.stdout
    for environment in ("dev", "prod"):
        settings = pasted(result.stdout, tmp_path / "stacks", environment)
        assert isinstance(settings.storage, S3)
        assert isinstance(settings.log, Woodpecker)
        assert settings.storage.endpoint == stub.endpoint
        assert settings.storage.allow_insecure
        assert settings.log.mode == "embedded"
        assert conformance.checksums(settings.storage) == "when_supported"


@pytest.mark.slow
def test_a_log_that_needs_nothing_of_the_store_stays_what_the_stack_says(preflight, tmp_path):
    result = preflight("--wal", "woodpecker-service", "--output", tmp_path / "p.json")
    assert "conformanceProfile" in result.stdout
    assert "milvus-kit:log" not in result.stdout


@pytest.mark.slow
def test_a_store_that_cannot_be_used_gets_a_next_step_and_nothing_to_paste(
    preflight, stub, tmp_path
):
    stub.faults = {"objects.range"}
    result = preflight("--output", tmp_path / "p.json")
    assert result.exit_code == ExitCode.FAIL
    assert "1 required rule is broken: objects.range" in result.stdout
    assert "no configuration to paste" in result.stdout
    assert "milvus-kit:storage:" not in result.stdout
    lines = result.stderr.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("✗")]
    assert any(line.strip().startswith("-> ask the endpoint") for line in lines[at:])


def test_every_check_that_fails_says_what_to_do():
    with_steps = {one.id for one in CHECKS if step(red(one.id))}
    assert with_steps == {one.id for one in CHECKS}
    assert "policy" in step(red("objects.body", "PutObject answered 403 AccessDenied"))


def red(name, reason="because"):
    from validation.s3.conformance.runner import unmeasured  # noqa: PLC0415

    return unmeasured(TABLE[name], reason).model_copy(update={"outcome": Outcome.FAIL})


def test_names_of_checks_keep_their_column():
    lines = [console.line(red(one.id)).splitlines()[0] for one in CHECKS]
    titles = {line.index(one.title) for line, one in zip(lines, CHECKS, strict=True)}
    assert len(titles) == 1


@pytest.mark.parametrize("options", [(), ("--performance",)])
def test_a_further_endpoint_without_use_or_without_a_scheme_is_refused_at_once(
    preflight, tmp_path, options
):
    more = ("--output", tmp_path / "p.json", "--more-endpoint", "10.0.0.6:8080")
    result = preflight(*options, *more)
    assert "--more-endpoint" in str(result.exception)
    assert result.exception.exit_code is ExitCode.USAGE
    assert ("not a URL" in str(result.exception)) == bool(options)
    assert not (tmp_path / "p.json").exists()


# --- what is left


def forbid_deletion(monkeypatch) -> None:
    def forbidden(_self) -> None:
        raise s3_stub.S3Error(403, "AccessDenied")

    for way in ("delete_object", "post_bucket"):
        monkeypatch.setattr(s3_stub.Operations, way, forbidden)


@pytest.mark.slow
def test_many_leftovers_are_summed_up_and_all_are_in_the_profile(
    preflight, stub, tmp_path, monkeypatch
):
    forbid_deletion(monkeypatch)
    result = preflight("-q", "-o", tmp_path / "p.json")
    left = load(tmp_path / "p.json").leftovers
    bucket = stub.buckets["milvus"]
    begun = [
        f"{key} (an unfinished upload that is still listed)" for key, _ in bucket.uploads.values()
    ]
    assert sorted(left) == sorted(f"milvus/{one}" for one in (*bucket.objects, *begun))
    assert len(bucket.objects) > 20
    assert begun  # aborting one is refused as well
    assert result.stdout.count("could not be deleted") == 3
    assert f"and {len(left) - 3} more" in result.stdout
    assert "--clean" in result.stdout


def started(stub, tmp_path):
    command = [sys.executable, "-c", "from validation.cli import main; main()", "preflight", "-q"]
    command += ["--endpoint", stub.endpoint, "--bucket", "milvus"]
    command += ["--output", str(tmp_path / "p.json")]
    process = subprocess.Popen(
        command, env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while len(stub.buckets["milvus"].objects) < 5:
        assert process.poll() is None, process.communicate(timeout=120)
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_an_interrupted_run_could_not_remove_is_told_and_kept(
    stub, tmp_path, monkeypatch, number
):
    forbid_deletion(monkeypatch)
    process = started(stub, tmp_path)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == ExitCode.INTERRUPTED, said
    kept = (tmp_path / "p.leftovers.txt").read_text().splitlines()
    assert {one.removeprefix("milvus/") for one in kept} == set(stub.buckets["milvus"].objects)
    assert f"could not be deleted: {kept[0]}" in said
    assert "--clean" in said


@pytest.mark.slow
def test_what_a_killed_run_left_is_told_by_the_next_and_removed_by_clean(preflight, stub, tmp_path):
    process = started(stub, tmp_path)
    process.kill()
    process.wait(120)
    client = connect(s3_servers.storage(stub.endpoint))
    theirs = "files/milvus-kit-preflight-0123456789ab/0000/object"
    for key in ("files/insert_log/1", theirs, "files/milvus-kit-preflight-x/0000/probe"):
        client.put_object(Bucket="milvus", Key=key, Body=MARK)
    foreign = {key for key in stub.buckets["milvus"].objects if "preflight-0123" in key}
    foreign |= {"files/insert_log/1", "files/milvus-kit-preflight-x/0000/probe"}
    assert len(stub.buckets["milvus"].objects) > len(foreign)
    result = preflight("-q", "-o", tmp_path / "p.json")
    assert result.exit_code == ExitCode.PASS
    assert "objects of 2 earlier runs are in bucket milvus" in result.stderr
    assert "--clean" in result.stderr
    result = preflight("--clean")
    assert result.exit_code == ExitCode.PASS, result.output
    assert "1 runs' remains removed" in result.stdout
    assert re.search(r"kept milvus/files/milvus-kit-preflight-0123456789ab/: .*mark", result.stdout)
    assert set(stub.buckets["milvus"].objects) == foreign


def killed(storage, **permissions):
    """Leave what a run leaves that ends without a chance to sweep."""
    space = opened(storage, Permissions(**permissions))
    run(space.__enter__(), [TABLE["objects.zero-byte"], TABLE["conditional.versioned"]])
    return space


def test_clean_removes_versions_too_and_says_what_it_may_not_delete(stub, monkeypatch):
    storage = s3_servers.storage(stub.endpoint)
    kept = [killed(storage, versioned_bucket="versioned")]
    assert stub.buckets["versioned"].objects
    with monkeypatch.context() as refusing:
        forbid_deletion(refusing)
        with pytest.raises(CredentialsError, match="could not be deleted"):
            remains.clean(storage, ["versioned"])
    cleaned = remains.clean(storage, ["versioned"])
    assert (len(cleaned.removed), cleaned.unmarked) == (1, ())
    assert stub.buckets["milvus"].objects == stub.buckets["versioned"].objects == {}
    assert remains.remains(storage) == []
    del kept


def test_an_object_of_another_key_goes_with_its_versions(stub):
    stub.buckets["tenant"] = Bucket(versioned=True)
    left: list[str] = []
    permissions = Permissions(other_bucket="tenant", outsider=s3_stub.OUTSIDER)
    with opened(s3_servers.storage(stub.endpoint), permissions, leftovers=left) as space:
        (found,) = run(space, [TABLE["access.other-bucket"]])
    assert found.outcome is Outcome.PASS, found.reason
    assert (left, stub.buckets["tenant"].objects) == ([], {})


@pytest.mark.parametrize(
    ("status", "said"), [(404, "good links are refused too: 404"), (200, "still works")]
)
def test_a_link_is_said_to_work_only_where_it_does(stub, monkeypatch, status, said):
    def answer(self) -> None:
        if "X-Amz-Signature" in self.query:
            raise s3_stub.S3Error(status, "Odd")

    monkeypatch.setattr(s3_stub.Handler, "_presigned", answer)
    with opened(s3_servers.storage(stub.endpoint)) as space:
        (found,) = run(space, [TABLE["access.presigned-expired"]])
    assert said in found.reason
