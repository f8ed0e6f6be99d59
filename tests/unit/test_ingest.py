"""What a search beside writes has to know, and the faults of a stream of writes."""

import math

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2

from validation.answers.model import Answers
from validation.datasets.generated import generate
from validation.datasets.ground_truth import exact
from validation.lifecycle.ingest import Rows, overlap
from validation.lifecycle.searches import Search
from validation.milvus.columns import to_message
from validation.selftest.wire import ingest
from validation.selftest.wire.fault import Exchange

DATASET = generate(1_100, 8, queries=2, seed=1)


def test_a_read_must_know_what_was_acknowledged_and_may_know_what_was_sent():
    rows = Rows(
        sent=np.array([0.0, 4, 4, 9, 0, 0]),
        acknowledged=np.array([1.0, math.inf, 6, math.inf, 1, 1]),
        leaving=np.array([math.inf, math.inf, math.inf, math.inf, 2, 6]),
        gone=np.array([math.inf, math.inf, math.inf, math.inf, 3, math.inf]),
    )
    must, may = rows.known(5.0, 7.0)
    assert must.tolist() == [True, False, False, False, False, False]
    assert may.tolist() == [True, True, True, False, False, True]


def there(**changes):
    rows = Rows.none_of(DATASET.rows)
    rows.sent[:1_000] = rows.acknowledged[:1_000] = 0.0
    for name, (which, when) in changes.items():
        getattr(rows, name)[which] = when
    return rows


def search(ids):
    ids = np.asarray(ids)[None]
    return Search(5.0, 6.0, 0, Answers(ids, np.zeros(ids.shape), np.array([ids.size])))


def nearest(count, *, among):
    mask = np.zeros(DATASET.rows, dtype=bool)
    mask[among] = True
    return exact(DATASET.vectors, DATASET.queries.vectors[:1], count, "L2", mask=mask).rows[0]


def test_recall_is_by_what_was_visible_then():
    near = nearest(10, among=slice(0, 1_000))
    assert overlap(search(near), there(), DATASET) == 1.0
    assert overlap(search(near[:5]), there(), DATASET) == 0.5
    assert overlap(search([*near[:9], near[0]]), there(), DATASET) == 0.9


def test_a_row_that_was_not_sent_yet_is_no_neighbour_and_one_that_was_may_be():
    first = nearest(1, among=slice(1_000, None))
    near = nearest(10, among=slice(0, 1_000))
    rows = there()
    rows.acknowledged[near[0]], rows.sent[near[0]] = math.inf, math.inf
    assert overlap(search(near), rows, DATASET) == 0.9
    rows.sent[near[0]] = 5.5
    assert overlap(search(near), rows, DATASET) == 1.0
    assert overlap(search([*near[:9], first[0]]), there(), DATASET) == 0.9


def test_a_row_that_is_being_deleted_may_be_there_or_not():
    near = nearest(11, among=slice(0, 1_000))
    leaving = there(leaving=(near[0], 5.5))
    assert overlap(search(near[:10]), leaving, DATASET) == 1.0
    assert overlap(search(near[1:]), leaving, DATASET) == 1.0
    gone = there(leaving=(near[0], 3.0), gone=(near[0], 4.0))
    assert overlap(search(near[:10]), gone, DATASET) == 0.9


def test_a_search_that_failed_found_nothing():
    assert overlap(Search(5.0, 6.0, 0, failed="refused"), there(), DATASET) == 0.0


def looked_up(expression):
    request = milvus_pb2.QueryRequest(collection_name="mk_ingest", expr=expression)
    reply = milvus_pb2.QueryResults(fields_data=[to_message("id", np.array([7]))])
    return Exchange("Query", request, request, reply)


def test_a_row_is_left_out_of_look_ups_for_its_time_alone(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(ingest.time, "monotonic", lambda: now[0])
    late = ingest.SeenLate(11.0)
    assert late(looked_up("id in [7]"))
    assert not late(looked_up("id >= 0"))
    now[0] += 11.5
    assert not late(looked_up("id in [7]"))


@pytest.mark.parametrize(
    ("after", "refused"), [(0.0, False), (1.9, False), (2.0, True), (18.9, True), (19.5, False)]
)
def test_writes_of_the_stream_are_refused_for_a_while(monkeypatch, after, refused):
    now = [100.0]
    monkeypatch.setattr(ingest.time, "monotonic", lambda: now[0])
    test = ingest.ForAWhile(2.0, 17.0)
    insert = milvus_pb2.InsertRequest(collection_name="mk_1_ingest", num_rows=10)
    load = milvus_pb2.InsertRequest(collection_name="mk_1_ingest", num_rows=5_000)
    assert not test(load)
    assert not test(insert) or not after
    now[0] += after
    assert test(insert) is refused
    assert not test(load)
