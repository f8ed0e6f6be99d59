"""Each store: what preflight says of it, and whether real clients say the same.

A contradiction fails the run. What was seen is kept in docs/stores/, from which docs/stores.md is
made: ``python -m tests.stores.page``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.stores import contradictions
from tests.stores.go_client import run_go
from tests.stores.log_owners import run_log
from tests.stores.milvus_suite import run_milvus
from tests.stores.record import DEFAULTS, REQUIRED, Log, Record, settings_of
from tests.stores.servers import STORES, Store
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import endpoint_of, keys_of
from validation.s3.preflight.profile import StoreProfile, required_of, save
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Permissions
from validation.target import Storage
from validation.verdicts.verdict import Outcome

ARROW = "pyarrow==26.0.1"
"""Its S3 file system is aws-sdk-cpp 1.11.900."""


def run_arrow(storage: Storage, way: str) -> dict[str, str]:
    """Return what went wrong with each file of `arrow_client`, checksums one way."""
    keys = keys_of(storage)
    ways = {"AWS_REQUEST_CHECKSUM_CALCULATION": way, "AWS_RESPONSE_CHECKSUM_VALIDATION": way}
    secrets = {"STORE_ACCESS": keys.access, "STORE_SECRET": keys.secret}
    uv = [str(Path(sys.executable).with_name("uv")), "run", "--no-project", "--isolated", "-q"]
    script = str(Path(__file__).with_name("arrow_client.py"))
    done = subprocess.run(
        [*uv, "--with", ARROW, "python", script, endpoint_of(storage).netloc],
        env={**os.environ, **ways, **secrets},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        return {"client": f"it ended with {done.returncode}: {done.stderr[-300:]}"}
    return json.loads(done.stdout)


def recorded(store: Store, storage: Storage, profile: StoreProfile, folder: Path) -> list[str]:
    """Let real clients loose on a store, keep what came of it and return what contradicts."""
    (folder / "log").mkdir()
    log = run_log(storage, folder / "log")
    go = run_go(storage, folder / "log")
    arrow = {way: run_arrow(storage, way) for way in (DEFAULTS, REQUIRED)}
    wanted = contradictions.worth_milvus(profile, log, arrow)
    milvus = run_milvus(storage, folder / "milvus") if wanted else None
    failed = [one for one in profile.findings if one.outcome is Outcome.FAIL]
    required = set(required_of(profile.findings))
    Record(
        store=store.name,
        title=store.title,
        version=store.installed(),
        source=store.source,
        recorded=datetime.now(UTC).date(),
        kit_version=version("milvus-kit"),
        verdict=profile.verdict,
        reason=profile.reason,
        woodpecker=profile.decisions.woodpecker,
        log_reason=profile.decisions.wal.reason,
        checksums=profile.decisions.checksums.choice,
        addressing=profile.decisions.addressing.choice,
        settings=settings_of(profile),
        broken={one.id: one.reason for one in failed},
        required=tuple(one.id for one in failed if one.id in required),
        log=Log.of(log),
        go=go,
        arrow=arrow,
        milvus=milvus,
    ).save()
    return contradictions.found(profile, log, go, arrow, milvus)


@pytest.mark.parametrize("name", STORES)
@pytest.mark.timeout(3_600)
def test_real_clients_meet_what_preflight_says(name, tmp_path):
    store = STORES[name]
    with _running(store, tmp_path / "asked") as storage:
        profile = preflight(storage, permissions=Permissions(make_buckets=True))
        save(profile, tmp_path / "profile.json")
    # Another one: a server may end while it is asked, and clients are to meet it as it begins.
    with _running(store, tmp_path / "met") as storage:
        found = recorded(store, storage, profile, tmp_path)
    assert found == []


@contextlib.contextmanager
def _running(store: Store, folder: Path) -> Iterator[Storage]:
    folder.mkdir()
    with store.run(folder) as endpoint:
        storage = store.storage(endpoint)
        connect(storage).create_bucket(Bucket=storage.bucket)
        yield storage
