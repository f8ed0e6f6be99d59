"""Faults of changed rows: what each does to a request or a reply, and nothing else."""

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2

from validation.milvus.columns import to_message
from validation.runs.profiles import profile_named
from validation.selftest.faults import mutations
from validation.selftest.wire import changed
from validation.selftest.wire.fault import Exchange
from validation.suite import workload


def rows(count):
    """A reply to a query with so many rows."""
    columns = [("id", np.arange(count)), ("bucket", np.arange(count) * 10)]
    return milvus_pb2.QueryResults(fields_data=[to_message(*one) for one in columns])


def shown(message):
    ids, buckets = (field.scalars.long_data.data for field in message.fields_data)
    return list(zip(ids, buckets, strict=True))


def test_a_page_loses_its_first_rows_and_keeps_its_last():
    message = rows(100)
    assert changed.first_left_out(Exchange("Query", None, None, message))
    assert shown(message) == [(row, row * 10) for row in range(16, 100)]
    assert not changed.first_left_out(Exchange("Query", None, None, rows(0)))


def test_the_first_row_of_a_page_comes_twice_with_all_that_is_its_own():
    message = rows(3)
    assert changed.first_twice(Exchange("Query", None, None, message))
    assert shown(message) == [(0, 0), (0, 0), (1, 10), (2, 20)]
    assert not changed.first_twice(Exchange("Query", None, None, rows(0)))


def test_what_asks_in_a_partition_asks_everywhere_and_says_so():
    request = milvus_pb2.SearchRequest(partition_names=["even"])
    assert changed.everywhere(Exchange("Search", request, request))
    assert not request.partition_names
    assert not changed.everywhere(Exchange("Search", request, request))


@pytest.mark.parametrize(
    ("test", "request_", "holds"),
    [
        (changed.is_deleted_by_filter, milvus_pb2.DeleteRequest(expr="bucket < 20"), True),
        (changed.is_deleted_by_filter, milvus_pb2.DeleteRequest(expr="id in [1]"), False),
        (changed.is_iterated, milvus_pb2.QueryRequest(output_fields=["id"]), True),
        (changed.is_iterated, milvus_pb2.QueryRequest(output_fields=["id", "vector"]), False),
        (changed.returns_rows, milvus_pb2.QueryRequest(collection_name="mk_mutated"), True),
        (
            changed.returns_rows,
            milvus_pb2.QueryRequest(collection_name="mk_mutated", output_fields=["count(*)"]),
            False,
        ),
        (changed.returns_rows, milvus_pb2.QueryRequest(collection_name="mk_generated"), False),
    ],
)
def test_a_fault_is_about_its_own_calls(test, request_, holds):
    assert test(request_) == holds


@pytest.mark.parametrize("new", [False, True])
def test_lost_upserts_are_of_rows_that_are_there_in_the_end_and_that_searches_look_for(new):
    plan = workload.mutations(profile_named("selftest"))
    keys = mutations._lost(plan, new=new)
    assert len(keys) == mutations.ROWS
    at = np.flatnonzero(np.isin(plan.keys, keys))
    assert plan.present[at].all()
    assert np.isin(at, plan.upserted).all()
    assert ((at >= plan.start.rows) == new).all()
    assert (plan.source[at] != at).all()
