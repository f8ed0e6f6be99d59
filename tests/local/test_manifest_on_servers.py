"""Manifests of a real server: the same twice, and each planted difference by its key and field."""

import itertools
import json

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from tests.unit.test_upgrade_sides import measured, side_of
from validation import cli
from validation.common.progress import Progress
from validation.common.resources import find
from validation.errors import ExitCode, MeasurementError, UsageError
from validation.milvus import reading
from validation.milvus.connection import connect
from validation.target import load as target_of
from validation.upgrade import differing, making
from validation.upgrade.document import FILE, PROGRESS, load
from validation.upgrade.plan import NAME as NAME_OF_ROWS
from validation.upgrade.plan import plan_for

NAME, ROWS = "of_every_type", 3_000


def row(at):
    return {
        "pk": f"key {at:05} ü",
        "vector": np.random.default_rng(at).random(8, np.float32).tolist(),
        "document": {"at": at, "tags": ["a", None, 1.5]},
        "numbers": list(range(at % 4)),
        "small": at % 100,
        "real": at / 3,
        "unknown": f"dynamic {at}",
    }


@pytest.fixture(scope="module")
def server(embedded_target):
    with connect(embedded_target) as connection:
        yield connection


@pytest.fixture
def collection(server):
    """A user's collection: string keys, JSON, arrays, dynamic fields, a partition, an alias."""
    client = server.client
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=40)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
    schema.add_field("document", DataType.JSON)
    schema.add_field("numbers", DataType.ARRAY, element_type=DataType.INT32, max_capacity=4)
    schema.add_field("small", DataType.INT8)
    schema.add_field("real", DataType.FLOAT)
    client.create_collection(NAME, schema=schema, consistency_level="Strong")
    client.create_partition(NAME, "half")
    client.insert(NAME, [row(at) for at in range(ROWS // 2)])
    client.insert(NAME, [row(at) for at in range(ROWS // 2, ROWS)], partition_name="half")
    index(client, "HNSW", {"M": 8, "efConstruction": 64})
    client.create_alias(NAME, "its_alias")
    client.load_collection(NAME)
    yield client
    client.drop_alias("its_alias")
    client.drop_collection(NAME)


def index(client, kind, params):
    wanted = client.prepare_index_params()
    wanted.add_index("vector", index_type=kind, metric_type="L2", params=params)
    client.create_index(NAME, wanted)


@pytest.fixture
def made(server, tmp_path):
    """Make a manifest in a new folder; return the folder."""
    numbers = itertools.count()

    def make(**choices):
        folder = tmp_path / str(next(numbers))
        making.make(server, folder, Progress(quiet=True), only=[NAME], **choices)
        return folder

    return make


def test_each_planted_difference_is_named_and_nothing_else(collection, made, monkeypatch):
    before = made()
    found = load(before).collections[NAME]
    assert (found.rows, sorted(found.partitions)) == (ROWS, ["_default", "half"])
    assert found.aliases == ["its_alias"]
    assert found.fields == ["$meta", "document", "numbers", "pk", "real", "small", "vector"]
    monkeypatch.setattr(reading, "MAX_PAGE", 333)
    monkeypatch.setattr(making, "CHUNK_ROWS", 700)
    assert differing.differ(before, made()) == differing.Differences()

    collection.delete(NAME, ids=[row(7)["pk"]])
    (counted, lost) = differing.differ(before, made()).found
    assert counted == f"{NAME}, partition _default: 1,500 rows were counted, now 1,499"
    assert lost == f"{NAME}, partition _default: 1 rows are missing; first keys: 'key 00007 ü'"
    gone = made()
    collection.insert(NAME, [row(7)])  # a delete that comes back
    assert (
        "were not there before; first keys: 'key 00007 ü'"
        in differing.differ(gone, made()).found[1]
    )
    assert differing.differ(before, made()).found == []

    changed = {**row(9), "unknown": "another", "real": 1.0}
    collection.upsert(NAME, [changed])
    (said,) = differing.differ(before, made()).found
    assert said.endswith(
        "1 rows have other content; first keys: 'key 00009 ü'; fields: $meta, real"
    )
    collection.upsert(NAME, [row(9)])

    collection.release_collection(NAME)
    collection.drop_index(NAME, "vector")
    index(collection, "IVF_FLAT", {"nlist": 16})
    collection.load_collection(NAME)
    said = differing.differ(before, made()).found
    assert f"{NAME}: indexes.vector.index_type was 'HNSW', now 'IVF_FLAT'" in said


@pytest.mark.usefixtures("collection")
def test_a_manifest_that_was_cut_short_goes_on_where_it_was(server, tmp_path, made, monkeypatch):
    monkeypatch.setattr(reading, "MAX_PAGE", 100)
    monkeypatch.setattr(making, "CHUNK_ROWS", 100)
    asked, query = [], reading.Table.query

    def dying(self, condition, parameters=None):
        asked.append(condition)
        if len(asked) == 12:
            raise KeyboardInterrupt
        return query(self, condition, parameters)

    monkeypatch.setattr(reading.Table, "query", dying)
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        making.make(server, folder, Progress(quiet=True), only=[NAME])
    assert (folder / PROGRESS).exists()
    assert not (folder / FILE).exists()
    making.make(server, folder, Progress(quiet=True), only=[NAME])
    assert len(asked) < 12 + 30  # there are 30 pages and two ends, and most of 11 were kept
    assert differing.differ(folder, made()) == differing.Differences()
    with pytest.raises(UsageError, match="there is a manifest already"):
        making.make(server, folder, Progress(quiet=True), only=[NAME])


def test_rows_that_are_written_meanwhile_are_told(server, collection, tmp_path, monkeypatch):
    query = reading.Table.query

    def writing(self, condition, parameters=None):
        collection.delete(NAME, ids=[row(20)["pk"]])
        return query(self, condition, parameters)

    monkeypatch.setattr(reading.Table, "query", writing)
    with pytest.raises(MeasurementError, match=r"written while they were read.*1,500.*1,499"):
        making.make(server, tmp_path / "m", Progress(quiet=True), only=[NAME])


def test_a_server_that_lost_everything_fails_and_is_not_measured(embedded_target_file, tmp_path):
    known = target_of(embedded_target_file)
    rules = find("stacks") / "upgrade.slo.yaml"
    named = ("docs", NAME_OF_ROWS)
    plan = plan_for(known, rules, rounds=10, seed=1, rows=100, dim=4, collections=named)
    base, after = side_of(tmp_path / "base", measured(1, count=10), of=plan), tmp_path / "after"
    asked = ("compare", base, "--target", embedded_target_file, "-o", after)
    assert command(*asked) == ExitCode.FAIL
    gates = {
        gate["gate"]: gate for gate in json.loads((after / "results.json").read_text())["gates"]
    }
    assert "collection docs is gone" in gates["upgrade.data"]["reason"]
    assert f"{NAME_OF_ROWS} is gone" in gates["upgrade.search"]["reason"]


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(one) for one in arguments])
    return ended.value.code


def test_the_command_says_what_was_not_read_and_loads_it_when_it_is_told_to(
    collection, embedded_target_file, tmp_path, capsys
):
    one, other = tmp_path / "one", tmp_path / "other"
    asked = ("manifest", "--target", embedded_target_file, "--collection", NAME)
    collection.release_collection(NAME)
    assert command(*asked, "-o", one) == ExitCode.INCONCLUSIVE
    assert f"{NAME} was not read: it is not loaded" in capsys.readouterr().out
    assert command(*asked, "-o", other, "--load") == ExitCode.PASS
    assert collection.get_load_state(NAME)["state"].name == "NotLoad"
    assert command("manifest", "diff", one, other) == ExitCode.INCONCLUSIVE
    assert command("manifest", "diff", other, other) == ExitCode.PASS
    assert command(*asked, "nothing", "-o", one) == ExitCode.USAGE
    assert command("manifest", "--target", embedded_target_file) == ExitCode.USAGE
    assert command("manifest", "diff", one, tmp_path) == ExitCode.USAGE
