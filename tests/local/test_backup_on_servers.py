"""Backups of a real server, restored into an empty database: the same, or the difference named."""

import numpy as np
import pyarrow as pa
import pytest
from pymilvus import DataType, MilvusClient

from validation import cli
from validation.backup import exporting, files
from validation.errors import ExitCode
from validation.milvus.connection import connect
from validation.target import save

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROWS, EMPTY = 3_000, "restored"
TYPES, BITS = "of_every_type", "bits_by_tenant"


def row(at):
    return {
        "pk": f"key {at:05} ü",
        "vector": np.random.default_rng(at).random(8, np.float32).tolist(),
        "document": {"at": at, "tags": ["a", None, 1.5]},
        "numbers": list(range(at % 4)),
        "names": [f"n{at}"] * (at % 3),
        "small": at % 100,
        "real": at / 3,
        "exact": at / 7,
        "yes": at % 2 == 0,
        "unknown": f"dynamic {at}",
    }


@pytest.fixture(scope="module", autouse=True)
def source(embedded_target):
    """A server with two collections of a user's."""
    with connect(embedded_target) as connection:
        client = connection.client
        of_types(client)
        of_bits(client)
        client.create_database(EMPTY)
        yield client
        client.drop_alias("its_alias")  # with one, its collection would stay
        for name in (TYPES, BITS):
            client.drop_collection(name)


def of_types(client):
    schema = MilvusClient.create_schema(enable_dynamic_field=True, description="a user's")
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=40)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    schema.add_field("document", DataType.JSON)
    schema.add_field("numbers", DataType.ARRAY, element_type=DataType.INT32, max_capacity=4)
    schema.add_field(
        "names", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=3, max_length=9
    )
    schema.add_field("small", DataType.INT8)
    schema.add_field("real", DataType.FLOAT)
    schema.add_field("exact", DataType.DOUBLE)
    schema.add_field("yes", DataType.BOOL)
    client.create_collection(
        TYPES, schema=schema, num_shards=2, properties={"collection.ttl.seconds": 86_400}
    )
    client.create_partition(TYPES, "half")
    client.insert(TYPES, [row(at) for at in range(ROWS // 2)])
    client.insert(TYPES, [row(at) for at in range(ROWS // 2, ROWS)], partition_name="half")
    client.delete(TYPES, ids=[row(at)["pk"] for at in range(0, ROWS, 7)])
    wanted = client.prepare_index_params()
    wanted.add_index(
        "vector", index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 64}
    )
    wanted.add_index("pk", index_type="Trie", index_name="by_key")
    wanted.add_index("exact", index_type="STL_SORT", index_name="by_size")
    client.create_index(TYPES, wanted)
    client.create_alias(TYPES, "its_alias")
    client.load_collection(TYPES)


def of_bits(client):
    schema = MilvusClient.create_schema(partition_key_field="tenant", num_partitions=4)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=32)
    schema.add_field("tenant", DataType.VARCHAR, max_length=8)
    client.create_collection(BITS, schema=schema, num_partitions=4)
    keys = [-(2**63), *range(1, 500)]  # the lowest has a query of its own
    rows = [
        {"id": key, "bits": at.to_bytes(4, "big"), "tenant": f"t{at % 9}"}
        for at, key in enumerate(keys)
    ]
    client.insert(BITS, rows)
    wanted = client.prepare_index_params()
    wanted.add_index("bits", index_type="BIN_IVF_FLAT", metric_type="HAMMING", params={"nlist": 8})
    client.create_index(BITS, wanted)


@pytest.fixture
def empty(embedded_target, tmp_path):
    """The target of an empty database, and a client of it."""
    milvus = embedded_target.milvus.model_copy(update={"database": EMPTY})
    target = embedded_target.model_copy(update={"milvus": milvus})
    save(target, tmp_path / "empty.yaml")
    with connect(target) as connection:
        yield tmp_path / "empty.yaml", connection.client
        for name in connection.client.list_collections():
            for alias in connection.client.describe_collection(name).get("aliases", ()):
                connection.client.drop_alias(alias)
            connection.client.drop_collection(name)


@pytest.fixture(scope="module")
def backup(embedded_target_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backups") / "monday"
    asked = ("--collection", TYPES, "--collection", BITS, "--in-bucket", "backups")
    target = ("--target", embedded_target_file)
    assert command("backup", *target, "-o", folder, "--load", *asked) == ExitCode.PASS
    return folder


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(one) for one in arguments])
    return ended.value.code


def test_a_restored_database_is_the_same_and_what_was_not_loaded_is_not(
    backup, empty, tmp_path, capsys
):
    target, client = empty
    folder = tmp_path / backup.name  # as it is in the bucket
    asked = ("restore", folder, "--in-bucket", "backups", "--target", target)
    assert command(*asked, "-o", tmp_path / "after") == ExitCode.PASS
    said = capsys.readouterr().out
    assert "the same: 2 collections, 3,071 rows" in said
    assert f"note: {TYPES}: its rows expire 86400 s after this restore" in said
    assert client.get_load_state(TYPES)["state"].name == "Loaded"
    assert client.get_load_state(BITS)["state"].name == "NotLoad"
    assert command("manifest", "diff", backup / "manifest", tmp_path / "after") == ExitCode.PASS
    found = client.query("its_alias", f'pk == "{row(8)["pk"]}"', output_fields=["*"])[0]
    assert found["unknown"] == "dynamic 8"
    assert found["document"] == row(8)["document"]
    # Nothing is written over what is there.
    asked = ("restore", backup, "--target", target)
    assert command(*asked) == ExitCode.USAGE
    assert "there are collections already" in capsys.readouterr().err
    assert command(*asked, "--beside") == ExitCode.USAGE
    assert f"seen: {BITS}, {TYPES}" in capsys.readouterr().err.replace("'", "")


def test_rows_that_are_lost_or_changed_on_the_way_are_named(backup, empty, monkeypatch, capsys):
    target, _ = empty
    real = files.batches

    def tampered(path):
        for number, batch in enumerate(real(path)):
            if number or path.name != "_default.parquet":
                yield batch
                continue
            at = batch.schema.get_field_index("real")
            values = batch.column(at).to_pylist()
            values[3] = 1e6
            changed = pa.array(values, batch.schema.field(at).type)
            yield batch.set_column(at, batch.schema.field(at), changed).slice(1)

    monkeypatch.setattr(files, "batches", tampered)
    asked = ("restore", backup, "--target", target, "--collection", TYPES)
    assert command(*asked, "--collection", TYPES) == ExitCode.FAIL
    said = capsys.readouterr().out
    assert f"{TYPES}, partition _default: 1 rows are missing; first keys: 'key 00001 ü'" in said
    assert "1 rows have other content; first keys: 'key 00004 ü'; fields: real" in said


def test_a_backup_that_is_not_whole_is_refused_before_anything_is_written(
    backup, empty, tmp_path, capsys
):
    target, client = empty
    folder = tmp_path / "edited"

    def refused(change, path, words):
        content = (backup / path).read_bytes()
        (backup / path).write_bytes(change(content))
        try:
            assert command("restore", backup, "--target", target) == ExitCode.USAGE
        finally:
            (backup / path).write_bytes(content)
        assert words in capsys.readouterr().err

    flipped = "a file of the backup was changed after it was made"
    refused(lambda was: was[:200] + b"x" + was[201:], f"data/{BITS}/all.parquet", flipped)
    refused(lambda was: was[:-1], f"data/{TYPES}/half.parquet", flipped)
    changed = "the backup was changed after it was made"
    refused(lambda was: was.replace(b'"rows": 500', b'"rows": 499'), "backup.json", changed)
    newer = "was made by a newer kit"
    refused(lambda was: was.replace(b"kit/backup/1", b"kit/backup/2"), "backup.json", newer)
    (folder / "data").mkdir(parents=True)
    assert command("restore", folder, "--target", target) == ExitCode.USAGE
    assert "this backup was cut short" in capsys.readouterr().err
    assert client.list_collections() == []


def test_rows_that_are_written_while_they_are_read_leave_no_backup(
    source, embedded_target_file, tmp_path, monkeypatch, capsys
):
    real = exporting._rows

    def after_a_write(table, *rest):
        source.delete(BITS, ids=[3])
        return real(table, *rest)

    monkeypatch.setattr(exporting, "_rows", after_a_write)
    asked = ("backup", "--target", embedded_target_file, "-o", tmp_path / "b", "--load")
    try:
        assert command(*asked, "--collection", BITS) == ExitCode.INTERNAL
    finally:
        source.insert(BITS, [{"id": 3, "bits": (3).to_bytes(4, "big"), "tenant": "t3"}])
    assert "rows changed meanwhile" in capsys.readouterr().err
    assert not (tmp_path / "b" / "backup.json").exists()


def test_what_cannot_be_backed_up_is_refused_by_name(
    source, embedded_target_file, tmp_path, capsys
):
    source.create_collection("by_itself", dimension=4, auto_id=True)
    asked = ("backup", "--target", embedded_target_file, "-o", tmp_path / "b")
    try:
        assert command(*asked, "--collection", "by_itself") != ExitCode.PASS
        assert "Milvus itself makes its keys (id)" in capsys.readouterr().err
        assert command(*asked, "--collection", "nowhere") == ExitCode.USAGE
        assert command(*asked, "--collection", BITS) != ExitCode.PASS
        assert "it is not loaded" in capsys.readouterr().err
    finally:
        source.drop_collection("by_itself")
