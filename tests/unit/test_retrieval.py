import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from validation.datasets.relevance import ranking

ROWS = [f"d{number}" for number in range(30)]
qrels = st.dictionaries(st.sampled_from(ROWS), st.integers(-1, 2), min_size=1, max_size=25).filter(
    lambda judged: any(grade > 0 for grade in judged.values())
)
answers = st.lists(st.sampled_from(ROWS), unique=True, max_size=25)


@given(judged=qrels, answer=answers, k=st.sampled_from([1, 5, 10]))
def test_all_metrics_are_those_of_trec_eval(judged, answer, k):
    ours = ranking([answer], ["q"], {"q": judged}, k)
    run = {"q": {row: float(len(answer) - rank) for rank, row in enumerate(answer[:k])}}
    wanted = {f"ndcg_cut.{k}", "recip_rank", f"recall.{k}"}
    theirs = pytrec_eval.RelevanceEvaluator({"q": judged}, wanted).evaluate(run).get("q", {})
    for name, score in (
        (f"ndcg@{k}", f"ndcg_cut_{k}"),
        (f"mrr@{k}", "recip_rank"),
        (f"qrels_recall@{k}", f"recall_{k}"),
    ):
        assert ours[name] == pytest.approx([theirs.get(score, 0.0)], abs=1e-12)


def test_gain_is_linear_not_exponential():
    found = ranking([["b", "a"]], ["q"], {"q": {"a": 2, "b": 1}})["ndcg@10"][0]
    assert found == pytest.approx((1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3)))


def test_a_row_that_comes_twice_counts_once():
    found = ranking([["a", "a", "a"]], ["q"], {"q": {"a": 2, "b": 2}})
    assert found["qrels_recall@10"][0] == 0.5
    assert found["ndcg@10"][0] < 1


def test_no_answer_scores_nothing():
    found = ranking([[]], ["q"], {"q": {"a": 1}})
    assert [found[name][0] for name in ("ndcg@10", "mrr@10", "qrels_recall@10")] == [0, 0, 0]


def test_queries_without_a_relevant_passage_are_left_out_and_the_rest_keep_their_place():
    judged = {"q0": {"a": 0}, "q2": {"a": 1}}
    found = ranking([["a"], ["a"], ["a"]], ["q0", "q1", "q2"], judged)
    assert found["query"].tolist() == [2]
    assert found["ndcg@10"].tolist() == [1]


def test_integer_keys_are_looked_up_by_their_text():
    assert ranking([[7]], ["q"], {"q": {"7": 1}})["mrr@10"].tolist() == [1]
