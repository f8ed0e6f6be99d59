"""Making a manifest where the server refuses: what is noted, what is taken up, what is refused."""

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.unit.test_upgrade_sides import TARGET
from validation.common.progress import Progress
from validation.errors import MeasurementError, UnreachableError
from validation.milvus import loading, reading
from validation.upgrade import described, making
from validation.upgrade.document import Collection, Partition

FIELDS = [
    {"name": "id", "type": SimpleNamespace(name="INT64"), "params": {}, "is_primary": True},
    {"name": "v", "type": SimpleNamespace(name="FLOAT_VECTOR"), "params": {"dim": 2}},
]
PAGE = {"id": np.arange(5), "v": np.zeros((5, 2), np.float32)}


class Server:
    """Two collections of which pages and load states are given."""

    def __init__(self, monkeypatch, *, loaded=("a", "b"), broken=(), partition="_default"):
        self.partition = partition
        self.loaded, self.broken = {*loaded}, {*broken}
        self.target, self.server_version, self.is_lite = TARGET, "v2.3.3", False
        self.endpoint = SimpleNamespace(name="t", database="default")
        for module, name, act in (
            (described, "collections", lambda _: ["a", "b"]),
            (described, "collection", self.collection),
            (described, "is_loaded", lambda _, name: name in self.loaded),
            (loading, "load_for_search", lambda _, name: self.loaded.add(name)),
            (reading, "count", lambda *_, **__: 5),
            (reading.Table, "pages", lambda table, *_: self.pages(table)),
            (making._Making, "_release", lambda _, name: self.loaded.discard(name)),
        ):
            monkeypatch.setattr(module, name, act)

    def collection(self, _, name):
        made = Collection(
            described={},
            indexes={},
            aliases=[],
            partitions={self.partition: Partition()},
            served=name in self.loaded,
        )
        return made, FIELDS

    def pages(self, table):
        if table.name in self.broken:
            raise MeasurementError("a segment is not there", where=table.name)
        assert table.partition == self.partition
        yield PAGE


def make(server, folder, **choices):
    return making.make(server, folder, Progress(quiet=True), **choices)


def test_a_page_that_fails_leaves_the_others_read_where_nobody_can_come_back(monkeypatch, tmp_path):
    server = Server(monkeypatch, broken=["a"])
    made = make(server, tmp_path / "m", go_on=True).collections
    assert made["a"].not_read == "a: a segment is not there"
    assert made["a"].served
    assert (made["b"].not_read, made["b"].rows) == ("", 5)


def test_what_the_kit_loaded_is_not_served_also_when_the_manifest_is_taken_up(
    monkeypatch, tmp_path
):
    server = Server(monkeypatch, loaded=["b"], broken=["b"])
    with pytest.raises(MeasurementError, match="a segment is not there"):
        make(server, tmp_path / "m", load=True)
    assert server.loaded == {"b"}  # released again
    server.loaded.add("a")  # as if the first try had been killed before it could
    server.broken.clear()
    made = make(server, tmp_path / "m", load=True).collections
    assert {name: one.served for name, one in made.items()} == {"a": False, "b": True}
    assert all(one.rows == 5 for one in made.values())


def test_all_partitions_as_one_are_read_without_naming_any(monkeypatch, tmp_path):
    made = make(Server(monkeypatch, partition=""), tmp_path / "m").collections
    assert [one.file for one in made["a"].partitions[""].chunks] == ["rows/a/all.00000.npz"]


def test_rows_that_are_written_meanwhile_are_no_collection_that_cannot_be_read(
    monkeypatch, tmp_path
):
    server, counts = Server(monkeypatch), iter([5, 6])
    monkeypatch.setattr(reading, "count", lambda *_, **__: next(counts))
    with pytest.raises(MeasurementError, match="rows were written while they were read"):
        make(server, tmp_path / "m", go_on=True)


@pytest.mark.parametrize(("error", "served"), [(MeasurementError, False), (UnreachableError, True)])
def test_a_count_that_is_refused_is_not_served_and_one_without_an_answer_is_not_read(
    monkeypatch, tmp_path, error, served
):
    def refuse(*_, **__):
        raise error("no")

    server = Server(monkeypatch)
    monkeypatch.setattr(reading, "count", refuse)
    made = make(server, tmp_path / "m", go_on=True).collections["a"]
    assert (made.not_read, made.served) == ("no", served)


@pytest.mark.parametrize("keyed", [False, True])
def test_partitions_that_a_key_chooses_are_read_as_one_and_counted(keyed):
    said = {"fields": [{"name": "t", "is_partition_key": keyed}], "num_shards": 1}
    client = SimpleNamespace(
        describe_collection=lambda *_, **__: said,
        list_indexes=lambda *_, **__: [],
        list_partitions=lambda *_, **__: ["_default_0", "_default_1"],
        get_load_state=lambda *_, **__: {"state": SimpleNamespace(name="Loaded")},
    )
    server: Any = SimpleNamespace(
        client=client, timeout=1, explained=lambda _: contextlib.nullcontext()
    )
    made, _ = described.collection(server, "docs")
    assert list(made.partitions) == ([""] if keyed else ["_default_0", "_default_1"])
    assert made.described.get("partitions") == (2 if keyed else None)
    assert made.served
