"""The embedded Milvus on a store of one's own: started on it, kept to it, and nobody else's."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import s3_servers
from typer.testing import CliRunner

from validation.cli import app
from validation.common.progress import Progress
from validation.errors import ConfigurationError, UsageError
from validation.local import own_store
from validation.local.stack import EmbeddedStack
from validation.milvus.connection import connect
from validation.s3.client.boto import connect as store_client
from validation.target import SecretRef, Storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Iterator[Storage]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "access").write_text(s3_servers.ACCESS)
    (folder / "secret").write_text(s3_servers.SECRET)
    with s3_servers.minio(tmp_path_factory.mktemp("minio")) as endpoint:
        keys = {name: SecretRef(file=folder / name) for name in ("access", "secret")}
        mine = s3_servers.storage(endpoint, "minio", bucket="theirs", root_path="mine")
        store_client(mine).create_bucket(Bucket="theirs")
        update = {"access_key": keys["access"], "secret_key": keys["secret"]}
        yield mine.model_copy(update=update)


def names(storage: Storage, prefix: str) -> list[str]:
    page = store_client(storage).list_objects_v2(Bucket=storage.bucket, Prefix=prefix)
    return [entry["Key"] for entry in page.get("Contents", ())]


def quiet(folder, **more) -> EmbeddedStack:
    return EmbeddedStack(folder, progress=Progress(io.StringIO()), **more)


def test_milvus_writes_to_the_store_it_was_given_and_finds_its_rows_there_again(storage, tmp_path):
    folder = tmp_path / "stack"
    with quiet(folder, storage=storage) as stack:
        target = stack.target
        assert target.storage is not None
        assert (target.storage.endpoint, target.storage.bucket) == (storage.endpoint, "theirs")
        assert s3_servers.SECRET not in (folder / "target.yaml").read_text()
        with connect(target) as milvus:
            milvus.client.create_collection("kept", dimension=4)
            rows = [{"id": one, "vector": [float(one), 0, 0, 1]} for one in range(10)]
            milvus.client.insert("kept", rows)
            milvus.client.flush("kept")
        stack.restart_milvus(kill=True)
        assert stack.status().running
    assert any("insert_log" in name for name in names(storage, "mine/"))
    with quiet(folder) as again, connect(again.target) as milvus:  # the folder remembers it
        assert again.target.storage == target.storage
        assert milvus.client.get_collection_stats("kept")["row_count"] == 10
    with pytest.raises(UsageError, match="lie in another store"):
        quiet(folder, storage=storage.model_copy(update={"bucket": "other"})).start()
    with pytest.raises(UsageError, match="a fresh Milvus takes for garbage"):
        quiet(tmp_path / "another", storage=storage).start()


def test_a_storage_file_is_a_contract_or_a_target_and_has_keys(storage, tmp_path):
    path = tmp_path / "store.yaml"
    lines = [f"endpoint: {storage.endpoint}", "provider: s3", "bucket: theirs"]
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match="keys are missing"):
        own_store.read(path)
    keys = ["access_key: {env: A}", "secret_key: {env: B}"]
    path.write_text("\n".join([*lines, *keys]))
    assert own_store.read(path).bucket == "theirs"
    nested = "\n".join(f"  {line}" for line in [*lines, *keys])
    path.write_text(f"name: x\nstorage:\n{nested}\n")
    assert own_store.read(path).bucket == "theirs"
    path.write_text("\n".join([*lines, "port: 1"]))
    with pytest.raises(ConfigurationError, match="no storage contract") as refused:
        own_store.read(path)
    assert str(path) in str(refused.value)


def test_a_store_that_runs_already_is_not_also_started(tmp_path):
    command = ["local", "up", "--folder", str(tmp_path / "s"), "--storage", "x.yaml"]
    done = CliRunner().invoke(app, [*command, "--s3", "emulator", "--s3-port", "9000"])
    assert isinstance(done.exception, UsageError)
    assert done.exception.seen == "--s3-port --s3"
