import dataclasses

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.answers.checking import check, together, told
from validation.answers.kinds import WORDS
from validation.answers.model import NOTHING, Answers, Expected
from validation.answers.precision import Precision, precision_of
from validation.datasets.generated import TIED_ROWS, generate, selecting
from validation.datasets.ground_truth import distances_to, exact, exact_under
from validation.datasets.model import Condition, Filter

DATASET = generate(2_000, 16, queries=40)
K = 10
TRUTH = exact(DATASET.vectors, DATASET.queries.vectors, 20)
PLAIN = 35
"""A query without planted neighbours or ties."""
EVERYTHING = {
    *("answers.incomplete", "answers.duplicates", "answers.unknown", "answers.disordered"),
    *("answers.wrong_scores", "answers.wrong_fields", "answers.foreign"),
    *("filter.violations", "exact_search.misses"),
}


def expected(dataset=DATASET, truth=TRUTH, **more):
    return Expected(dataset, truth, precision=Precision(dataset.metric), exhaustive=True, **more)


def scores(dataset, query, rows):
    """What a server that computes in float32 says of known rows, and 1 of any other."""
    sign = 1 if dataset.metric == "L2" else -1
    return [
        float(np.float32(sign * distances_to(vector, dataset.vectors[[row]], dataset.metric)[0]))
        if 0 <= row < dataset.rows
        else 1e9
        for vector in [dataset.queries.vectors[query]]
        for row in rows
    ]


def answered(rows, *, k=K, dataset=DATASET, fields=()):
    """Answers with the given dataset positions; ids equal positions here."""
    ids = np.full((len(rows), k), -1, dtype=np.int64)
    distances = np.full((len(rows), k), np.nan)
    columns = {name: np.full(ids.shape, None, dtype=object) for name in fields}
    for query, row in enumerate(rows):
        ids[query, : len(row)] = row
        distances[query, : len(row)] = scores(dataset, query, row)
        known = [one for one in row if one < dataset.rows]
        for name, column in columns.items():
            column[query, : len(known)] = np.asarray(dataset.scalars[name])[known].tolist()
    return Answers(ids, distances, np.array([len(row) for row in rows]), columns)


def perfect(truth=TRUTH):
    return [[one for one in row[:K].tolist() if one >= 0] for row in truth.rows]


def kinds(found):
    """How many of each kind there are, of those that there are."""
    counted = {kind: int(counts[counts != NOTHING].sum()) for kind, counts in found.counts.items()}
    return {kind: count for kind, count in counted.items() if count}


def overlap(rows, truth=TRUTH, dataset=DATASET, **more):
    return check(answered(rows), Expected(dataset, truth, **more)).overlap


def test_right_answers_have_nothing_wrong_with_them():
    found = check(answered(perfect(), fields=["bucket", "category", "active"]), expected())
    assert set(found.counts) == EVERYTHING - {"filter.violations"}
    assert not found.wrong.any()
    assert told(found, PLAIN) == ""
    assert (found.overlap == 1).all()


def replaced(change):
    rows = perfect()
    rows[PLAIN] = change(rows[PLAIN])
    return answered(rows, fields=["bucket", "category"])


def with_score(factor):
    answers = answered(perfect())
    answers.distances[PLAIN, 4] *= factor
    return answers


def swapped():
    answers = answered(perfect())
    for part in (answers.ids, answers.distances):
        part[PLAIN, [3, 4]] = part[PLAIN, [4, 3]]
    return answers


def with_fields_of_others():
    answers = answered(perfect(), fields=["category"])
    answers.fields["category"][PLAIN, 2] = "no category"
    return answers


def all_scaled():
    answers = answered(perfect())
    return dataclasses.replace(answers, distances=answers.distances * 1.0001 + 1e-9)


ONE_KIND = {
    "a hit short": (replaced(lambda row: row[:-1]), {"answers.incomplete": 1}),
    "no hit at all": (replaced(lambda _: []), {"answers.incomplete": K}),
    "a row twice": (replaced(lambda row: [*row[:5], *row[4:9]]), {"answers.duplicates": 1}),
    "one row ten times": (replaced(lambda row: row[:1] * K), {"answers.duplicates": K - 1}),
    "a ghost": (replaced(lambda row: [*row[:-1], 77_777]), {"answers.unknown": 1}),
    "a ghost twice": (
        replaced(lambda row: [*row[:-2], 77_777, 77_777]),
        {"answers.unknown": 2, "answers.duplicates": 1},
    ),
    "the wrong order": (swapped(), {"answers.disordered": 1}),
    "a wrong score": (with_score(1.0001), {"answers.wrong_scores": 1}),
    "no score": (with_score(np.nan), {"answers.wrong_scores": 1}),
    "all scores a little off": (all_scaled(), {"answers.wrong_scores": 400}),
    "a field of another row": (with_fields_of_others(), {"answers.wrong_fields": 1}),
    "a neighbour left out": (
        replaced(lambda row: [*row[1:], int(TRUTH.rows[PLAIN, K])]),
        {"exact_search.misses": 1},
    ),
}


@pytest.mark.parametrize("name", ONE_KIND)
def test_each_defect_turns_its_own_kind_red_and_no_other(name):
    answers, wanted = ONE_KIND[name]
    found = check(answers, expected())
    assert kinds(found) == wanted
    if name != "all scores a little off":
        assert np.flatnonzero(found.wrong).tolist() == [PLAIN]
    for kind in wanted:
        assert WORDS[kind] in told(found, PLAIN)
        assert 1 <= len(found.examples[kind]) <= 3


def test_examples_say_what_was_expected_and_seen():
    answers = with_score(2)
    (example,) = check(answers, expected()).examples["answers.wrong_scores"]
    assert (example["query"], example["id"]) == ("q35", TRUTH.rows[PLAIN, 4])
    assert example["seen"] == pytest.approx(2 * example["expected"])
    (example,) = check(with_fields_of_others(), expected()).examples["answers.wrong_fields"]
    assert (example["field"], example["seen"]) == ("category", "no category")
    assert example["expected"] == DATASET.scalars["category"][example["id"]]


def test_the_answer_to_another_query_is_foreign_whatever_else_is_wrong_with_it():
    answers = answered(perfect())
    for part in (answers.ids, answers.distances):
        part[[PLAIN, PLAIN + 1]] = part[[PLAIN + 1, PLAIN]]
    found = check(answers, expected())
    assert found.counts["answers.foreign"].nonzero()[0].tolist() == [PLAIN, PLAIN + 1]
    first = found.examples["answers.foreign"][0]
    assert first == {"query": f"q{PLAIN}", "is_that_of": f"q{PLAIN + 1}"}


def test_deleted_rows_are_unknown():
    allowed = np.ones(DATASET.rows, dtype=bool)
    gone = int(TRUTH.rows[PLAIN, 0])
    allowed[gone] = False
    truth = exact(DATASET.vectors, DATASET.queries.vectors, K, mask=allowed)
    assert kinds(check(answered(perfect(truth)), expected(truth=truth, allowed=allowed))) == {}
    found = check(answered(perfect()), expected(truth=truth, allowed=allowed))
    assert found.counts["answers.unknown"][PLAIN] == 1
    assert found.examples["answers.unknown"]


def test_hits_beyond_what_was_asked_for_are_counted():
    answers = answered(perfect())
    answers.found[PLAIN] = K + 2
    assert kinds(check(answers, expected())) == {"answers.incomplete": 2}


def test_a_result_outside_its_filter_is_a_violation_with_an_example():
    bucket = np.asarray(DATASET.scalars["bucket"])
    wanted = selecting(0.1)
    truth = exact_under(DATASET, K, wanted)
    rows = perfect(truth)
    outside = int(np.flatnonzero(bucket >= 100)[0])
    rows[3] = [*rows[3][:9], outside]
    found = check(answered(rows), expected(truth=truth, filters=wanted))
    assert found.counts["filter.violations"].nonzero()[0].tolist() == [3]
    assert found.examples["filter.violations"] == [
        {"query": "q3", "id": outside, "filter": "bucket < 100"}
    ]


def test_queries_without_a_filter_or_a_hit_break_none_and_are_not_counted_as_looked_at():
    filters = [None, selecting(0.001)] * 20
    rows = perfect(exact_under(DATASET, K, filters))
    rows[1] = []
    counts = check(answered(rows), Expected(DATASET, filters=filters)).counts["filter.violations"]
    assert (counts[::2] == NOTHING).all()
    assert counts[1] == NOTHING
    assert (counts[3::2] == 0).all()


def test_a_filter_that_few_rows_match_asks_for_no_more_than_these():
    wanted = Filter((Condition("bucket", "eq", 7),))
    truth = exact_under(DATASET, K, wanted)
    assert truth.matches.tolist() == [2] * 40
    assert kinds(check(answered(perfect(truth)), expected(truth=truth, filters=wanted))) == {}
    short = [row[:1] for row in perfect(truth)]
    found = check(answered(short), expected(truth=truth, filters=wanted))
    assert kinds(found) == {"answers.incomplete": 40}


def test_each_filter_has_its_own_exact_neighbours():
    filters = [selecting(0.5), None, selecting(0.01), None] * 10
    truth = exact_under(DATASET, K, filters)
    for at, one in enumerate(filters):
        mask = None if one is None else one.mask(DATASET.scalars)
        alone = exact(DATASET.vectors, DATASET.queries.vectors[[at]], K, mask=mask)
        np.testing.assert_array_equal(truth.rows[at], alone.rows[0])
        assert truth.matches[at] == alone.matches[0]
    assert not check(answered(perfect(truth)), expected(truth=truth, filters=filters)).wrong.any()


def test_equal_scores_have_no_order():
    tied = DATASET.provenance["planted_ties"][0]
    rows = perfect()
    group = TRUTH.rows[tied, :TIED_ROWS]
    assert np.ptp(TRUTH.distances[tied, :TIED_ROWS]) == 0
    rows[tied] = group[::-1][:K].tolist()
    assert rows[tied] != perfect()[tied]
    found = check(answered(rows), expected())
    assert not found.wrong.any()
    assert found.overlap[tied] == 1


def test_scores_that_are_no_distances_are_judged_by_their_order_alone():
    rows = perfect()
    found = check(answered(rows), Expected(DATASET, order="either", at_least=np.full(40, 10)))
    assert not found.wrong.any()
    assert np.isnan(found.overlap).all()
    assert {"answers.wrong_scores", "exact_search.misses"}.isdisjoint(found.counts)
    falling = answered(rows)
    falling.distances[:] *= -1
    assert not check(falling, Expected(DATASET, order="either")).wrong.any()
    falling.distances[PLAIN, 4] -= 100
    assert kinds(check(falling, Expected(DATASET, order="either"))) == {"answers.disordered": 1}


def test_replies_to_repeated_queries_are_counted_each_and_looked_at_once(monkeypatch):
    once = answered(perfect())
    queries = np.resize(np.arange(40), 4_000)
    many = once.taken(queries)
    many.ids[77] = many.ids[77, 0]
    looked = []
    whole = Expected.positions

    def positions(self, answers):
        looked.append(len(answers))
        return whole(self, answers)

    monkeypatch.setattr(Expected, "positions", positions)
    found = check(many, expected(), queries)
    assert len(found.counts["answers.duplicates"]) == len(found.overlap) == 4_000
    assert np.flatnonzero(found.counts["answers.duplicates"]).tolist() == [77]
    assert sum(looked) == 41


def test_what_several_searches_found_is_put_together():
    wanted = selecting(0.5)
    truth = exact_under(DATASET, K, wanted)
    plain = check(replaced(lambda row: row[:-1]), expected())
    filtered = check(answered(perfect(truth)), expected(truth=truth, filters=wanted))
    both = together([plain, filtered])
    assert kinds(both) == {"answers.incomplete": 1}
    assert {len(counts) for counts in both.counts.values()} == {80}
    assert (both.counts["filter.violations"][:40] == NOTHING).all()
    assert len(both.overlap) == 80


def test_output_vectors_are_compared_bit_by_bit():
    answers = answered(perfect())
    answers = dataclasses.replace(answers, fields={"vector": DATASET.vectors[answers.ids]})
    assert not check(answers, expected()).wrong.any()
    value = answers.fields["vector"][PLAIN, 0, 3]
    answers.fields["vector"][PLAIN, 0, 3] = np.nextafter(value, np.float32(9))
    assert kinds(check(answers, expected())) == {"answers.wrong_fields": 1}


def test_a_field_that_is_missing_is_wrong():
    answers = answered(perfect(), fields=["bucket"])
    answers.fields["bucket"][PLAIN, 0] = None
    assert kinds(check(answers, expected())) == {"answers.wrong_fields": 1}


def test_rows_of_a_dataset_with_string_keys_are_found():
    names = [f"p{number:04}" for number in range(2_000)][::-1]
    dataset = dataclasses.replace(DATASET, ids=names)
    ids = np.array([["p1999", "p0000", "nobody", ""]], dtype=object)
    found = Expected(dataset).positions(Answers(ids, np.zeros((1, 4)), np.array([3])))
    assert found.tolist() == [[0, 1_999, -1, -2]]


@pytest.mark.parametrize(
    ("answers", "more", "queries", "said"),
    [
        (answered(perfect()[:3]), {}, np.arange(4), "3 answers to 4 queries"),
        (answered(perfect(), k=21), {}, None, "21 hits held against 20"),
    ],
)
def test_answers_that_do_not_fit_what_they_are_held_against_are_an_error(
    answers, more, queries, said
):
    with pytest.raises(ValueError, match=said):
        check(answers, expected(**more), queries)


def test_truth_for_other_queries_is_an_error():
    with pytest.raises(ValueError, match="truth for 3 of 40 queries"):
        Expected(DATASET, exact(DATASET.vectors, DATASET.vectors[:3], K))


@pytest.mark.parametrize("metric", ["IP", "COSINE"])
def test_other_metrics_are_right_by_their_own_truth_and_wrong_by_anothers(metric):
    dataset = dataclasses.replace(DATASET, metric=metric)
    truth = exact(dataset.vectors, dataset.queries.vectors, K, metric)
    right = check(answered(perfect(truth), dataset=dataset), expected(dataset, truth))
    assert not right.wrong.any()
    far = exact(-dataset.vectors, dataset.queries.vectors, K, metric)
    wrong = check(answered(perfect(far), dataset=dataset), expected(dataset, truth))
    assert wrong.overlap.max() == 0
    assert (wrong.counts["exact_search.misses"] > 0).all()


# --- the share of exact neighbours ---


def test_a_row_beyond_the_tenth_does_not_count():
    rows = perfect()
    rows[PLAIN][3] = int(TRUTH.rows[PLAIN, 15])
    assert overlap(rows)[PLAIN] == 0.9


def test_a_row_that_comes_twice_counts_once():
    rows = perfect()
    rows[PLAIN][1:4] = [rows[PLAIN][0]] * 3
    assert overlap(rows)[PLAIN] == pytest.approx(0.7)


@pytest.mark.parametrize("key", [999_999, -1])
def test_a_key_that_was_not_sent_does_not_count(key):
    rows = perfect()
    rows[PLAIN][0] = key
    assert overlap(rows)[PLAIN] == 0.9


def test_fewer_hits_than_asked_for_are_misses():
    rows = perfect()
    rows[PLAIN] = rows[PLAIN][:4]
    rows[PLAIN + 1] = []
    assert list(overlap(rows)[PLAIN : PLAIN + 2]) == [0.4, 0]


def test_distances_that_the_server_claims_play_no_part():
    far = [
        np.argsort(distances_to(query, DATASET.vectors))[-K:] for query in DATASET.queries.vectors
    ]
    lying = dataclasses.replace(answered(far), distances=np.full((40, K), -1.0))
    assert check(lying, Expected(DATASET, TRUTH)).overlap.max() == 0


def test_shuffled_truth_is_noticed():
    shuffled = dataclasses.replace(TRUTH, distances=np.roll(TRUTH.distances, 1, axis=0) * 0.5)
    assert overlap(perfect(), shuffled).mean() < 0.9


def test_fewer_matches_than_k_are_no_misses():
    mask = np.zeros(2_000, dtype=bool)
    mask[[5, 6, 7]] = True
    truth = exact(DATASET.vectors, DATASET.queries.vectors, K, mask=mask)
    assert (overlap([[7, 5, 6]] * 40, truth) == 1).all()
    assert overlap([[7, 5]] * 40, truth) == pytest.approx(2 / 3)


def test_where_nothing_matches_there_is_nothing_to_measure():
    none = exact(DATASET.vectors, DATASET.queries.vectors, K, mask=np.zeros(2_000, bool))
    assert np.isnan(overlap([[]] * 40, none)).all()


def test_a_near_row_that_the_filter_forbids_does_not_count():
    condition = selecting(0.5)
    truth = exact_under(DATASET, K, condition)
    assert (overlap(perfect(truth), truth, filters=condition) == 1).all()
    assert overlap(perfect(), truth, filters=condition).mean() < 0.8


# --- how far a score may be off ---


@st.composite
def pairs(draw):
    """Rows and queries of very different lengths, near and far."""
    count, dim = draw(st.integers(1, 40)), draw(st.sampled_from([2, 16, 128, 768]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = random.normal(size=(count, dim)) * 10 ** random.uniform(-6, 6, (count, 1))
    near = 10.0 ** -draw(st.integers(0, 6))
    queries = rows + near * np.abs(rows).mean(axis=1, keepdims=True) * random.normal(
        size=(count, dim)
    )
    return rows.astype(np.float32), queries.astype(np.float32)


def exactly(rows, queries, metric):
    return np.array(
        [
            distances_to(query, row[None], metric)[0]
            for row, query in zip(rows, queries, strict=True)
        ]
    )


def naive(rows, queries, metric):
    """In float32, one term after the other: the worst order there is."""
    if metric == "L2":
        return np.cumsum(np.square(rows - queries), axis=1, dtype=np.float32)[:, -1]
    if metric == "COSINE":
        rows, queries = unit(rows), unit(queries)
    return -np.cumsum(rows * queries, axis=1, dtype=np.float32)[:, -1]


def unit(vectors):
    squares = np.cumsum(np.square(vectors), axis=1, dtype=np.float32)[:, -1:]
    return vectors / np.sqrt(squares)


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
@settings(max_examples=60, deadline=None)
@given(pair=pairs())
def test_no_float32_arithmetic_is_farther_off_than_is_allowed(metric, pair):
    rows, queries = pair
    right = exactly(rows, queries, metric)
    slack = Precision(metric).slack(rows, queries, right)
    assert (np.abs(naive(rows, queries, metric) - right) <= slack).all()


@settings(max_examples=60, deadline=None)
@given(pair=pairs())
def test_norms_and_a_product_may_be_farther_off_near_the_query(pair):
    rows, queries = pair
    norms = np.square(rows).sum(axis=1) + np.square(queries).sum(axis=1)
    said = norms - 2 * (rows * queries).sum(axis=1)
    right = exactly(rows, queries, "L2")
    slack = Precision("L2", expanded=True).slack(rows, queries, right)
    assert (np.abs(said - right) <= slack).all()


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_what_is_allowed_in_float32_is_far_less_than_a_wrong_metric_or_scale_makes(metric):
    dataset = dataclasses.replace(DATASET, metric=metric)
    right = (
        TRUTH.distances[:, 0]
        if metric == "L2"
        else exactly(dataset.vectors[TRUTH.rows[:, 0]], dataset.queries.vectors, metric)
    )
    slack = Precision(metric).slack(
        dataset.vectors[TRUTH.rows[:, 0]], dataset.queries.vectors, right
    )
    assert (slack <= 1e-4 * np.abs(right) + 1e-30).mean() > 0.9


def test_a_distance_beyond_float32_may_be_said_as_infinite():
    rows = np.full((1, 4), 3e38, dtype=np.float32)
    right = exactly(rows, -rows, "L2")
    assert Precision("L2").slack(rows, -rows, right) == np.inf


_L2, _IP = faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT
_SQ = faiss.ScalarQuantizer


@pytest.mark.parametrize(
    ("kind", "build", "quantizer"),
    [
        ("IVF_SQ8", {"nlist": 8}, _SQ.QT_8bit),
        ("HNSW_SQ", {"sq_type": "SQ8"}, _SQ.QT_8bit),
        ("HNSW_SQ", {"sq_type": "SQ6"}, _SQ.QT_6bit),
        ("HNSW_SQ", {"sq_type": "SQ4U"}, _SQ.QT_4bit_uniform),
        ("HNSW_SQ", {"sq_type": "FP16"}, _SQ.QT_fp16),
        ("HNSW_SQ", {"sq_type": "BF16"}, _SQ.QT_bf16),
    ],
)
@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_quantised_indexes_of_faiss_are_off_by_no_more_than_is_allowed(
    kind, build, quantizer, metric
):
    vectors, queries = DATASET.vectors, DATASET.queries.vectors
    if metric == "COSINE":
        vectors, queries = unit(vectors), unit(queries)
    index = faiss.IndexScalarQuantizer(DATASET.dim, quantizer, _L2 if metric == "L2" else _IP)
    index.train(vectors)
    index.add(vectors)
    said, ids = index.search(queries, K)
    dataset = dataclasses.replace(DATASET, metric=metric)
    answers = Answers(ids, said.astype(np.float64), np.full(len(ids), K))
    loose = precision_of(kind, build, DATASET.vectors, metric)
    assert kinds(check(answers, Expected(dataset, precision=loose))) == {}
    strict = check(answers, Expected(dataset, precision=Precision(metric)))
    assert strict.counts["answers.wrong_scores"].sum() > 100


@pytest.mark.parametrize(
    ("kind", "build", "compared"),
    [
        ("FLAT", {}, True),
        ("IVF_FLAT", {"nlist": 8}, True),
        ("HNSW", {"M": 16}, True),
        ("DISKANN", {}, True),
        ("SCANN", {}, True),
        ("SCANN", {"with_raw_data": False}, False),
        ("IVF_PQ", {"m": 4}, False),
        ("IVF_RABITQ", {}, False),
        ("IVF_RABITQ", {"refine": "true", "refine_type": "SQ8"}, True),
        ("HNSW_PRQ", {}, False),
        ("GPU_CAGRA", {}, True),
    ],
)
def test_indexes_that_estimate_scores_are_not_held_to_them(kind, build, compared):
    assert (precision_of(kind, build, DATASET.vectors, "L2") is not None) == compared


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(["L2", "IP", "COSINE"]))
def test_whatever_faiss_finds_exhaustively_is_right(seed, metric):
    random = np.random.default_rng(seed)
    dim = int(random.integers(2, 200))
    vectors = (random.normal(size=(300, dim)) + random.normal() * 3).astype(np.float32)
    asked = (vectors[:5] + random.normal(size=(5, dim)) * 0.01).astype(np.float32)
    dataset = dataclasses.replace(
        DATASET,
        ids=np.arange(300),
        vectors=vectors,
        scalars={},
        queries=dataclasses.replace(DATASET.queries, ids=[*"abcde"], vectors=asked),
        metric=metric,
    )
    index = faiss.IndexFlatL2(dim) if metric == "L2" else faiss.IndexFlatIP(dim)
    scaled = (unit(vectors), unit(asked)) if metric == "COSINE" else (vectors, asked)
    index.add(np.ascontiguousarray(scaled[0]))
    said, ids = index.search(np.ascontiguousarray(scaled[1]), K)
    answers = Answers(ids, said.astype(np.float64), np.full(5, K))
    found = check(answers, expected(dataset, exact(vectors, asked, K, metric)))
    assert not found.wrong.any(), found.examples


def test_no_answer_at_all_leaves_nothing_to_look_at():
    found = check(answered([]), expected(), np.empty(0, dtype=np.int64))
    assert not found.wrong.size
    assert set(found.counts) == EVERYTHING - {"filter.violations", "answers.wrong_fields"}


def test_one_row_ten_times_proves_no_other_query_s_answer():
    queries = [query for query in range(32, 40) if query != PLAIN]
    for query in queries:
        rows = perfect()
        rows[PLAIN] = perfect()[query][:1] * K
        answers = answered(rows)
        answers.distances[PLAIN] = scores(DATASET, query, rows[PLAIN])
        found = check(answers, expected())
        assert found.counts["answers.wrong_scores"][PLAIN] == K
        assert not found.counts["answers.foreign"].any()
