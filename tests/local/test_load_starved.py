"""A client whose core others take does not judge the server. The loops are really there."""

import os

import pytest

from validation.datasets.generated import generate
from validation.load.loops import open_loop, serial
from validation.load.plan import search_plan
from validation.milvus import loading
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.milvus.ownership import drop_ours
from validation.selftest.held_up import busy_loops


@pytest.fixture(scope="module")
def searches(embedded_target):
    dataset = generate(3_000, 16, queries=50)
    with connect(embedded_target) as connection:
        name = "mk_starved"
        loading.load(connection, dataset, name=name, index=index_named("FLAT"), run="starved")
        yield search_plan(connection, name, dataset.queries.vectors)
        drop_ours(connection, name)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_client_that_shares_its_core_with_busy_loops_is_inconclusive(searches):
    found = []
    with busy_loops(min(os.sched_getaffinity(0))):
        for _ in range(3):
            found.append(serial(searches, n=300, warmup=5))
            found.append(open_loop(searches, rate=50, seconds=2, warmup=5))
    assert [samples.failed.sum() for samples in found] == [0] * len(found)
    assert [samples.evidence() for samples in found if not samples.void] == []
