"""What must be there after rows were changed, and what is seen of it."""

import numpy as np
import pytest

from validation.datasets.generated import generate
from validation.datasets.ground_truth import distances_to
from validation.milvus import manifest
from validation.mutations.plan import DELETED_BUCKETS, DROPPED, planned
from validation.mutations.seen import held

DATASET = generate(3_000, 8, queries=5)
PLAN = planned(DATASET, 2_000)


def replayed(plan):
    """The rows as an honest server has them: by key, the row of `DATASET` whose content it has."""
    rows = {int(plan.keys[at]): (at, int(plan.partition[at])) for at in range(plan.start.rows)}
    for at in plan.deleted:
        rows.pop(int(plan.keys[at]))
    bucket = np.asarray(plan.start.scalars["bucket"])
    rows = {key: row for key, row in rows.items() if bucket[row[0]] >= DELETED_BUCKETS}
    for at in [*plan.upserted, *plan.again]:
        rows[int(plan.keys[at])] = (int(plan.source[at]), int(plan.partition[at]))
    return {key: row for key, (row, partition) in rows.items() if partition != DROPPED}


def test_what_must_be_there_is_what_is_left_when_everything_was_done():
    wanted = replayed(PLAN)
    now = PLAN.now
    assert np.asarray(now.ids).tolist() == sorted(wanted)
    rows = [wanted[key] for key in sorted(wanted)]
    np.testing.assert_array_equal(now.vectors, DATASET.vectors[rows])
    assert now.scalars["category"] == [DATASET.scalars["category"][row] for row in rows]


def test_every_sort_of_change_is_there_and_most_rows_stay():
    assert min(map(len, (PLAN.deleted, PLAN.upserted, PLAN.again))) >= 5
    assert (PLAN.upserted >= PLAN.start.rows).sum() >= 5  # rows that were not there before
    assert set(PLAN.again.tolist()) < set(PLAN.deleted.tolist())
    assert not set(PLAN.upserted.tolist()) & set(PLAN.deleted.tolist())
    moved = PLAN.source[PLAN.upserted] != PLAN.upserted
    assert moved.mean() > 0.95
    assert 0.8 < PLAN.now.rows / PLAN.start.rows < 0.95
    assert {0, 1, DROPPED} == set(PLAN.partition.tolist())
    assert all(PLAN.inside(partition).sum() > 500 for partition in range(DROPPED))


def test_a_collection_of_twenty_thousand_rows_keeps_more_than_an_iterator_s_largest_page():
    assert planned(generate(20_000, 2, queries=1), 20_000).present.sum() > 16_384


def test_rows_that_are_gone_and_old_contents_would_come_first_if_they_were_still_there():
    now, start = PLAN.now, PLAN.start
    sorts = [name.split()[0] for name in now.queries.ids]
    assert {sort: sorts.count(sort) for sort in dict.fromkeys(sorts)} == {
        "gone": 40,
        "replaced": 40,
        "new": 40,
        "any": 5,
    }
    gone = np.flatnonzero(~PLAN.present[: start.rows])
    replaced = np.setdiff1d(PLAN.upserted[PLAN.upserted < start.rows], gone)
    for sort, rows in (("gone", gone), ("replaced", replaced)):
        for query, name in zip(now.queries.vectors, sorts, strict=True):
            if name == sort:
                assert (distances_to(query, start.vectors[rows]) == 0).any()


WANTED = manifest.sent(PLAN.now)


@pytest.mark.parametrize(
    ("change", "kind", "seen"),
    [
        (lambda keys, hashes: (keys, hashes), None, []),
        (lambda keys, hashes: (keys[1:], hashes[1:]), "missing", [WANTED.keys[0]]),
        (
            lambda keys, hashes: (np.append(keys, 3 * 10**6), np.vstack([hashes, hashes[:1]])),
            "back",
            [3 * 10**6],
        ),
        (
            lambda keys, hashes: (np.append(keys, keys[7]), np.vstack([hashes, hashes[7:8]])),
            "doubled",
            [WANTED.keys[7]],
        ),
        (
            lambda keys, hashes: (keys, np.vstack([hashes[:3], hashes[4:5], hashes[4:]])),
            "stale",
            [WANTED.keys[3]],
        ),
    ],
)
def test_each_difference_is_of_one_kind(change, kind, seen):
    order = np.random.default_rng(1).permutation(WANTED.count)
    keys, hashes = change(WANTED.keys, WANTED.hashes)
    shuffled = order[order < len(keys)]
    extra = np.arange(len(order), len(keys))
    at = np.concatenate([shuffled, extra]).astype(int)
    found = held(keys[at], WANTED.keys, hashes[at], WANTED.hashes)
    differences = {
        name: getattr(found, name).tolist() for name in ("back", "stale", "missing", "doubled")
    }
    assert differences == {name: seen if name == kind else [] for name in differences}


def test_a_row_that_is_there_twice_with_old_content_is_stale_and_doubled():
    keys = np.append(WANTED.keys, WANTED.keys[5])
    hashes = np.vstack([WANTED.hashes, WANTED.hashes[6:7]])
    found = held(keys, WANTED.keys, hashes, WANTED.hashes)
    assert found.stale.tolist() == found.doubled.tolist() == [WANTED.keys[5]]


def test_nothing_at_all_is_all_missing():
    found = held(np.empty(0, np.int64), WANTED.keys)
    assert len(found.missing) == WANTED.count
    assert not len(found.back) + len(found.stale) + len(found.doubled)
