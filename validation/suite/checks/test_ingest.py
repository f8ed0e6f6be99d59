"""While rows come in at a steady rate, searches find what is there, and it is there soon."""

import numpy as np
import pytest

from validation.datasets.generated import generate
from validation.lifecycle import following, ingest
from validation.milvus.indexes import index_named
from validation.milvus.ownership import collection_name, dropped
from validation.suite import workload

pytestmark = pytest.mark.family("ingest")

DIMENSION, QUERIES, LOADED = 64, 200, 5_000
QUANTILES = (50, 90, 99)


@pytest.fixture(scope="module")
def ingested(connection, target, profile, run_id):
    """What was written and seen, in a collection of its own, and its dataset."""
    if not profile.ingest_seconds:
        pytest.skip(f"the profile {profile.name} leaves it out")
    if connection.is_lite:
        pytest.skip("Milvus Lite has one process at a time, and nothing happens beside a read")
    coming = int(profile.ingest_rate * profile.ingest_seconds) * ingest.ROWS_OF_A_WRITE
    dataset = generate(LOADED + coming, DIMENSION, queries=QUERIES, seed=profile.seed)
    index = index_named("HNSW", dataset.rows, k=workload.K)
    name = collection_name(run_id, "ingest")
    with dropped(connection, name):
        following.begin(connection, dataset, index, name=name, run=run_id, rows=LOADED)
        done = ingest.ingest(
            target,
            dataset,
            index,
            name=name,
            loaded=LOADED,
            rate=profile.ingest_rate,
            seconds=profile.ingest_seconds,
        )
    return done, dataset


def test_what_was_acknowledged_is_seen_soon_at_each_level(gate, ingested):
    done, _ = ingested
    for level, took in done.visible_ms.items():
        evidence = {
            f"p{share}_ms": float(np.percentile(took, share, method="higher"))
            for share in (QUANTILES if took else ())
        }
        gate("write.visible_after", took, labels={"level": level}, evidence=evidence)


def test_searches_find_what_is_there_at_their_time(gate, ingested):
    done, dataset = ingested
    found = [ingest.overlap(one, done.rows, dataset) for one in done.searches]
    failed = [one.failed for one in done.searches if one.failed]
    gate("ingest.recall", found, evidence={"failed": len(failed), "examples": failed[:3]})


def test_writes_keep_their_rate_without_gaps(gate, ingested):
    done, _ = ingested
    labels, evidence = {"during": "ingest"}, {"errors": done.errors}
    gate("write.longest_gap", [done.longest_gap_s], labels=labels, evidence=evidence)
    for kind in ("insert", "upsert", "delete"):
        took = done.write_ms.get(kind, ())
        gate("write.latency", took, labels={**labels, "kind": kind}, evidence=evidence)
