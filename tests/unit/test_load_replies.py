"""Replies under load are read whole, and wrong ones void the times that they came in."""

import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from validation.datasets.generated import generate
from validation.datasets.ground_truth import exact
from validation.load.client import ClientUse
from validation.load.loops import _samples
from validation.load.plan import Plan
from validation.load.record import Feed, Record
from validation.load.replies import read
from validation.milvus.indexes import index_named
from validation.milvus.wire import Endpoint
from validation.suite import answering
from validation.suite.checks import test_latency as check

K = 10
DATASET = generate(1_024, 8, queries=20)
TRUTH = exact(DATASET.vectors, DATASET.queries.vectors, K, DATASET.metric)
PLAN = Plan(Endpoint("here", "127.0.0.1:1"), (b"",) * 20, (K,) * 20)


def reply(ids, scores, *, top=None):
    texts = any(isinstance(one, str) for one in ids)
    keys = schema_pb2.IDs()
    (keys.str_id if texts else keys.int_id).data.extend(ids)
    data = schema_pb2.SearchResultData(
        num_queries=1,
        top_k=K,
        ids=keys,
        scores=scores,
        topks=[len(ids) if top is None else top],
    )
    return milvus_pb2.SearchResults(results=data).SerializeToString()


def right(query):
    return reply(np.asarray(DATASET.ids)[TRUTH.rows[query]].tolist(), TRUTH.distances[query])


def measured(replies):
    count = len(replies)
    times = np.arange(count) * 0.01
    record = Record(
        times,
        times,
        times + 0.005,
        np.zeros(count),
        [""] * count,
        replies,
        limited=0,
        resent=0,
        turns_s=np.array([0.001]),
        use=ClientUse(1.0, 0.1, 0.0),
    )
    return _samples(PLAN, [Feed(np.arange(count))], [record])


def observed(replies, other=""):
    """Return what the check hands to the gates: samples and why they are void, by metric."""
    found = {}

    def gate(metric, values, **said):
        found[metric] = (np.asarray(values), said.get("void"))

    index = index_named("FLAT")
    held = answering.expected(DATASET, TRUTH, index)
    samples = measured(replies)
    load = {"load": "one after the other"}
    wrong = answering.observe_load(gate, samples.replies, samples.numbers, held, load)
    served = {"asked": {}, "got": {}}, other
    check.observe(gate, samples, "search.latency.serial", samples.latencies_ms, {}, served, wrong)
    return found


def test_right_answers_are_judged_by_their_times():
    found = observed([right(query) for query in range(20)] * 2)
    assert found.pop("search.latency.serial") == (pytest.approx(np.full(40, 5.0)), None)
    assert (found.pop("ann_overlap@10")[0] == 1).all()
    assert {metric for metric, (counts, _) in found.items() if counts.sum()} == set()
    assert {"answers.duplicates", "answers.wrong_scores", "exact_search.misses"} <= set(found)


def test_times_of_another_index_than_the_one_that_was_asked_are_void():
    other = "the index asked for is HNSW, the server has FLAT"
    found = observed([right(query) for query in range(20)] * 2, other)
    assert found["search.latency.serial"][1] == other


@pytest.mark.parametrize(
    ("ids", "scores", "kind"),
    [
        (lambda ids: [ids[0]] * K, lambda scores: scores, "answers.duplicates"),
        (lambda ids: ids, lambda scores: scores * 2, "answers.wrong_scores"),
        (lambda ids: ids[::-1], lambda scores: scores[::-1], "answers.disordered"),
        (lambda ids: [*ids[:9], 2**40], lambda scores: scores, "answers.unknown"),
    ],
)
def test_one_wrong_answer_in_forty_is_counted_and_voids_the_times(ids, scores, kind):
    known = np.asarray(DATASET.ids)[TRUTH.rows[7]].tolist()
    replies = [right(query) for query in range(20)] * 2
    replies[27] = reply(ids(known), scores(TRUTH.distances[7]))
    found = observed(replies)
    assert found[kind][0].sum() >= 1
    assert np.flatnonzero(found[kind][0]).tolist() == [27]
    assert str(found["search.latency.serial"][1]).startswith("1 of 40 answers were wrong")
    assert kind in str(found["search.latency.serial"][1])


def test_an_answer_to_another_query_is_noticed():
    replies = [right(query) for query in range(20)]
    replies[3] = right(4)
    assert observed(replies)["answers.foreign"][0].sum() == 1


def test_replies_that_say_nothing_are_failures_by_kind_and_no_answers():
    said = milvus_pb2.SearchResults(status=common_pb2.Status(code=100, reason="no such thing"))
    replies = [right(0), said.SerializeToString(), b"\xff", b"", reply([1, 2], [0.1, 0.2]), b""]
    called = ["", "", "", "gRPC UNAVAILABLE", "", ""]
    found = read(PLAN, np.arange(6), called, replies)
    assert found.failures == [
        "",
        "Milvus code 100: no such thing",
        "a reply that cannot be parsed",
        "gRPC UNAVAILABLE",
        "incomplete: 2 of 10 hits",
        "incomplete: 0 of 10 hits",
    ]
    assert found.answered.tolist() == [True, False, False, False, True, True]
    assert found.answers.found.tolist() == [10, 0, 0, 0, 2, 0]


def test_keys_may_be_texts_and_hits_that_are_not_there_are_not_counted():
    found = read(PLAN, np.arange(1), [""], [reply(["a", "b"], [0.1, 0.2], top=K)])
    assert found.answers.of(0) == ["a", "b"]
