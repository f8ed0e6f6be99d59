"""The running stack that all tests against real servers share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from pymilvus import MilvusClient

from validation.local import ports, state
from validation.local.stack import EmbeddedStack
from validation.target import Target

COLLECTION = "embedded_stack_proof"
VECTORS = np.random.default_rng(7).random((500, 16), dtype=np.float32)


@pytest.fixture(scope="module")
def client(embedded_target: Target) -> Iterator[MilvusClient]:
    client = MilvusClient(embedded_target.milvus.uri)
    client.create_collection(COLLECTION, dimension=16, consistency_level="Strong")
    client.insert(COLLECTION, [{"id": key, "vector": row} for key, row in enumerate(VECTORS)])
    client.flush(COLLECTION)
    yield client
    client.drop_collection(COLLECTION)
    client.close()


def s3_client(target: Target, secret: str | None = None):
    storage = target.storage
    assert storage is not None
    assert storage.access_key is not None
    assert storage.secret_key is not None
    return boto3.client(
        "s3",
        endpoint_url=storage.endpoint,
        aws_access_key_id=storage.access_key.reveal(),
        aws_secret_access_key=secret or storage.secret_key.reveal(),
        region_name=storage.region,
        config=Config(s3={"addressing_style": "path"}),
    )


def test_what_was_inserted_is_found(client):
    found = client.search(COLLECTION, [VECTORS[42].tolist()], limit=1)
    assert found[0][0]["id"] == 42


def test_the_server_is_the_version_that_the_target_declares(client, embedded_target):
    assert client.get_server_version().lstrip("v").startswith(embedded_target.milvus.version)


@pytest.mark.usefixtures("client")
def test_the_segments_are_objects_in_the_bucket(embedded_target):
    storage = embedded_target.storage
    listed = s3_client(embedded_target).list_objects_v2(
        Bucket=storage.bucket, Prefix=f"{storage.root_path}/insert_log/"
    )
    assert listed["KeyCount"] > 0
    assert sum(entry["Size"] for entry in listed["Contents"]) >= VECTORS.nbytes


def test_the_store_refuses_a_wrong_secret(embedded_target):
    if embedded_target.storage.provider == "emulator":
        pytest.skip("needs MinIO: the emulator does not check secrets")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3_client(embedded_target, "wrong").list_buckets()


def test_the_store_listens_on_loopback_alone(embedded_stack):
    found = state.read(embedded_stack.folder)
    assert found is not None
    table = Path(f"/proc/{os.getpid()}/net/tcp").read_text().splitlines()[1:]
    port = f"{found.ports['s3']:04X}"
    addresses = {line.split()[1] for line in table if line.split()[3] == "0A"}
    assert {address for address in addresses if address.endswith(port)} == {f"0100007F:{port}"}


def test_every_port_in_the_state_is_served_by_the_server_it_is_meant_for(embedded_stack):
    found = state.read(embedded_stack.folder)
    assert found is not None
    pid = found.servers["milvus"].server_pid()
    assert pid is not None
    for name, port in found.ports.items():
        assert ports.listens(pid, port) == (name != "s3"), name


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the files that are kept and what is in them; servers at work delete some meanwhile."""
    for home, _, names in os.walk(folder):
        for file in (Path(home) / name for name in names):
            with contextlib.suppress(FileNotFoundError):
                if file.is_file() and file.parent.name != "secrets":
                    yield file, file.read_bytes()


@pytest.mark.usefixtures("client")
def test_no_secret_is_in_a_kept_file_or_a_command_line(embedded_stack: EmbeddedStack):
    folder = embedded_stack.folder
    keys = [file.read_bytes() for file in state.key_files(folder)]
    kept = {file: any(key in held for key in keys) for file, held in contents(folder)}
    assert len(kept) > 10
    assert [file for file, tells in kept.items() if tells] == []
    found = state.read(folder)
    assert found is not None
    for running in found.servers.values():
        for pid in (running.pid, running.server_pid()):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert not any(key in line for key in keys)


def open_for_writing(pid: int | None) -> Iterator[Path]:
    """Yield the files that a process writes to; one at work closes some meanwhile."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            path = link.readlink()
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()[3]
            named = path.is_absolute() and not path.is_relative_to("/dev")
            # The number may be another file's by now, and the flags that one's.
            if named and int(flags, 8) & 3 and link.readlink() == path:
                yield path


def test_all_the_servers_write_is_under_the_stacks_folder(embedded_stack: EmbeddedStack):
    found = state.read(embedded_stack.folder)
    assert found is not None
    for running in found.servers.values():
        written = set(open_for_writing(running.server_pid()))
        assert written, running.name
        strangers = [one for one in written if not one.is_relative_to(embedded_stack.folder)]
        assert strangers == [], running.name
