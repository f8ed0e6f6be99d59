import dataclasses

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.datasets import nearest, threads
from validation.datasets.generated import generate
from validation.datasets.ground_truth import distances_to, exact, joined
from validation.datasets.nearest import Nearest

METRICS = ("L2", "IP", "COSINE")


def naive(vectors, queries, k, metric, mask):
    """Brute force in float64, one query at a time."""
    rows = np.full((len(queries), k), -1)
    distances = np.full((len(queries), k), np.inf)
    allowed = np.flatnonzero(mask)
    for number, query in enumerate(queries.astype(np.float64)):
        wide = vectors[allowed].astype(np.float64)
        far = ((wide - query) ** 2).sum(axis=1) if metric == "L2" else -(wide * query).sum(axis=1)
        if metric == "COSINE":
            norms = np.sqrt((wide**2).sum(axis=1) * (query**2).sum())
            far = np.where(norms > 0, far / np.where(norms > 0, norms, 1), 0)
        order = np.lexsort((allowed, far))[:k]
        rows[number, : len(order)] = allowed[order]
        distances[number, : len(order)] = far[order]
    return rows, distances


@st.composite
def problems(draw):
    """Small integer vectors: many ties, and arithmetic that is exact in any order."""
    rows, dim = draw(st.integers(1, 120)), draw(st.integers(1, 9))
    queries, k = draw(st.integers(1, 7)), draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1, 3, 50]))
    vectors = random.integers(-spread, spread + 1, (rows, dim)).astype(np.float32)
    asked = random.integers(-spread, spread + 1, (queries, dim)).astype(np.float32)
    mask = random.random(rows) < draw(st.sampled_from([0.0, 0.1, 0.7, 1.0]))
    return vectors, asked, k, mask


@pytest.mark.parametrize("metric", ["L2", "IP"])
@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_rows_and_distances_are_those_of_brute_force_with_ties_masks_and_few_matches(
    metric, problem
):
    vectors, asked, k, mask = problem
    found = exact(vectors, asked, k, metric, mask=mask)
    rows, distances = naive(vectors, asked, k, metric, mask)
    assert (found.matches == mask.sum()).all()
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.distances, distances)


@pytest.mark.parametrize("metric", ["L2", "IP"])
@settings(max_examples=100, deadline=None)
@given(problem=problems(), pieces=st.integers(2, 9))
def test_rows_that_come_in_pieces_have_the_neighbours_of_the_whole(metric, problem, pieces):
    vectors, asked, k, _ = problem
    # Later pieces are far longer, so that what rounds off their scores is more than it was.
    vectors = vectors * np.linspace(1, 64, len(vectors), dtype=np.float32).round()[:, None]
    found = Nearest(asked, k, metric)
    for piece in np.array_split(vectors, pieces):
        found.add(piece)
    whole = exact(vectors, asked, k, metric)
    np.testing.assert_array_equal(found.rows, whole.rows)
    np.testing.assert_array_equal(found.distances, whole.distances)


@settings(max_examples=100, deadline=None)
@given(problem=problems())
def test_cosine_distances_are_those_of_brute_force(problem):
    vectors, asked, k, mask = problem
    found = exact(vectors, asked, k, "COSINE", mask=mask)
    _, distances = naive(vectors, asked, k, "COSINE", mask)
    np.testing.assert_allclose(found.distances, distances, rtol=0, atol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [100, 8_192, 8_193, 70_001])
def test_real_valued_rows_in_one_or_several_blocks_are_found_exactly(metric, rows):
    random = np.random.default_rng(rows)
    vectors = random.normal(size=(rows, 8)).astype(np.float32)
    vectors[rows // 2 :: 7] = vectors[3]  # ties across blocks
    asked = np.vstack([vectors[3:4], random.normal(size=(4, 8)).astype(np.float32)])
    found = exact(vectors, asked, 15, metric)
    rows_, distances = naive(vectors, asked, 15, metric, np.ones(rows, bool))
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12, atol=1e-13)
    if metric == "L2":
        np.testing.assert_array_equal(found.rows, rows_)


def test_vectors_far_from_the_origin_lose_no_neighbour_to_rounding():
    random = np.random.default_rng(5)
    vectors = (random.normal(size=(5_000, 16)) * 0.01 + 1_000).astype(np.float32)
    asked = (random.normal(size=(20, 16)) * 0.01 + 1_000).astype(np.float32)
    found = exact(vectors, asked, 10)
    rows, distances = naive(vectors, asked, 10, "L2", np.ones(5_000, bool))
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    assert (found.rows == rows).mean() > 0.99


def test_the_generated_set_has_the_neighbours_that_faiss_finds():
    dataset = generate(5_000, 32, queries=50)
    index = faiss.IndexFlatL2(32)
    index.add(dataset.vectors)
    theirs, _ = index.search(dataset.queries.vectors, 10)
    ours = exact(dataset.vectors, dataset.queries.vectors, 10)
    np.testing.assert_allclose(ours.distances, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_to_agrees_with_the_ground_truth(metric):
    dataset = generate(500, 8, queries=5)
    found = exact(dataset.vectors, dataset.queries.vectors, 10, metric)
    for query, rows, distances in zip(
        dataset.queries.vectors, found.rows, found.distances, strict=True
    ):
        np.testing.assert_allclose(
            distances_to(query, dataset.vectors[rows], metric), distances, rtol=1e-13, atol=1e-13
        )


def test_without_openblas_the_result_is_the_same(monkeypatch):
    dataset = generate(3_000, 16, queries=20)
    usual = exact(dataset.vectors, dataset.queries.vectors, 10)
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    other = exact(dataset.vectors, dataset.queries.vectors, 10)
    np.testing.assert_array_equal(usual.rows, other.rows)


def test_blas_has_its_threads_back_afterwards_even_after_an_error():
    openblas = threads._openblas()
    if openblas is None:
        return  # another BLAS: nothing is set, so nothing can stay set
    read, _ = openblas
    before = read()

    def breaks_off():
        with threads.pool():
            assert read() == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks_off()
    assert read() == before


def test_lost_candidates_stop_it_rather_than_shorten_the_truth(monkeypatch):
    random = np.random.default_rng(1)
    vectors = random.normal(size=(5_000, 4)).astype(np.float32)
    whole = nearest._candidates

    def hasty(scores, best, rounding):
        who, which = whole(scores, best, rounding)
        return who[::2], which[::2]

    monkeypatch.setattr(nearest, "_candidates", hasty)
    with pytest.raises(IndexError):
        exact(vectors, vectors[:5], 200)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("late", [0, 3, 30, 900])
def test_rows_that_come_later_take_their_places_in_the_truth(metric, late):
    dataset = dataclasses.replace(generate(2_000, 16, queries=6), metric=metric)
    newer = np.random.default_rng(late).permutation(2_000)[:late]
    there = np.ones(2_000, dtype=bool)
    there[newer] = False
    asked = dataset.queries.vectors
    before = exact(dataset.vectors, asked, 10, metric, mask=there)
    wanted = exact(dataset.vectors, asked, 10, metric)
    after = joined(before, dataset, np.array([1, 4]), newer)
    for query in range(6):
        right = wanted if query in {1, 4} else before
        np.testing.assert_array_equal(after.distances[query], right.distances[query])
        assert after.matches[query] == right.matches[query]


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1.0, 1e20, 1e36])
def test_cosine_knows_no_length_however_small_or_large(scale):
    data = generate(500, 8, queries=20)
    right = exact(data.vectors, data.queries.vectors, 5, "COSINE")
    found = exact(data.vectors * np.float32(scale), data.queries.vectors, 5, "COSINE")
    assert found.distances == pytest.approx(right.distances, abs=1e-6)
    clear = np.diff(right.distances, axis=1).min(axis=1) > 1e-5
    assert (found.rows[clear] == right.rows[clear]).all()
