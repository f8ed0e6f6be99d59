"""The preflight against a real MinIO: its profile, and what is left of it in the bucket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import s3_servers
import yaml

from infra.settings import parse
from validation.s3.client.boto import connect
from validation.s3.preflight.profile import load, save
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Effort, Permissions
from validation.target import Wal
from validation.verdicts.verdict import Outcome

FOREIGN = {"files/insert_log/1/2/3": b"a row", "other/thing": b"not ours"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with s3_servers.minio(tmp_path_factory.mktemp("minio")) as endpoint:
        storage = s3_servers.storage(endpoint, "minio")
        client = connect(storage)
        client.create_bucket(Bucket="milvus")
        for key, body in FOREIGN.items():
            client.put_object(Bucket="milvus", Key=key, Body=body)
        yield storage


@pytest.fixture(scope="module")
def profile(store):
    return preflight(
        store,
        permissions=Permissions(make_buckets=True, bucket_creation="allowed"),
        effort=Effort(races=10),
        wal=Wal.WOODPECKER_EMBEDDED,
    )


def listed(storage):
    pages = connect(storage).get_paginator("list_objects_v2").paginate(Bucket=storage.bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def objects(storage):
    client = connect(storage)
    return {
        key: client.get_object(Bucket=storage.bucket, Key=key)["Body"].read()
        for key in listed(storage)
    }


def test_minio_can_carry_milvus_with_woodpecker_on_it(profile):
    broken = [one.id for one in profile.findings if one.outcome is Outcome.FAIL]
    # It takes no a//b, and forgets an upload with its completion.
    assert broken == ["objects.key-slashes", "multipart.repeated-completion"]
    assert profile.verdict is Outcome.PASS, profile.reason
    assert profile.decisions.woodpecker == "safe"
    assert profile.decisions.wal.choice == "woodpecker-embedded"


def test_minio_keeps_what_a_backup_bucket_promises(profile):
    for name in ("protection.backup-versions", "protection.backup-lock", "conditional.versioned"):
        assert profile.finding(name).outcome is Outcome.PASS


def test_the_decisions_are_configuration_that_a_stack_accepts(profile):
    pasted = yaml.safe_load(profile.decisions.yaml())["config"]
    document = {key.removeprefix("milvus-kit:"): value for key, value in pasted.items()}
    problems: list = []
    sections = parse._sections(document, problems)
    assert [one for one in problems if one.key in {"storage", "log"}] == []
    assert sections["storage"].endpoint == profile.storage["endpoint"]
    assert sections["log"].mode == "embedded"


def test_the_preflight_leaves_foreign_objects_and_nothing_else(store, profile):
    assert profile.leftovers == ()
    assert objects(store) == FOREIGN
    assert [b["Name"] for b in connect(store).list_buckets()["Buckets"]] == ["milvus"]


def test_a_profile_survives_its_file_and_holds_no_secret(profile, tmp_path):
    path = tmp_path / "profile.json"
    save(profile, path)
    assert load(path) == profile
    assert s3_servers.SECRET not in path.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_preflight_cleans_up(store, tmp_path, number):
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": s3_servers.ACCESS,
        "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET,
    }
    command = [sys.executable, "-c", "from validation.cli import main; main()", "preflight"]
    arguments = ["--endpoint", store.endpoint, "--bucket", "milvus"]
    arguments += ["--output", str(tmp_path / "profile.json")]
    log = tmp_path / "stderr"
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, *arguments], env=environment, stderr=stream)
    deadline = time.monotonic() + 60
    while len(listed(store)) < len(FOREIGN) + 3:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
    process.send_signal(number)
    assert process.wait(60) == 130, log.read_text()
    assert objects(store) == FOREIGN
    assert not (tmp_path / "profile.json").exists()
