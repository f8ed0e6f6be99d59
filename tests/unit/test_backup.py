"""Backups: every type of column there and back, and what is refused of a document and a prefix."""

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from tests.builders import targets
from tests.unit.test_upgrade_making import Server
from validation.backup import columns, document, exporting, files, in_bucket, restoring, schemas
from validation.backup.document import Backup, Collection
from validation.common.progress import Progress
from validation.errors import ConfigurationError, MeasurementError, UnsupportedError, UsageError
from validation.milvus import reading
from validation.milvus.manifest import hashed
from validation.upgrade.canonical import column_of

KEY = "id"
HALVES = np.arange(6, dtype=np.float16).reshape(3, 2)


def numbers(kind, values, data):
    made = schema_pb2.FieldData(field_name=kind.lower(), type=kind)
    getattr(made.scalars, data).data.extend(values)
    return made


def arrays(element, data, rows):
    made = schema_pb2.FieldData(field_name="array", type=schema_pb2.DataType.Array)
    made.scalars.array_data.CopyFrom(schema_pb2.ArrayArray(element_type=element))
    for row in rows:
        one = made.scalars.array_data.data.add()
        if row:  # as servers send one without elements
            getattr(one, data).data.extend(row)
    return made


def vectors(kind, attribute, dim, content):
    made = schema_pb2.FieldData(field_name=kind.lower(), type=kind)
    made.vectors.dim = dim
    if kind == columns.FLOATS:
        made.vectors.float_vector.data.extend(content)
    elif kind == columns.SPARSE:
        made.vectors.sparse_float_vector.contents.extend(content)
    else:
        setattr(made.vectors, attribute, content)
    return made


PAIR = np.array([(3, 0.5), (70_000, -1.0)], np.dtype([("i", "<u4"), ("v", "<f4")])).tobytes()
SENT = {
    "Bool": (numbers("Bool", [True, False, True], "bool_data"), {}),
    "Int8": (numbers("Int8", [-128, 0, 127], "int_data"), {}),
    "Int16": (numbers("Int16", [-(2**15), 0, 1], "int_data"), {}),
    "Int32": (numbers("Int32", [-(2**31), 0, 1], "int_data"), {}),
    "Int64": (numbers("Int64", [-(2**63), 0, 2**63 - 1], "long_data"), {}),
    "Float": (numbers("Float", [0.1, -0.0, float("inf")], "float_data"), {}),
    "Double": (numbers("Double", [0.1, 5e-324, float("-inf")], "double_data"), {}),
    "VarChar": (numbers("VarChar", ["", "ü", "\0 '\""], "string_data"), {}),
    "JSON": (numbers("JSON", [b"{}", b'{"b": 1, "a": [null, 1.50]}', b"1"], "json_data"), {}),
    "Array": (arrays("Int16", "int_data", [[1, -1], [], [7]]), {"element": "Int16"}),
    "FloatVector": (
        vectors("FloatVector", "", 2, [0.1, -0.0, float("nan"), 1, 2, 3]),
        {"dim": 2},
    ),
    "BinaryVector": (vectors("BinaryVector", "binary_vector", 16, b"abcdef"), {"dim": 16}),
    "Float16Vector": (
        vectors("Float16Vector", "float16_vector", 2, HALVES.tobytes()),
        {"dim": 2},
    ),
    "BFloat16Vector": (
        vectors("BFloat16Vector", "bfloat16_vector", 2, HALVES.tobytes()),
        {"dim": 2},
    ),
    "Int8Vector": (vectors("Int8Vector", "int8_vector", 2, b"\x00\xff\x7f\x80ab"), {"dim": 2}),
    "SparseFloatVector": (vectors("SparseFloatVector", "", 0, [PAIR, b"", PAIR]), {}),
}


def row_hashes(message):
    keys = np.arange(len(column_of(message)))
    return hashed({KEY: keys, message.field_name: column_of(message)}, KEY)[1].tolist()


def written(message, field, tmp_path, *, nullable=False):
    """Return a message after it has been in a Parquet file."""
    pa = columns.arrow()
    column = columns.to_arrow(message, field)
    fields = files.Fields("none", {field.name: field}, frozenset())
    path = tmp_path / "x.parquet"
    rows = files.write(path, fields, iter([{field.name: column}]), lambda _: None, 3)
    (batch,) = files.batches(path)
    assert rows == batch.num_rows == 3
    assert isinstance(batch, pa.RecordBatch)
    kept = batch.schema.field(field.name)
    assert kept.metadata == field.metadata
    return columns.to_message(batch.column(0), kept, nullable=nullable, dynamic=False)


def test_every_type_that_is_backed_up_is_tried():
    assert {*SENT} == columns.KINDS


@pytest.mark.parametrize("kind", SENT)
def test_a_column_comes_back_as_it_was(kind, tmp_path):
    message, more = SENT[kind]
    back = written(message, columns.field_of(kind, message.field_name, **more), tmp_path)
    assert row_hashes(back) == row_hashes(message)
    assert back.type == message.type


@pytest.mark.parametrize("kind", SENT)
def test_null_comes_back_as_null_and_is_sent_without_a_value(kind, tmp_path):
    message = schema_pb2.FieldData()
    message.CopyFrom(SENT[kind][0])
    message.valid_data.extend([True, False, True])
    field = columns.field_of(kind, message.field_name, **SENT[kind][1])
    back = written(message, field, tmp_path, nullable=True)
    assert list(back.valid_data) == [True, False, True]
    assert row_hashes(back) == row_hashes(message)
    again = written(back, field, tmp_path, nullable=True)  # a server may send no value, too
    assert row_hashes(again) == row_hashes(message)


def test_another_type_than_the_schema_says_is_an_error():
    with pytest.raises(MeasurementError, match=r"field n: Int64: .*another type.*string_data"):
        columns.to_arrow(numbers("VarChar", ["a"], "string_data"), columns.field_of("Int64", "n"))


def test_json_that_is_no_utf_8_is_named_with_its_collection():
    field = columns.field_of("JSON", "json")
    with pytest.raises(MeasurementError, match=r"docs, field json: JSON.*not UTF-8"):
        columns.to_arrow(numbers("JSON", [b'{"a": "\xff"}'], "json_data"), field, where="docs")


def test_rows_are_sent_by_their_real_size(tmp_path):
    """A dictionary hides in the file that each row is large, and one row may be larger than all."""
    texts = ["x" * 100_000] * 300 + ["y" * 3_000_000] + ["z"] * 3
    made = {
        "id": columns.field_of("Int64", "id"),
        "t": columns.field_of("VarChar", "t"),
        "a": columns.field_of("Array", "a", element="VarChar"),
    }
    pa = columns.arrow()
    page = {
        "id": np.arange(304),
        "t": pa.array(texts),
        "a": pa.array([["w" * 1_000] * 50] * 300 + [None] * 4, made["a"].type),
    }
    path = tmp_path / "x.parquet"
    fields = files.Fields("id", made, frozenset({"a"}))
    files.write(path, fields, iter([page]), lambda _: None, 304)
    sent = list(files.batches(path, 1_000_000))
    rows = [value for one in sent for value in one.column(0).to_pylist()]
    assert rows == list(range(304))
    for one in sent:
        size = sum(message.ByteSize() for message in fields.messages(one))
        assert size <= 1_000_000 or one.num_rows == 1
    assert len(sent) == 300 // 6 + 2


SCHEMA = {"fields": [{"name": "id", "data_type": "Int64", "is_primary_key": True}]}
SETTINGS = {"shards_num": 1, "consistency_level": 0, "num_partitions": 1}


def collection(**changes):
    given = {"schema": SCHEMA, "settings": SETTINGS, "indexes": [], "aliases": []}
    return Collection.model_validate({**given, "partitions": {}, "loaded": True, **changes})


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"fields": [{**SCHEMA["fields"][0], "autoID": True}]}, "itself makes its keys"),
        ({**SCHEMA, "external_source": "s3://x"}, "outside of Milvus"),
        ({**SCHEMA, "struct_array_fields": [{"name": "s"}]}, "arrays of structs"),
        (
            {"fields": [*SCHEMA["fields"], {"name": "g", "data_type": "Geometry"}]},
            "field g is of a type that is not backed up: Geometry",
        ),
        (
            {**SCHEMA, "functions": [{"name": "embed", "type": "TextEmbedding"}]},
            r"function embed \(TextEmbedding\) computes",
        ),
    ],
)
def test_what_could_not_be_made_again_is_no_backup(schema, why):
    with pytest.raises(UnsupportedError, match=why):
        schemas.fields_of(collection(schema=schema), where="docs")


def test_what_a_function_makes_is_neither_read_nor_sent():
    made = {"name": "sparse", "data_type": "SparseFloatVector", "is_function_output": True}
    fields = schemas.fields_of(
        collection(schema={"fields": [*SCHEMA["fields"], made], "enable_dynamic_field": True}),
        where="docs",
    )
    assert list(fields.kept) == ["id", "$meta"]


def backup(**changes):
    given = {"kit_version": "1", "target": "t", "server": "v2.3.5", "database": "default"}
    return Backup.model_validate({**given, "collections": {}, "manifest": "m", **changes}).sealed()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace('"v2.3.5"', '"v2.3.6"'), "was changed after it was made"),
        (lambda text: text.replace("backup/1", "backup/9"), "made by a newer kit"),
        (lambda _: "{}", "this is no backup"),
        (lambda _: "", "this is no backup"),
    ],
)
def test_a_document_that_is_none_is_refused_with_the_reason(change, words, tmp_path):
    backup().save(tmp_path / document.FILE)
    assert document.read(tmp_path).server == "v2.3.5"
    path = tmp_path / document.FILE
    path.write_text(change(path.read_text()))
    with pytest.raises(ConfigurationError, match=words):
        document.read(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "data/../../x", "elsewhere/x"])
def test_no_file_of_a_backup_lies_outside_of_it(name, tmp_path):
    held = {"docs": collection().model_dump(by_alias=True)}
    held["docs"]["partitions"] = {"": {"file": "data/x", "rows": 1, "sha256": ""}}
    text = backup(collections=held).model_dump_json(by_alias=True)
    (tmp_path / document.FILE).write_text(text.replace("data/x", name))
    with pytest.raises(ConfigurationError, match="is not below data/"):
        document.read(tmp_path)


def test_a_folder_without_a_document_was_cut_short_or_is_none(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no backup here"):
        document.read(tmp_path)
    (tmp_path / document.DATA).mkdir()
    with pytest.raises(ConfigurationError, match="cut short"):
        document.read(tmp_path)
    with pytest.raises(UsageError, match="there is something in this folder already"):
        exporting.export(None, tmp_path, None)  # type: ignore[arg-type]


def test_what_pymilvus_does_not_know_of_a_schema_is_found_at_any_depth():
    schema = schema_pb2.CollectionSchema(name="docs", fields=[{"name": "id"}, {"name": "v"}])
    schema.fields[1].type_params.add(key="dim", value="2")
    assert schemas._unknown(schema, "schema") == []
    later = b"\xc2\x3e\x01x"  # field 1000, of one byte
    schema.fields[1].type_params[0].MergeFromString(later)
    schema.MergeFromString(later)
    assert schemas._unknown(schema, "schema") == ["schema.1000", "schema.fields.type_params.1000"]


def server_of(schema, monkeypatch):
    """A server of one collection, loaded twice, once in a resource group of a name."""
    answers = {
        "DescribeCollection": milvus_pb2.DescribeCollectionResponse(schema=schema, shards_num=2),
        "GetReplicas": milvus_pb2.GetReplicasResponse(
            replicas=[
                {"resource_group_name": "__default_resource_group"},
                {"resource_group_name": "readers"},
            ]
        ),
    }
    monkeypatch.setattr(schemas.described, "is_loaded", lambda *_: True)
    made: Any = SimpleNamespace(
        endpoint=SimpleNamespace(database="default"),
        is_lite=False,
        timeout=1,
        explained=lambda _: contextlib.nullcontext(),
        client=SimpleNamespace(list_indexes=lambda *_, **__: []),
        wire=SimpleNamespace(call=lambda method, *_, **__: answers[method]),
    )
    return made


def test_a_schema_of_a_later_milvus_is_no_backup_unless_its_own_files_are_copied(monkeypatch):
    schema = schema_pb2.CollectionSchema(name="docs", fields=[{"name": "id"}])
    known = schemas.described_by(server_of(schema, monkeypatch), "docs", whole=True)
    assert known.settings["replicas"] == 2
    assert known.settings["resource_groups"] == 1
    schema.fields[0].MergeFromString(b"\xc2\x3e\x01x")
    server = server_of(schema, monkeypatch)
    with pytest.raises(UnsupportedError, match=r"(?s)schema\.fields\.1000 .*update milvus-kit"):
        schemas.described_by(server, "docs", whole=True)
    assert schemas.described_by(server, "docs", whole=False).settings == known.settings


def test_a_restore_says_what_no_manifest_shows():
    settings = {**SETTINGS, "replicas": 2, "resource_groups": 1}
    lives = {"collection.ttl.seconds": "60"}
    notes = restoring._notes("docs", collection(settings=settings, properties=lives))
    assert "docs was loaded 2 times in 1 resource groups, and is once" in notes[0]
    assert "docs: its rows expire 60 s after this restore" in notes[1]
    assert restoring._notes("docs", collection()) == []  # as an earlier kit wrote it


@pytest.mark.parametrize("there", [True, False])
def test_an_earlier_backup_in_the_bucket_is_never_written_over(monkeypatch, tmp_path, there):
    known = targets()[0].storage
    assert known is not None
    seen = {}

    def listed(**asked):
        seen.update(asked)
        return {"KeyCount": 1, "Contents": [{"Key": "b/monday/x"}]} if there else {"KeyCount": 0}

    monkeypatch.setattr(in_bucket, "connect", lambda _: SimpleNamespace(list_objects_v2=listed))
    if there:
        with pytest.raises(UsageError, match=r"in this place of the bucket already"):
            in_bucket.require_free(tmp_path / "monday", known, "/b/")
    else:
        in_bucket.require_free(tmp_path / "monday", known, "/b/")
    assert seen["Prefix"] == "b/monday/"


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("files", "m"), ("files/backups", "m"), ("/files/x/", "m"), ("/", "m"), ("", "files")],
)
def test_milvus_own_prefix_is_no_place_for_a_backup(prefix, name):
    known = targets()[0]
    assert known.storage is not None
    storage = known.storage.model_copy(update={"root_path": "files"})
    with pytest.raises(UsageError, match="removes objects below its own prefix"):
        in_bucket.checked(known.model_copy(update={"storage": storage}), prefix, Path(name))


@pytest.mark.parametrize(
    ("root", "fits"),
    [
        ("backups/monday", False),
        ("backups/monday/x", False),
        ("backups/mon", True),
        ("backups", False),
    ],
)
def test_the_place_is_the_prefix_and_the_name(root, fits):
    known = targets()[0]
    assert known.storage is not None
    storage = known.storage.model_copy(update={"root_path": root})
    target = known.model_copy(update={"storage": storage})
    if fits:
        assert in_bucket.checked(target, "backups", Path("monday")) == storage
        return
    with pytest.raises(UsageError, match=r"removes objects below.*backups/monday/"):
        in_bucket.checked(target, "backups", Path("monday"))


def test_a_collection_that_is_named_twice_is_one():
    assert exporting._chosen(["a", "b"], ["b", "b"], "t") == ["b"]
    made = backup(collections={"a": collection(), "b": collection()})
    assert restoring._chosen(made, ["b", "b", "a"]) == ["b", "a"]


def test_a_restore_writes_nothing_where_its_manifest_has_no_place(tmp_path):
    (tmp_path / "progress.json").touch()
    with pytest.raises(UsageError, match="there is something in this folder already"):
        restoring.restore(None, tmp_path, tmp_path, None)  # type: ignore[arg-type]


def test_rows_that_are_counted_and_not_returned_are_no_backup(monkeypatch, tmp_path):
    server: Any = Server(monkeypatch)
    monkeypatch.setattr(schemas, "described_by", lambda *_, **__: collection())
    monkeypatch.setattr(reading, "count", lambda *_, **__: 6)
    why = r"a, partition _default.*counts 6 rows and returned 5: a key is there twice, or rows were"
    with pytest.raises(MeasurementError, match=why):
        exporting.export(server, tmp_path / "b", Progress(quiet=True))
    assert not (tmp_path / "b" / document.FILE).exists()


def test_a_target_without_a_store_has_no_bucket():
    with pytest.raises(UsageError, match="declares no storage"):
        in_bucket.checked(targets()[0].model_copy(update={"storage": None}), "backups", Path("m"))
