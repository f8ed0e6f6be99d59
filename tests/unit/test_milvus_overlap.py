import dataclasses

import numpy as np
import pytest

from validation.datasets.generated import TIED_ROWS, generate, selecting
from validation.datasets.ground_truth import distances_to, exact
from validation.datasets.model import Condition, Filter
from validation.milvus.overlap import ann_overlap, filter_violations, positions
from validation.milvus.searching import Answers

DATASET = generate(2_000, 16, queries=40)
K = 10
TRUTH = exact(DATASET.vectors, DATASET.queries.vectors, 20)


def answered(rows, *, k=K):
    """Answers with the given dataset positions; ids equal positions here."""
    ids = np.full((len(rows), k), -1, dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    found = np.array([len(row) for row in rows])
    return Answers(ids, np.zeros(ids.shape), found)


def perfect():
    return [list(row[:K]) for row in TRUTH.rows]


def test_the_exact_neighbours_are_a_full_overlap():
    assert (ann_overlap(answered(perfect()), TRUTH, DATASET, K) == 1).all()


def test_any_of_several_rows_at_the_same_distance_is_as_good_as_another():
    tied = DATASET.provenance["planted_ties"][0]
    rows = perfect()
    group = TRUTH.rows[tied, :TIED_ROWS]
    assert np.ptp(TRUTH.distances[tied, :TIED_ROWS]) == 0
    rows[tied] = list(group[-K:])
    assert rows[tied] != perfect()[tied]
    assert ann_overlap(answered(rows), TRUTH, DATASET, K)[tied] == 1


def test_a_row_beyond_the_tenth_does_not_count():
    rows = perfect()
    rows[20][3] = int(TRUTH.rows[20, 15])
    assert ann_overlap(answered(rows), TRUTH, DATASET, K)[20] == 0.9


def test_a_row_that_comes_twice_counts_once():
    rows = perfect()
    rows[20][1:4] = [rows[20][0]] * 3
    assert ann_overlap(answered(rows), TRUTH, DATASET, K)[20] == pytest.approx(0.7)


def test_an_unknown_primary_key_is_wrong():
    rows = perfect()
    rows[20][0] = 999_999
    assert ann_overlap(answered(rows), TRUTH, DATASET, K)[20] == 0.9


def test_the_key_minus_one_is_no_hit_unless_it_was_sent():
    rows = perfect()
    rows[20][0] = -1
    assert ann_overlap(answered(rows), TRUTH, DATASET, K)[20] == 0.9


def test_fewer_hits_than_asked_for_are_misses():
    rows = perfect()
    rows[20] = rows[20][:4]
    rows[21] = []
    assert list(ann_overlap(answered(rows), TRUTH, DATASET, K)[20:22]) == [0.4, 0]


def test_distances_that_the_server_claims_play_no_part():
    far = [
        np.argsort(distances_to(query, DATASET.vectors))[-K:] for query in DATASET.queries.vectors
    ]
    lying = dataclasses.replace(answered(far), distances=np.full((40, K), -1.0))
    assert ann_overlap(lying, TRUTH, DATASET, K).max() == 0


def test_shuffled_truth_is_noticed():
    shuffled = dataclasses.replace(TRUTH, distances=np.roll(TRUTH.distances, 1, axis=0) * 0.5)
    assert ann_overlap(answered(perfect()), shuffled, DATASET, K).mean() < 0.9


def test_fewer_matches_than_k_are_no_misses():
    mask = np.zeros(2_000, dtype=bool)
    mask[[5, 6, 7]] = True
    truth = exact(DATASET.vectors, DATASET.queries.vectors, K, mask=mask)
    assert (ann_overlap(answered([[7, 5, 6]] * 40), truth, DATASET, K) == 1).all()
    assert ann_overlap(answered([[7, 5]] * 40), truth, DATASET, K) == pytest.approx(2 / 3)


def test_where_nothing_matches_there_is_nothing_to_measure():
    none = exact(DATASET.vectors, DATASET.queries.vectors, K, mask=np.zeros(2_000, bool))
    assert np.isnan(ann_overlap(answered([[]] * 40), none, DATASET, K)).all()


def test_truth_for_other_queries_is_an_error():
    with pytest.raises(ValueError, match="40 answers"):
        ann_overlap(answered(perfect()), exact(DATASET.vectors, DATASET.vectors[:3], K), DATASET, K)


@pytest.mark.parametrize("metric", ["IP", "COSINE"])
def test_other_metrics_overlap_in_full_with_their_own_truth_and_not_with_anothers(metric):
    dataset = dataclasses.replace(DATASET, metric=metric)
    truth = exact(dataset.vectors, dataset.queries.vectors, K, metric)
    assert (ann_overlap(answered(truth.rows.tolist()), truth, dataset, K) == 1).all()
    far = exact(-dataset.vectors, dataset.queries.vectors, K, metric).rows.tolist()
    assert ann_overlap(answered(far), truth, dataset, K).max() == 0


def test_rows_of_a_dataset_with_string_keys_are_found():
    names = [f"p{number:04}" for number in range(2_000)][::-1]
    dataset = dataclasses.replace(DATASET, ids=names)
    ids = np.array([["p1999", "p0000", "nobody", ""]], dtype=object)
    found = positions(Answers(ids, np.zeros((1, 4)), np.array([3])), dataset)
    assert found.tolist() == [[0, 1_999, -1, -2]]


def test_a_result_outside_its_filter_is_a_violation_with_an_example():
    bucket = np.asarray(DATASET.scalars["bucket"])
    inside = np.flatnonzero(bucket < 100)[:K]
    outside = int(np.flatnonzero(bucket >= 100)[0])
    rows = [list(inside)] * 40
    rows[3] = [*inside[:9], outside]
    found = filter_violations(answered(rows), DATASET, selecting(0.1))
    assert found.counts.sum() == found.counts[3] == 1
    assert found.examples == [{"query": "q3", "id": outside, "filter": "bucket < 100"}]


def test_a_key_nobody_sent_breaks_every_filter_and_missing_hits_break_none():
    everything = Filter((Condition("bucket", "ge", 0),))
    found = filter_violations(answered([[5, 123_456], []] * 20), DATASET, everything)
    assert found.counts.tolist() == [1, 0] * 20
    assert len(found.examples) == 5


def test_queries_without_a_filter_break_none():
    filters = [None, selecting(0.001)] * 20
    assert filter_violations(answered([[5]] * 40), DATASET, filters).counts[::2].sum() == 0


def test_a_near_row_that_the_filter_forbids_does_not_count():
    condition = selecting(0.5)
    mask = condition.mask(DATASET.scalars)
    truth = exact(DATASET.vectors, DATASET.queries.vectors, K, mask=mask)
    allowed = [list(row) for row in truth.rows]
    assert (ann_overlap(answered(allowed), truth, DATASET, K, mask=mask) == 1).all()
    assert ann_overlap(answered(perfect()), truth, DATASET, K, mask=mask).mean() < 0.8
