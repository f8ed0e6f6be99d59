"""Segments followed through their life, and rows that come in, on a real server."""

import math

import pytest

from validation.datasets.generated import generate
from validation.lifecycle import following, growth, ingest, reloading
from validation.lifecycle.searches import overlaps
from validation.milvus import agreement, backing
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.milvus.ownership import dropped

pytestmark = [pytest.mark.slow, pytest.mark.release]

ROWS = 4_000
DATASET = generate(ROWS, 32, queries=50, seed=1)
INDEX = index_named("HNSW", ROWS)


@pytest.fixture(scope="module")
def connection(embedded_target):
    with connect(embedded_target) as opened:
        yield opened


def test_segments_are_seen_to_be_sealed_flushed_indexed_and_merged(connection, embedded_target):
    name = "mk_life_segments"
    with dropped(connection, name):
        following.begin(connection, DATASET, INDEX, name=name, run="test", rows=ROWS // 2)
        seen = following.follow(
            connection, embedded_target, DATASET, INDEX, name=name, stage_seconds=1, limit=180
        )
        assert {"sealed", "flushed", "indexed"} <= set(seen.seconds)
        assert seen.not_done or {"compacted", "served again"} <= set(seen.seconds)
        assert all(math.isfinite(took) for took in seen.seconds.values())
        assert {"Sealed", "Flushed"} <= seen.states
        for stage in seen.stages:
            searches = seen.searches.within(stage.began, stage.ended)
            assert overlaps(searches, DATASET, INDEX, stage.present).mean() > 0.95, stage.name
        storage = embedded_target.storage
        found = backing.settled(connection, name, storage, known=seen.named)
        assert found.agrees or found.unclear
        assert growth.of(connection, name, storage).ratio > 1  # what was merged is still there
        again = reloading.reload(connection, DATASET, INDEX, name=name)
        assert len(again.first_ms) == reloading.ROUNDS


def test_rows_that_come_in_are_seen_at_each_level_and_found(connection, embedded_target):
    name, loaded = "mk_life_ingest", 2_000
    with dropped(connection, name):
        following.begin(connection, DATASET, INDEX, name=name, run="test", rows=loaded)
        account = agreement.settled(connection, name, loaded)
        assert account.agrees(loaded), account
        done = ingest.ingest(
            embedded_target, DATASET, INDEX, name=name, loaded=loaded, rate=20, seconds=5
        )
    assert set(done.visible_ms) == set(ingest.LEVELS)
    assert all(took and max(took) < math.inf for took in done.visible_ms.values())
    assert set(done.write_ms) == {"insert", "upsert", "delete"}
    assert not done.errors
    found = [ingest.overlap(one, done.rows, DATASET) for one in done.searches]
    assert sum(found) > 0.95 * len(found) > 0
