"""Load, prove, search and measure on the real server and on Milvus Lite."""

import dataclasses
import threading

import numpy as np
import pytest

from validation.answers.checking import check
from validation.answers.model import Expected
from validation.answers.precision import Precision
from validation.datasets.generated import generate, selecting
from validation.datasets.ground_truth import exact, exact_under
from validation.datasets.model import Condition, Filter, Queries
from validation.errors import MeasurementError, OwnershipError, UnsupportedError
from validation.load.loops import open_loop, serial
from validation.load.plan import search_plan
from validation.local.stack import EmbeddedStack
from validation.milvus import (
    capabilities,
    indexing,
    loading,
    manifest,
    objects,
    ownership,
    reading,
    schema,
    searching,
    waiting,
    wire,
)
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.target import Milvus, Target

DATASET = dataclasses.replace(generate(3_000, 16, queries=50), name="small")
TRUTH = exact(DATASET.vectors, DATASET.queries.vectors, 10)
FLAT = index_named("FLAT")
PASSAGES = [
    "replace the pump seal every two years",
    "quarterly travel expenses are due on Friday",
    "error code E4711 means that the pump is dry",
    'a "quoted" passage with ünïcödé and a backslash \\',
]


def texts():
    vectors = np.eye(4, 8, dtype=np.float32)
    return dataclasses.replace(
        DATASET,
        ids=["p1", "ü2", 'p"3', "p\\4"],
        vectors=vectors,
        scalars={"kind": ["a", "b", "a", "b"], "share": np.array([0.1, -0.0, 1e300, 5e-324])},
        queries=Queries(ids=["q"], vectors=vectors[2:3], texts=["E4711"]),
        texts=PASSAGES,
    )


@pytest.fixture(scope="module")
def server(embedded_target):
    with connect(embedded_target) as connection:
        yield connection
        ownership.drop_all_ours(connection, run="tests")


@pytest.fixture(scope="module")
def loaded(server):
    """The dataset on the real server, with a flat index."""
    return loading.load(server, DATASET, name="mk_small", index=FLAT, run="tests")


@pytest.fixture
def lite(tmp_path):
    with connect(Target(name="lite", milvus=Milvus(uri=str(tmp_path / "a.db")))) as connection:
        yield connection


def test_what_is_stored_is_what_was_sent(server, loaded):
    assert [phase.name for phase in loaded.phases] == [
        "create",
        "insert",
        "flush",
        "index",
        "load",
    ]
    np.testing.assert_array_equal(loaded.acknowledged, DATASET.ids)
    found = manifest.compare(manifest.sent(DATASET), manifest.stored(server, "mk_small"))
    assert found.none, found
    assert found.evidence["rows_counted"] == 3_000


@pytest.mark.parametrize("like", [None, manifest.sent(DATASET)], ids=["pages", "ranges"])
def test_several_pages_or_ranges_cover_every_row_once(server, loaded, monkeypatch, like):
    monkeypatch.setattr(reading, "MAX_PAGE", 700)
    found = manifest.stored(server, loaded.name, like=like)
    assert found.count == 3_000
    assert found.digest == manifest.sent(DATASET).digest


def test_rows_that_nobody_expects_are_read_although_ranges_were_cut_for_others(
    server, loaded, monkeypatch
):
    monkeypatch.setattr(reading, "MAX_PAGE", 700)
    middle = manifest.sent(DATASET)
    middle = dataclasses.replace(
        middle, keys=middle.keys[1000:2400], hashes=middle.hashes[1000:2400]
    )
    found = manifest.compare(middle, manifest.stored(server, loaded.name, like=middle))
    assert (found.missing, found.unexpected, found.changed) == (0, 1_600, 0)


def test_rows_below_another_prefix_than_was_declared_are_told_and_not_missed(server, loaded):
    store = server.target.storage
    found = objects.inventory(server, loaded.name, store)
    assert found.objects["insert_log"] > 0
    unknown = store.model_copy(update={"root_path": None})
    assert objects.inventory(server, loaded.name, unknown).objects == found.objects
    wrong = store.model_copy(update={"root_path": "file"})
    with pytest.raises(MeasurementError, match=r"below file/ .* lies below files/") as caught:
        objects.inventory(server, loaded.name, wrong)
    assert "storage.root_path: files" in caught.value.remedy


def test_a_flat_index_finds_the_exact_neighbours(server, loaded):
    answers = searching.search(server, loaded.name, DATASET.queries.vectors, k=10)
    found = check(answers, Expected(DATASET, TRUTH, precision=Precision("L2"), exhaustive=True))
    assert (found.overlap == 1).all()
    assert not found.wrong.any(), found.examples
    np.testing.assert_allclose(answers.distances, TRUTH.distances, rtol=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_filtered_search_finds_the_exact_neighbours_that_match(server, loaded, share):
    wanted = selecting(share)
    truth = exact(DATASET.vectors, DATASET.queries.vectors, 10, mask=wanted.mask(DATASET.scalars))
    answers = searching.search(server, loaded.name, DATASET.queries.vectors, k=10, filter=wanted)
    found = check(answers, Expected(DATASET, truth, wanted, exhaustive=True))
    assert not found.wrong.any(), found.examples


def test_a_filter_finds_just_what_it_names_whatever_characters_are_in_it(server, monkeypatch):
    words = ["plain", 'quo"ted', "back\\slash", "two\nlines", "car\rriage", "\\n", "tab\t", ""]
    numbers = np.array([2**63 - 1, -(2**63) + 1, 2**53 + 1, -1, 0, 1, 2, 3])
    dataset = dataclasses.replace(
        DATASET,
        ids=[f"{number}{word}" for number, word in enumerate(words)],
        vectors=np.eye(8, dtype=np.float32),
        scalars={"word": words, "number": numbers},
    )
    loading.load(server, dataset, name="mk_words", index=FLAT, run="tests")
    conditions = [Condition("word", "eq", word) for word in words]
    conditions += [Condition("number", "in", [number]) for number in numbers.tolist()]
    filters = [Filter((condition,)) for condition in conditions]
    answers = searching.search(
        server,
        "mk_words",
        np.repeat(dataset.vectors[:1], len(filters), axis=0),
        k=8,
        filter=filters,
    )
    assert [answers.of(at) for at in range(len(filters))] == [[one] for one in dataset.ids] * 2
    monkeypatch.setattr(reading, "MAX_PAGE", 2)  # so that each second key is in a condition
    stored = manifest.stored(server, "mk_words")
    assert stored.digest == manifest.sent(dataset).digest


def test_filters_of_single_queries_are_kept_apart(server, loaded):
    filters = [None, selecting(0.01)] * 25
    answers = searching.search(server, loaded.name, DATASET.queries.vectors, k=10, filter=filters)
    truth = exact_under(DATASET, 10, filters)
    found = check(answers, Expected(DATASET, truth, filters, exhaustive=True))
    assert not found.wrong.any(), found.examples


def test_searches_under_load_are_complete(server, loaded):
    plan = search_plan(server, loaded.name, DATASET.queries.vectors, k=10)
    one = serial(plan, n=100, warmup=20)
    many = open_loop(plan, rate=50, seconds=1, warmup=10)
    assert one.failed.sum() == many.failed.sum() == 0
    assert (one.n, many.n) == (100, 50)


def test_a_collection_that_is_gone_fails_every_search_with_its_reason(server):
    plan = search_plan(server, "mk_never_there", DATASET.queries.vectors, k=10)
    found = serial(plan, n=3)
    assert found.failed.sum() == 3
    assert "mk_never_there" in next(iter(found.errors))


def test_another_index_takes_the_place_of_the_first_and_keeps_the_rows(server, loaded):
    index = index_named("HNSW", 3_000)
    phases = loading.reindex(server, loaded.name, index, DATASET)
    assert [phase.name for phase in phases] == ["release", "index", "load"]
    described = server.client.describe_index(loaded.name, schema.VECTOR)
    assert (described["index_type"], described["indexed_rows"]) == ("HNSW", 3_000)
    answers = searching.search(
        server, loaded.name, DATASET.queries.vectors, k=10, params=index.search
    )
    assert check(answers, Expected(DATASET, TRUTH)).overlap.mean() > 0.9
    assert manifest.stored(server, loaded.name).digest == manifest.sent(DATASET).digest


def forgetting(connection, monkeypatch, forgotten, *, again=True):
    """Let a server forget an index until it is asked for again; return the fields asked for.

    It hears the second request too unless ``again`` is False: Lite refuses what Milvus takes.
    """
    asked = []
    ask, describe = connection.client.create_index, connection.client.describe_index

    def counted(name, parameters, **more):
        (field,) = (parameter.field_name for parameter in parameters)
        asked.append(field)
        if again or asked.count(field) == 1:
            ask(name, parameters, **more)
        if asked.count(forgotten) == 2:  # a slow build would be asked for a third time
            monkeypatch.setattr(indexing, "_ASK_SECONDS", 60)

    def forgetful(name, field, **more):
        found = describe(name, field, **more)
        waits = {"state": "InProgress", "indexed_rows": 0, "pending_index_rows": 1}
        return {**found, **waits} if field == forgotten and asked.count(field) < 2 else found

    monkeypatch.setattr(connection.client, "create_index", counted)
    monkeypatch.setattr(connection.client, "describe_index", forgetful)
    monkeypatch.setattr(indexing, "_ASK_SECONDS", 0.1)
    return asked


def test_an_index_that_milvus_forgot_is_asked_for_again(server, monkeypatch):
    asked = forgetting(server, monkeypatch, schema.VECTOR)
    loading.load(server, DATASET, name="mk_forgotten", index=FLAT, run="tests", seconds=20)
    assert asked == [schema.VECTOR] * 2


def test_an_index_of_keywords_that_milvus_forgot_is_asked_for_again(lite, monkeypatch):
    asked = forgetting(lite, monkeypatch, schema.SPARSE, again=False)
    loading.load(lite, texts(), name="mk_texts", index=FLAT, run="tests", keywords=True, seconds=20)
    assert asked == [schema.SPARSE, schema.VECTOR, schema.SPARSE]
    assert searching.keyword_search(lite, "mk_texts", ["E4711"], k=2).of(0) == ['p"3']


def test_a_collection_of_somebody_else_is_never_touched(server):
    # Of our name and shape, and even of our words, but not with our mark.
    theirs = schema.schema(DATASET, "not made by milvus-kit; run 1; dataset 2")
    server.client.create_collection("mk_theirs", schema=theirs)
    try:
        with pytest.raises(OwnershipError, match="mk_theirs"):
            loading.load(server, DATASET, name="mk_theirs", index=FLAT, run="tests")
        with pytest.raises(OwnershipError, match="mk_theirs"):
            loading.reindex(server, "mk_theirs", FLAT, DATASET)
        assert "mk_theirs" not in ownership.drop_all_ours(server, run="other")
        assert ownership.exists(server, "mk_theirs")
    finally:
        server.client.drop_collection("mk_theirs")


def test_an_interrupted_load_leaves_nothing_that_cannot_be_removed(server):
    def interrupt(said):
        if "rows sent" in said:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loading.load(server, DATASET, name="mk_broken", index=FLAT, run="tests", report=interrupt)
    assert ownership.ours(server)["mk_broken"].run == "tests"
    assert ownership.drop_ours(server, "mk_broken")
    assert not ownership.drop_ours(server, "mk_broken")


def test_a_server_without_keywords_says_so_and_is_left_as_it_was(server):
    with pytest.raises(UnsupportedError, match=r"2\.5 or later.*2\.3\.5"):
        searching.keyword_search(server, "mk_small", ["pump"], k=1)
    found = capabilities.probe(server, only="bm25")
    assert not found["bm25"].available
    assert "v2.3.5" in found["bm25"].reason
    assert not [name for name in ownership.ours(server) if "probe" in name]


def test_waiting_ends_with_its_time_limit_and_says_for_what():
    with pytest.raises(MeasurementError, match=r"not done within 0\.1 s: wait for ever"):
        waiting.poll(lambda: False, seconds=0.1, doing="wait for ever", where="here")


def test_a_batch_that_is_not_acknowledged_in_full_is_an_error(lite, monkeypatch):
    whole = wire.Wire.call

    def losing(self, method, request, **options):
        answer = whole(self, method, request, **options)
        if method == "Insert":
            del answer.IDs.int_id.data[-1]
        return answer

    monkeypatch.setattr(wire.Wire, "call", losing)
    with pytest.raises(MeasurementError, match="acknowledged other rows"):
        loading.load(lite, DATASET, name="mk_small", index=FLAT, run="tests")


def test_lite_stores_and_finds_texts_with_awkward_keys(lite):
    dataset = texts()
    loading.load(lite, dataset, name="mk_texts", index=FLAT, run="tests", keywords=True)
    found = manifest.compare(manifest.sent(dataset), manifest.stored(lite, "mk_texts"))
    assert found.none, found
    by_word = searching.keyword_search(lite, "mk_texts", ["E4711"], k=2)
    assert by_word.of(0) == ['p"3']
    both = searching.hybrid_search(lite, "mk_texts", dataset.queries.vectors, ["pump"], k=2)
    assert both.of(0)[0] == 'p"3'


def test_lite_has_keywords_and_leaves_nothing_of_the_probe(lite):
    found = capabilities.probe(lite)
    assert {name: one.available for name, one in found.items()} == {
        "bm25": True,
        "hybrid": True,
        "diskann": False,
    }
    assert lite.client.list_collections() == []


def test_lite_tells_ours_from_theirs_although_it_keeps_no_descriptions(lite):
    lite.client.create_collection("mk_theirs", dimension=4)
    loading.create(lite, DATASET, name="mk_ours", run="tests")
    assert list(ownership.ours(lite)) == ["mk_ours"]
    with pytest.raises(OwnershipError, match="mk_theirs"):
        ownership.drop_ours(lite, "mk_theirs")
    assert ownership.drop_ours(lite, "mk_ours")
    assert lite.client.list_collections() == ["mk_theirs"]


def test_lite_has_the_same_rows_after_it_was_closed_and_opened(tmp_path):
    target = Target(name="lite", milvus=Milvus(uri=str(tmp_path / "a.db")))
    with connect(target) as connection:
        loading.load(connection, DATASET, name="mk_small", index=FLAT, run="tests")
    with connect(target) as connection:
        loading.load_for_search(connection, "mk_small")
        assert manifest.stored(connection, "mk_small").digest == manifest.sent(DATASET).digest


def test_several_threads_can_search_at_once(server, loaded):
    found = []

    def ask():
        answers = searching.search(server, loaded.name, DATASET.queries.vectors[:5], k=10)
        found.append(answers.ids.tolist())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert all(one == found[0] for one in found)


def test_a_killed_server_has_the_same_rows_and_answers_when_it_is_back(tmp_path):
    with EmbeddedStack(tmp_path / "stack") as stack, connect(stack.target) as connection:
        loading.load(connection, DATASET, name="mk_small", index=FLAT, run="tests")
        before = searching.search(connection, "mk_small", DATASET.queries.vectors, k=10)
        stack.restart_milvus(kill=True)
        with connect(stack.target) as again:
            loading.load_for_search(again, "mk_small", seconds=60)
            after = searching.search(again, "mk_small", DATASET.queries.vectors, k=10)
            held = manifest.stored(again, "mk_small")
    assert before.ids.tolist() == after.ids.tolist()
    assert manifest.compare(manifest.sent(DATASET), held).none
