"""Rows spelt canonically, and where two manifests differ: planted differences, each of its kind."""

import json

import numpy as np
import pytest
from pymilvus.grpc_gen import schema_pb2
from pymilvus.grpc_gen.schema_pb2 import FieldData

from validation.errors import ConfigurationError, ExitCode, MeasurementError
from validation.milvus import manifest as hashing
from validation.milvus.columns import to_message
from validation.upgrade import differing, rows, telling
from validation.upgrade.canonical import column_of, fingerprints
from validation.upgrade.document import (
    FILE,
    PROGRESS,
    Collection,
    Manifest,
    Objects,
    Partition,
    load,
)
from validation.upgrade.making import _sum
from validation.upgrade.rows import Rows


def json_field(*texts, valid=()):
    field = FieldData(field_name="j", type=schema_pb2.JSON, valid_data=valid)
    field.scalars.json_data.data.extend(text.encode() for text in texts)
    return field


def array_field(*values, valid=()):
    field = FieldData(field_name="a", type=schema_pb2.Array, valid_data=valid)
    for one in values:
        field.scalars.array_data.data.add().int_data.data.extend(one)
    return field


def hashes(**fields):
    columns = {name: column_of(field) for name, field in fields.items()}
    return hashing.hashed({"id": np.arange(len(next(iter(columns.values())))), **columns})[1]


def test_json_is_the_same_whatever_its_spaces_and_the_order_of_its_keys():
    found = hashes(j=json_field('{"b": 1, "a": [1, 2]}', '{"a":[1,2],"b":1}', '{"a":[2,1],"b":1}'))
    keys = column_of(json_field('{"b": 1, "a": "ü"}'))
    assert keys == [b'{"a":"\\u00fc","b":1}']
    again = hashes(j=json_field('{"a":[1,2],"b":1}', '{"b": 1, "a": [1, 2]}', '{"b":1,"a":[2,1]}'))
    assert (found == again).all()


def test_an_empty_array_is_the_same_with_and_without_the_name_of_its_type():
    bare = FieldData(field_name="a", type=schema_pb2.Array)
    bare.scalars.array_data.data.add()
    named = array_field([])
    named.scalars.array_data.data[0].int_data.SetInParent()
    assert column_of(bare) == column_of(named) == [b""]
    assert column_of(array_field([0])) != [b""]


def page_of(kind, chosen):
    """A page with some of three rows, the second of which is NULL."""
    valid = [at != 1 for at in chosen]
    if kind == "json":
        return json_field(*[('{"a":1}', "", "[2]")[at] for at in chosen], valid=valid)
    if kind == "arrays":
        return array_field(*[([1], [], [2])[at] for at in chosen], valid=valid)
    columns = {
        "numbers": np.array([5, 0, 7])[chosen],
        "texts": [("x", "", "z")[at] for at in chosen],
        "vectors": np.array([[1, 2], [0, 0], [3, 4]], np.float32)[chosen],
    }
    field = to_message("f", columns[kind])
    field.valid_data.extend(valid)
    return field


@pytest.mark.parametrize("kind", ["numbers", "texts", "vectors", "json", "arrays"])
def test_a_row_does_not_depend_on_what_else_is_in_its_page(kind):
    def of(chosen):
        page = {"id": np.array(chosen), "f": column_of(page_of(kind, chosen))}
        return np.hstack([hashing.hashed(page)[1], fingerprints(page)])

    assert (of([0, 1, 2]) == np.vstack([of([at]) for at in range(3)])).all()


def test_null_is_neither_zero_nor_an_empty_text():
    null = FieldData(field_name="n", type=schema_pb2.Int64, valid_data=[False, True])
    null.scalars.long_data.data.extend([0, 0])
    found = hashes(n=null)
    assert (found[0] != found[1]).any()
    text = FieldData(field_name="t", type=schema_pb2.VarChar, valid_data=[False, True])
    text.scalars.string_data.data.extend(["", ""])
    plain = hashing.hashed({"id": np.array([7, 7]), "t": column_of(text)})
    assert (plain[1][0] != plain[1][1]).any()


def test_null_vectors_that_are_left_out_and_those_that_are_filled_are_the_same():
    filled = to_message("v", np.array([[1, 2], [0, 0]], np.float32))
    left_out = to_message("v", np.array([[1, 2]], np.float32))
    for field in (filled, left_out):
        field.valid_data.extend([True, False])
    assert (hashes(v=filled) == hashes(v=left_out)).all()


@pytest.mark.parametrize(
    ("kind", "width"), [("binary_vector", 2), ("float16_vector", 32), ("int8_vector", 16)]
)
def test_other_vectors_are_their_bytes(kind, width):
    field = FieldData(field_name="v")
    field.vectors.dim = 16
    setattr(field.vectors, kind, bytes(range(2 * width)))
    assert np.asarray(column_of(field)).tobytes() == bytes(range(2 * width))


def test_sparse_vectors_are_compared_by_ascending_index():
    def sparse(order):
        pairs = np.array([(3, 0.5), (1, 2.0)], dtype=[("i", "<u4"), ("v", "<f4")])[order]
        field = FieldData(field_name="s", type=schema_pb2.SparseFloatVector)
        field.vectors.sparse_float_vector.contents.append(pairs.tobytes())
        return column_of(field)

    assert sparse([0, 1]) == sparse([1, 0])


def test_a_type_that_this_version_does_not_know_is_refused_by_its_field():
    with pytest.raises(MeasurementError, match=r"field odd.*type that this version does not read"):
        column_of(FieldData(field_name="odd"))


SCHEMA = {"fields": [{"name": "id", "type": "INT64"}, {"name": "v", "type": "FLOAT_VECTOR"}]}
INDEX = {"v": {"index_type": "HNSW", "M": "16"}}


def made_of(columns):
    keys, found = hashing.hashed(columns)
    order = np.argsort(keys, kind="stable")
    return Rows(keys[order], found[order], fingerprints(columns)[order])


def columns(n=50, *, text_keys=False):
    ids = [f"k{at:04}" for at in range(n)] if text_keys else np.arange(n)
    return {"id": ids, "v": np.arange(2 * n, dtype=np.float32).reshape(n, 2), "w": ["x"] * n}


def saved(folder, held, *, chunk=7, counted=None, schema=SCHEMA, indexes=INDEX, **more):
    """Write a manifest of one collection as the command would, in files of a few rows."""
    part = Partition(counted=len(held) if counted is None else counted, complete=True)
    for number, at in enumerate(range(0, len(held), chunk)):
        piece = held.part(slice(at, at + chunk))
        part.chunks.append(rows.write(folder, f"rows/0-{number}.npz", piece))
        part.rows += len(piece)
        part.content = _sum(part.content, piece.content)
        part.keys = _sum(part.keys, piece.key_set)
    collection = Collection(
        described=schema,
        indexes=indexes,
        aliases=more.pop("aliases", []),
        partitions={"_default": part},
        fields=["id", "v", "w"],
        not_read=more.get("not_read", ""),
        served=more.pop("served", not more.pop("not_read", "")),
    )
    document = Manifest(
        kit_version="1",
        target="t",
        server=more.pop("server", "v2.3.5"),
        database="default",
        collections={"docs": collection},
        **more,
    )
    folder.mkdir(exist_ok=True)
    document.sealed().save(folder / FILE)
    return folder


@pytest.mark.parametrize("text_keys", [False, True], ids=["numbers", "strings"])
def test_the_same_rows_in_files_of_another_size_are_no_difference(tmp_path, text_keys):
    held = made_of(columns(text_keys=text_keys))
    one, other = saved(tmp_path / "a", held), saved(tmp_path / "b", held, chunk=50)
    assert differing.differ(one, other) == differing.Differences()


def without(held, key):
    keep = np.arange(len(held)) != key
    return Rows(held.keys[keep], held.hashes[keep], held.fields[keep])


@pytest.mark.parametrize("text_keys", [False, True], ids=["numbers", "strings"])
def test_lost_rows_and_those_that_came_back_are_named(tmp_path, text_keys):
    held = made_of(columns(text_keys=text_keys))
    one = saved(tmp_path / "a", held, chunk=6)
    other = saved(tmp_path / "b", without(held, 31), chunk=11)
    key = repr(held.keys[31]) if text_keys else "31"
    found = differing.differ(one, other).found
    assert found == [
        "docs, partition _default: 50 rows were counted, now 49",
        f"docs, partition _default: 1 rows are missing; first keys: {key}",
    ]
    back = differing.differ(other, one)
    assert f"1 rows were not there before; first keys: {key}" in back.found[1]
    assert back.rows == {"unexpected": 1}


@pytest.mark.parametrize(("field", "value"), [("v", np.float32(0.5)), ("w", "y")])
def test_a_changed_value_names_its_row_and_its_field(tmp_path, field, value):
    other = columns()
    if field == "v":
        other["v"] = other["v"].copy()
        other["v"][17, 1] = value
    else:
        other["w"] = [*other["w"]]
        other["w"][17] = value
    one = saved(tmp_path / "a", made_of(columns()))
    two = saved(tmp_path / "b", made_of(other), chunk=20)
    (said,) = differing.differ(one, two).found
    assert said.endswith(f"1 rows have other content; first keys: 17; fields: {field}")


def test_two_pairs_of_changed_rows_do_not_cancel(tmp_path):
    other = columns()
    other["v"] = other["v"].copy()
    other["v"][[3, 4]] = other["v"][[4, 3]]
    one, two = saved(tmp_path / "a", made_of(columns())), saved(tmp_path / "b", made_of(other))
    assert differing.differ(one, two).rows["changed"] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"indexes": {"v": {"index_type": "HNSW", "M": "8"}}}, "indexes.v.M was '16', now '8'"),
        ({"indexes": {}}, "indexes.v was {'index_type': 'HNSW', 'M': '16'}, now None"),
        ({"schema": {"fields": [{"name": "id", "type": "VARCHAR"}]}}, "schema.fields.id.type"),
        ({"aliases": ["a"]}, "aliases was [], now ['a']"),
        ({"counted": 49}, "50 rows were counted, now 49"),
        ({"users": {"root": []}, "roles": {}}, "authentication was switched on"),
    ],
    ids=["parameter", "index", "field", "alias", "count", "authentication"],
)
def test_what_else_may_differ_is_named_with_both_values(tmp_path, change, said):
    held = made_of(columns())
    one, other = saved(tmp_path / "a", held), saved(tmp_path / "b", held, **change)
    assert any(said in text for text in differing.differ(one, other).found)


def test_what_was_not_read_is_never_the_same(tmp_path):
    held = made_of(columns())
    one = saved(tmp_path / "a", held)
    other = saved(tmp_path / "b", held.part(slice(0, 0)), not_read="it is not loaded", counted=50)
    assert differing.differ(one, other).not_read == ["docs was not read after: it is not loaded"]


@pytest.mark.parametrize(
    ("served", "now", "code"),
    [(True, False, ExitCode.FAIL), (False, True, ExitCode.PASS), (False, False, ExitCode.PASS)],
)
def test_what_had_to_be_loaded_to_be_read_is_not_served_any_more(
    tmp_path, capsys, served, now, code
):
    held = made_of(columns())
    one = saved(tmp_path / "a", held, served=served)
    other = saved(tmp_path / "b", held, served=now)
    found = differing.differ(one, other)
    assert telling.differences(found) == code
    said = "docs was served before, and now: it was loaded for the manifest alone"
    assert (said in capsys.readouterr().out) == (code == ExitCode.FAIL)


def test_the_same_says_of_how_much_and_nothing_is_not_the_same(tmp_path, capsys):
    one = saved(tmp_path / "a", made_of(columns()))
    assert telling.differences(differing.differ(one, one)) == ExitCode.PASS
    assert "the same: 1 collections, 50 rows" in capsys.readouterr().out
    empty = load(one).model_copy(update={"collections": {}}).sealed()
    (tmp_path / "none").mkdir()
    empty.save(tmp_path / "none" / FILE)
    found = differing.differ(tmp_path / "none", tmp_path / "none")
    assert telling.differences(found) == ExitCode.INCONCLUSIVE
    assert "nothing was compared" in capsys.readouterr().out


def test_a_bucket_that_could_not_be_listed_is_not_read(tmp_path):
    one = load(saved(tmp_path / "a", made_of(columns()), objects=Objects()))
    assert telling.made(one, tmp_path) == ExitCode.PASS
    denied = one.model_copy(update={"objects": Objects(not_read="denied")})
    assert telling.made(denied, tmp_path) == ExitCode.INCONCLUSIVE


def test_rows_that_are_counted_and_not_returned_are_not_read(tmp_path, capsys):
    held = made_of(columns())
    one = saved(tmp_path / "a", held, counted=51)
    why = "docs, partition _default{}: the server counts 51 rows and returned 50: a key is there"
    assert telling.made(load(one), one) == ExitCode.INCONCLUSIVE
    assert why.format("") in capsys.readouterr().out
    found = differing.differ(one, one)
    assert telling.differences(found) == ExitCode.INCONCLUSIVE
    assert why.format(", before") in found.not_read[0]
    assert why.format(", after") in found.not_read[1]


def test_a_manifest_names_the_fields_that_functions_compute(tmp_path, capsys):
    fields = [*SCHEMA["fields"], {"name": "embedded", "is_function_output": True}]
    one = saved(tmp_path / "a", made_of(columns()), schema={"fields": fields})
    assert telling.made(load(one), one) == ExitCode.PASS
    assert "not vouched for: embedded, which functions compute" in capsys.readouterr().out


def test_sums_that_differ_are_a_difference_also_where_no_key_tells_which(tmp_path, monkeypatch):
    held = made_of(columns())
    one, other = saved(tmp_path / "a", held), saved(tmp_path / "b", without(held, 3), counted=50)

    def gone(folder, _):
        raise ConfigurationError("rows of a manifest are missing", where=str(folder))

    for instead, why in ((gone, "rows of a manifest are missing"), (lambda *_: iter(()), "no key")):
        monkeypatch.setattr(rows, "read", instead)
        (said,) = differing.differ(one, other).found
        assert "50 rows of content" in said
        assert "now 49 of" in said
        assert "which ones differ is not known: " in said
        assert why in said


def test_every_file_of_rows_is_looked_at_before_a_manifest_counts(tmp_path):
    one = saved(tmp_path / "a", made_of(columns()))
    last = max((one / "rows").glob("*.npz"))
    last.unlink()
    with pytest.raises(ConfigurationError, match="rows of a manifest are missing"):
        load(one)


def test_a_restored_collection_has_numbers_of_its_own(tmp_path):
    def numbered(first):
        fields = [{**one, "field_id": first + at} for at, one in enumerate(SCHEMA["fields"])]
        made = {"id": first, "name": "f", "type": "BM25", "output_field_ids": [first]}
        return {"fields": fields, "functions": [made]}

    held = made_of(columns())
    one = saved(tmp_path / "a", held, schema=numbered(100))
    other = saved(tmp_path / "b", held, schema=numbered(102))
    assert differing.differ(one, other, restored=True) == differing.Differences()
    assert len(differing.differ(one, other).found) == 4


ROLES = {"public": ["Query"], "readers": ["Query"]}


@pytest.mark.parametrize(
    ("roles", "server", "found", "notes"),
    [
        ({"public": ["Query", "Search"]}, "v2.6.0", 0, 2),
        ({"public": ["Query", "Search"]}, "v2.3.5", 1, 0),
        ({"public": []}, "v2.6.0", 1, 1),
        ({"readers": ["Query", "Search"]}, "v2.6.0", 1, 1),
    ],
    ids=["a later version's", "granted", "lost", "of another role"],
)
def test_only_what_a_later_version_lets_its_own_roles_do_may_be_more(
    tmp_path, roles, server, found, notes
):
    held = made_of(columns())
    one = saved(tmp_path / "a", held, users={}, roles=ROLES)
    other = saved(tmp_path / "b", held, users={}, roles={**ROLES, **roles}, server=server)
    seen = differing.differ(one, other)
    assert (len(seen.found), len(seen.notes)) == (found, notes)


def test_a_manifest_that_was_edited_or_cut_short_or_lost_rows_is_refused(tmp_path):
    one = saved(tmp_path / "a", made_of(columns()))
    path = one / FILE
    whole = path.read_text()
    document = json.loads(whole)
    document["collections"]["docs"]["partitions"]["_default"]["counted"] = 1
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match="changed after it was made"):
        load(one)
    path.write_text(whole)
    other = saved(tmp_path / "b", without(made_of(columns()), 3))
    next((other / "rows").glob("*.npz")).write_bytes(b"")
    with pytest.raises(ConfigurationError, match="rows of a manifest were changed"):
        differing.differ(one, other)
    path.rename(one / PROGRESS)
    with pytest.raises(ConfigurationError, match="not finished"):
        load(one)
    with pytest.raises(ConfigurationError, match="no manifest here"):
        load(tmp_path)
