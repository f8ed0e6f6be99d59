"""While rows are written and read at once, each read sees what its consistency level allows."""

import pytest

from validation.history import checker, driving
from validation.history.checker import check
from validation.milvus.ownership import collection_name

pytestmark = pytest.mark.family("living")

BOUNDED_NS = 5_000_000_000
"""`common.gracefulTime`: how far Milvus lets a read at level Bounded lag behind unless told."""
METRICS = {
    checker.LOST: "history.lost",
    checker.STALE: "history.stale",
    checker.RESURRECTED: "history.resurrected",
    checker.DUPLICATE: "history.duplicates",
    checker.WRONG_VALUE: "history.wrong_values",
    checker.PHANTOM: "history.phantoms",
    checker.MISCOUNTED: "history.miscounted",
}


@pytest.fixture(scope="module")
def driven(connection, target, profile, recorder, run_id):
    """Writers and readers at work on a collection of their own, which is dropped at the end."""
    if connection.is_lite:
        pytest.skip("Milvus Lite has one process at a time, and nothing happens beside a read")
    with driving.collection(connection, collection_name(run_id, "living"), run=run_id) as name:
        done = driving.drive(target, name, seconds=profile.living_seconds, seed=profile.seed)
    done.history.save(recorder.folder / f"history.{target.name}.npz")
    return done


def test_every_read_sees_what_it_may_see(gate, driven):
    found = check(driven.history, bounded_ns=BOUNDED_NS)
    evidence = {
        "writes": found.writes,
        "unknown": found.unknown,
        "reads": found.reads,
        "sightings": found.sightings,
        "errors": driven.errors,
    }
    reason = None if found.reads and found.writes > found.unknown else "nothing was answered"
    for kind, metric in METRICS.items():
        examples = {"examples": found.examples[kind]} if found.examples[kind] else {}
        gate(metric, [found.counts[kind]], evidence=evidence | examples, not_measured=reason)


def test_writes_are_acknowledged_in_time_and_without_gaps(gate, driven):
    gate("write.longest_gap", [driven.longest_gap_s], evidence={"errors": driven.errors})
    for kind in ("insert", "upsert", "delete"):
        took = driven.write_ms.get(kind, ())
        gate("write.latency", took, labels={"kind": kind})
