"""A disk that is full is named: the store's volume, Pulumi's state, the run's own folder."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from infra.storage import policy
from infra.storage.minio.resources import BucketProvider, UserProvider
from tests.e2e import host
from validation.errors import MilvusKitError, UnreachableError

ROOT, ROOT_SECRET = "minio-root", "planted-root-secret"


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of 40 MB."""
    host.require_root()
    folder = host.SMALL_DISK
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def _fill(folder: Path) -> None:
    with suppress(OSError), (folder / "fill").open("wb") as file:
        while True:
            file.write(bytes(65536))
    assert shutil.disk_usage(folder).free < 65536


@contextmanager
def _minio(command: Path, folder: Path) -> Iterator[dict[str, object]]:
    """Run MinIO on a folder, and yield the properties that lead to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(command), "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"],
        env={**os.environ, "MINIO_ROOT_USER": ROOT, "MINIO_ROOT_PASSWORD": ROOT_SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield {
            "address": f"127.0.0.1:{port}",
            "port": port,
            "server_name": "127.0.0.1",
            "region": "us-east-1",
            "root_access_key": ROOT,
            "root_secret_key": ROOT_SECRET,
        }
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_full_volume_of_the_store_is_named_and_not_taken_for_a_server_that_is_away(tools, small):
    user = {"access_key": "MILVUSACCESSKEY", "secret_key": "planted-milvus-secret"}
    user |= {"policy_name": "milvus", "policy": policy.for_bucket("milvus")}
    with _minio(tools.command("minio"), small) as server:
        server["bucket"] = "milvus"
        BucketProvider().create(server)
        UserProvider().create(server | user)
        _fill(small)
        with pytest.raises(UnreachableError, match=r"MinIO's volume is full") as caught:
            UserProvider().create(server | user)
    assert "storage.volume.size" in str(caught.value)


def test_a_full_disk_under_pulumis_state_is_named_by_the_file_that_did_not_fit(pulumi, small):
    state = {**pulumi.environment, "PULUMI_BACKEND_URL": f"file://{small}"}
    _fill(small)
    with pytest.raises(MilvusKitError, match=r"no space left on device") as caught:
        dataclasses.replace(pulumi, environment=state).run("stack", "ls")
    assert str(small) in str(caught.value)


def test_a_run_does_not_begin_where_its_evidence_would_not_fit(small):
    with pytest.raises(MilvusKitError, match=r"0\.0 GiB are free, a run needs 2") as caught:
        host.require_space(small / "runs" / "e2e-1")
    assert str(small) in str(caught.value)
    host.require_space(Path("/"))
