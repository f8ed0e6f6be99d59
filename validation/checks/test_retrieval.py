"""Relevant passages are found: by vectors, by keywords, and by both."""

import numpy as np
import pytest

from validation import retrieval, workload
from validation.checks.test_data import observe_completeness
from validation.checks.test_recall import observe_violations
from validation.errors import UnsupportedError
from validation.milvus import searching

pytestmark = pytest.mark.family("retrieval")

ALL_SORTS = "all"
METRICS = ("ndcg@10", "mrr@10", "qrels_recall@10")


def test_the_passages_are_complete(gate, connection, corpus, corpus_collection, manifests):
    name = corpus_collection.name
    manifests[name] = observe_completeness(gate, connection, corpus, name, "corpus")


@pytest.mark.parametrize("method", ["vector", "keyword", "hybrid"])
def test_relevant_passages_are_found(gate, connection, corpus, corpus_collection, method):
    if corpus.qrels is None:
        for metric in METRICS:
            gate(metric, labels={"method": method}, not_measured="the corpus has no judgements")
        return
    try:
        answers = ask(method, connection, corpus, corpus_collection)
    except UnsupportedError as error:
        for metric in METRICS:
            gate(metric, labels={"method": method}, not_measured=error.what)
        return
    if corpus.queries.filters:
        labels = {"dataset": "corpus", "method": method}
        observe_violations(gate, answers, corpus, corpus.queries.filters, labels, {})
    found = [answers.of(at) for at in range(len(answers))]
    scores = retrieval.ranking(found, corpus.queries.ids, corpus.qrels, workload.K)
    for sort, chosen in by_sort(corpus, scores["query"]).items():
        for metric in METRICS:
            gate(
                metric,
                scores[metric][chosen],
                labels={"method": method, "sort": sort},
                columns={"query": [corpus.queries.ids[at] for at in scores["query"][chosen]]},
            )


def ask(method, connection, corpus, loaded):
    """Return the answers to all queries of the corpus, each under its own filter."""
    queries = corpus.queries
    options = {"k": workload.K, "filter": queries.filters}
    if method == "keyword":
        return searching.keyword_search(connection, loaded.name, queries.texts, **options)
    options["params"] = loaded.index.search
    if method == "vector":
        return searching.search(connection, loaded.name, queries.vectors, **options)
    return searching.hybrid_search(
        connection, loaded.name, queries.vectors, queries.texts, **options
    )


def by_sort(corpus, judged):
    """Return the places among the judged queries by sort, and all of them."""
    sorts = np.array(corpus.queries.sorts or [""] * len(corpus.queries))[judged]
    places = {sort: np.flatnonzero(sorts == sort) for sort in dict.fromkeys(sorts) if sort}
    return {**places, ALL_SORTS: np.arange(len(judged))}
