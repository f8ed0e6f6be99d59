"""While segments grow, are flushed, indexed and compacted, searches stay right and fast."""

import numpy as np
import pytest

from validation.datasets.generated import generate
from validation.lifecycle import following, growth, reloading
from validation.lifecycle.searches import overlaps
from validation.milvus import loading
from validation.milvus.indexes import index_named
from validation.milvus.ownership import collection_name, dropped
from validation.suite import workload
from validation.suite.checks.test_storage import compared
from validation.upgrade import statistics

pytestmark = pytest.mark.family("segments")

DIMENSION, QUERIES = 64, 200
SMALL_ROWS = 500
"""Fewer than 1,024: Milvus builds no index for such a segment."""
ROUNDS, OF_A_ROUND = 20, 5
CONFIDENCE = 0.95


@pytest.fixture(scope="module")
def life(connection, target, profile, run_id):
    """A collection whose segments were followed, what was seen, and its dataset and index."""
    if not profile.segment_rows:
        pytest.skip(f"the profile {profile.name} follows no segments")
    if connection.is_lite:
        pytest.skip("not measured: Milvus Lite tells nothing of its segments")
    rows = profile.segment_rows
    dataset = generate(rows, DIMENSION, queries=QUERIES, seed=profile.seed)
    index = index_named("HNSW", rows, k=workload.K)
    name = collection_name(run_id, "segments")
    with dropped(connection, name):
        following.begin(connection, dataset, index, name=name, run=run_id, rows=rows // 2)
        seen = following.follow(
            connection,
            target,
            dataset,
            index,
            name=name,
            stage_seconds=profile.segment_seconds,
            limit=profile.segment_limit,
        )
        yield name, dataset, index, seen


def test_each_change_of_a_segment_comes_in_time(gate, life):
    _, _, _, seen = life
    evidence = {
        "states": sorted(seen.states),
        "segments": len(seen.named),
        "not_done": seen.not_done,
    }
    for change, seconds in seen.seconds.items():
        gate("segments.seconds", [seconds], labels={"change": change}, evidence=evidence)


def test_searches_stay_right_and_fast_in_every_stage(gate, life):
    _, dataset, index, seen = life
    quiet, *others = seen.stages
    usual = milliseconds(seen.searches.within(quiet.began, quiet.ended))
    for stage in seen.stages:
        searches = seen.searches.within(stage.began, stage.ended)
        labels = {"stage": stage.name}
        evidence = {"seconds": stage.ended - stage.began, "searches": len(searches)}
        failed = [one for one in searches if one.failed]
        if failed:
            evidence["failed"] = failed[0].failed
        gate("segments.searches_failed", [len(failed)], labels=labels, evidence=evidence)
        found = overlaps(searches, dataset, index, stage.present)
        gate("segments.recall", found, labels=labels, evidence=evidence)
        took = milliseconds(searches)
        if stage in others and len(took) >= ROUNDS * OF_A_ROUND <= len(usual):
            evidence |= {"quiet_p50_ms": float(np.median(usual)), "p50_ms": float(np.median(took))}
            low, high = statistics.bounds(rounds(usual), rounds(took), confidence=CONFIDENCE)
            gate("segments.slowdown", [low, high], labels=labels, evidence=evidence)


def test_the_bucket_does_not_outgrow_what_segments_name(gate, connection, life, target):
    name, _, _, seen = life
    labels = {"dataset": "segments"}
    reason, found = compared(connection, target.storage, name, seen.named)
    if found is None:
        gate("storage.objects_missing", labels=labels, not_measured=reason)
        gate("storage.growth", not_measured=reason)
        return
    gate(
        "storage.objects_missing",
        [len(found.missing)],
        labels=labels,
        not_measured=None if found.missing else found.uncompared or None,
        evidence={"segments": found.named, "objects": found.objects, "examples": found.missing[:5]},
    )
    size = growth.of(connection, name, target.storage)
    evidence = {"bytes": size.all_bytes, "named_bytes": size.named_bytes}
    gate("storage.growth", [size.ratio], evidence=evidence)


def test_the_first_search_after_a_load_is_like_any_other(gate, connection, life, run_id):
    name, dataset, index, _ = life
    observe_reload(gate, connection, dataset, index, name, "indexed")
    small = collection_name(run_id, "small")
    few = following.part(dataset, slice(0, SMALL_ROWS))
    with dropped(connection, small):
        loading.load(connection, few, name=small, index=index, run=run_id)
        observe_reload(gate, connection, few, index, small, "never indexed")


def observe_reload(gate, connection, dataset, index, name, segment):
    """Load a collection again, and search it at once."""
    found = reloading.reload(connection, dataset, index, name=name)
    labels = {"segment": segment}
    evidence = {"steady_p50_ms": found.steady_ms, "load_seconds": found.load_seconds.tolist()}
    gate("search.latency.first", found.first_ms, labels=labels, evidence=evidence)
    gate("segments.seconds", [found.load_seconds.max()], labels={"change": "load", **labels})


def milliseconds(searches):
    """Return how long searches took, shape (n,)."""
    return np.array([one.milliseconds for one in searches])


def rounds(took):
    """Return the medians of stretches of as many searches each, shape (20,)."""
    return np.array([np.median(one) for one in np.array_split(took, ROUNDS)])
