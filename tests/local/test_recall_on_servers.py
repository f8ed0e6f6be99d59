"""`milvus-kit recall` on collections of somebody else's, on the real server and on Milvus Lite."""

import json

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from typer.testing import CliRunner

from validation import cli
from validation.common.progress import Progress
from validation.errors import ExitCode, UnsupportedError, UsageError
from validation.local.lite import lite_target
from validation.milvus import reading, searching
from validation.milvus.connection import connect
from validation.recall import telling
from validation.recall.measure import measure
from validation.recall.plan import Plan
from validation.recall.subject import subject_of

ROWS, DIM = 4_000, 16
K = 10
QUIET = Progress(quiet=True)
RANDOM = np.random.default_rng(11)
VECTORS = RANDOM.normal(size=(ROWS, DIM)).astype(np.float32)
VECTORS[100:130] = VECTORS[100]  # more that are equally near than are asked for
TWINS = {f'd"{row}' for row in range(100, 130)}
KEYS = [f'd"{row}' for row in range(ROWS)]
YEARS = np.arange(ROWS) % 50


def make(client, name, *, index, metric, params=None, load=True, lost=()):
    """Make a collection as its owner would: fields of other names, strings for keys."""
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("doc", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("emb", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("year", DataType.INT64)
    schema.add_field("more", DataType.JSON)
    client.create_collection(name, schema=schema)
    rows = [
        {"doc": KEYS[at], "emb": VECTORS[at], "year": int(YEARS[at]), "more": {"a": at % 7}}
        for at in range(ROWS)
        if at not in lost
    ]
    client.insert(name, rows)
    client.flush(name)
    built = client.prepare_index_params()
    built.add_index("emb", index_type=index, metric_type=metric, params=params or {})
    client.create_index(name, built)
    if load:
        client.load_collection(name)


@pytest.fixture(scope="module")
def server(embedded_target):
    with connect(embedded_target) as connection:
        client = connection.client
        small = {"M": 4, "efConstruction": 8}
        make(client, "own_hnsw", index="HNSW", metric="IP", params=small)
        make(client, "own_flat", index="FLAT", metric="COSINE")
        make(client, "own_unloaded", index="FLAT", metric="L2", load=False)
        yield connection
        for name in ("own_hnsw", "own_flat", "own_unloaded"):
            client.drop_collection(name)


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    with connect(lite_target(tmp_path_factory.mktemp("lite"))) as connection:
        make(connection.client, "own_flat", index="FLAT", metric="L2")
        yield connection


def measured(connection, name, **changes):
    asked = {"queries": 100, "k": K, "sweep": ("", ()), **changes}
    return measure(subject_of(connection, name), Plan(**asked), QUIET)


def by_hand(query, metric):
    """Return the keys of the nearest rows, the query itself left out, by float64 brute force."""
    rows = VECTORS.astype(np.float64)
    near = rows @ rows[query]
    if metric == "COSINE":
        near /= np.linalg.norm(rows, axis=1) * np.linalg.norm(rows[query])
    if metric == "L2":
        near = -np.square(rows - rows[query]).sum(axis=1)
    near[query] = -np.inf
    return [KEYS[row] for row in np.argsort(-near, kind="stable")[:K]]


def test_recall_is_what_brute_force_by_hand_makes_of_the_same_answers(server, monkeypatch):
    asked, answers = [], []
    search = searching.search

    def watched(connection, name, vectors, **named):
        asked.extend(vectors)
        answers.append(search(connection, name, vectors, **named))
        return answers[-1]

    monkeypatch.setattr(searching, "search", watched)
    found = measured(server, "own_hnsw", params={"ef": 16}, queries=60)
    assert not found.not_measured
    assert found.read == found.keys == ROWS
    given = found.points[0]
    for at, vector in enumerate(asked):
        row = int(np.flatnonzero((vector == VECTORS).all(axis=1))[0])
        hits = [key for key in answers[0].of(at) if key != KEYS[row]][:K]
        lost = {key for key in by_hand(row, "IP") if key not in hits}
        if TWINS.isdisjoint({*lost, *hits, KEYS[row]}):  # else any of those that are equally near
            assert {one.key for one in given.missed if one.query == KEYS[row]} == lost
            assert given.overlap[at] == pytest.approx(1 - len(lost) / K)
    assert 0.1 < given.overlap.mean() < 0.95


@pytest.mark.parametrize("where", ["server", "lite"])
def test_exhaustive_search_finds_all_ties_included_under_a_filter_and_with_fields(where, request):
    connection = request.getfixturevalue(where)
    found = measured(
        connection, "own_flat", condition='year < 5 or more["a"] == 3', fields=("year", "more")
    )
    assert not found.not_measured
    wanted = int(((YEARS < 5) | (np.arange(ROWS) % 7 == 3)).sum())
    assert found.read == found.counted[0] == wanted
    assert found.points[0].overlap.min() == 1
    assert found.points[0].wrong == {}
    assert telling.verdict(found) is ExitCode.PASS


def test_a_sweep_finds_the_cheapest_parameters_that_hold(server):
    found = measured(server, "own_hnsw", sweep=None, params={"ef": 16}, want=0.9)
    means = [one.recall.value for one in found.points if one.recall]
    assert means == sorted(means)
    assert means[0] < 0.9 < means[-1]
    best = telling.cheapest(found)
    assert best is not None
    assert best.recall is not None
    assert best.recall.low >= 0.9
    cheaper = found.points[found.points.index(best) - 1]
    assert cheaper.recall is None or cheaper.recall.low < 0.9


def test_queries_from_a_file_are_asked_as_they_are(server, tmp_path):
    np.save(tmp_path / "q.npy", VECTORS[:40].astype(np.float64))
    found = measured(server, "own_flat", queries=tmp_path / "q.npy")
    assert found.queries == 40
    assert found.points[0].overlap.min() == 1


def test_parameters_that_the_server_refuses_are_told(server):
    found = measured(server, "own_hnsw", params={"ef": 4})
    assert "ef" in found.points[0].refused
    assert telling.verdict(found) is ExitCode.INCONCLUSIVE


def test_nothing_is_changed(server, monkeypatch):
    called = []
    asked = server.wire.call
    monkeypatch.setattr(
        server.wire, "call", lambda method, *a, **m: called.append(method) or asked(method, *a, **m)
    )
    allowed = {
        *("list_collections", "has_collection", "describe_collection", "get_load_state"),
        *("list_indexes", "describe_index", "search", "query"),
    }

    class Watched:
        def __getattr__(self, name):
            assert name in allowed, name
            return getattr(client, name)

    client = server.client
    before = client.get_collection_stats("own_flat")
    monkeypatch.setattr(server, "client", Watched())
    measured(server, "own_flat", fields=("year",), condition="year < 9")
    assert set(called) <= {"Query", "GetQuerySegmentInfo"}
    assert client.get_collection_stats("own_flat") == before


def test_a_collection_that_is_not_loaded_is_not_loaded_by_us(server):
    with pytest.raises(UsageError, match="not loaded"):
        subject_of(server, "own_unloaded")
    assert server.client.get_load_state("own_unloaded")["state"].name == "NotLoad"


def test_a_file_of_milvus_lite_has_to_be_served(tmp_path):
    target = lite_target(tmp_path)
    with connect(target) as connection:
        make(connection.client, "own_closed", index="FLAT", metric="L2")
    with (
        connect(target) as connection,
        pytest.raises(UsageError, match=r"not loaded.*NotLoad.*\n.*milvus-lite server"),
    ):
        subject_of(connection, "own_closed")


def test_what_is_not_there_is_named(server):
    with pytest.raises(UsageError, match=r"no such collection.*own_flat"):
        subject_of(server, "own_flatt")
    with pytest.raises(UsageError, match="--field: emb"):
        subject_of(server, "own_flat", "embedding")
    with pytest.raises(UsageError, match="no such field of vectors"):
        subject_of(server, "own_flat", "year")


def test_vectors_that_cannot_be_compared_are_said_so(server):
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=16)
    server.client.create_collection("own_bits", schema=schema)
    try:
        with pytest.raises(UnsupportedError, match="FLOAT_VECTOR"):
            subject_of(server, "own_bits", "bits")
    finally:
        server.client.drop_collection("own_bits")


def test_rows_that_the_reading_loses_are_noticed(server, monkeypatch):
    whole = reading.Table.query

    def lossy(self, condition, parameters=None):
        rows = whole(self, condition, parameters)
        if "emb" in rows and len(rows["emb"]) > 500:
            return {name: values[1:] for name, values in rows.items()}
        return rows

    monkeypatch.setattr(reading.Table, "query", lossy)
    found = measured(server, "own_flat")
    assert f"counts {ROWS:,} rows and returns {ROWS - 1:,} rows" in found.not_measured


def test_a_row_that_comes_meanwhile_is_noticed(server, monkeypatch):
    count, counts = reading.count, []

    def later(*args):
        counts.append(count(*args))
        return counts[-1] + len(counts) - 1

    monkeypatch.setattr(reading, "count", later)
    assert "changed meanwhile" in measured(server, "own_flat").not_measured


def test_answers_that_are_wrong_in_other_ways_are_counted(server, monkeypatch):
    search = searching.search

    def worse(*args, **named):
        answers = search(*args, **named)
        answers.distances[0] *= 0.5
        answers.fields["year"][1, 1] = 99
        return answers

    monkeypatch.setattr(searching, "search", worse)
    wrong = measured(server, "own_flat", fields=("year",)).points[0].wrong
    assert wrong["answers.wrong_scores"] >= K
    assert wrong["answers.wrong_fields"] == 1


OPTIONS = ["--collection", "own_flat", "--queries", "50", "--want", "0.9", "--output", "json"]


@pytest.mark.usefixtures("server")
def test_the_command_prints_a_document(embedded_target_file):
    done = CliRunner().invoke(
        cli.app,
        ["recall", "--target", str(embedded_target_file), *OPTIONS],
        standalone_mode=False,
    )
    assert done.return_value == ExitCode.PASS
    found = json.loads(done.stdout)
    assert found["verdict"] == "pass"
    assert found["collection"]["metric"] == "COSINE"
    assert found["points"][0]["recall"]["mean"] == 1
