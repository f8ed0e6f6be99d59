"""Relevant passages are found: by vectors, by keywords, and by both."""

import numpy as np
import pytest

from validation import retrieval, workload
from validation.checks.test_data import observe_completeness
from validation.errors import UnsupportedError
from validation.milvus import overlap, searching

pytestmark = pytest.mark.family("retrieval")

ALL_SORTS = "all"
RANKINGS = {
    "ndcg@10": retrieval.ndcg,
    "mrr@10": retrieval.mrr,
    "qrels_recall@10": retrieval.recall,
}


def test_the_passages_are_complete(gate, connection, corpus, corpus_collection):
    observe_completeness(gate, connection, corpus, corpus_collection.name)


@pytest.mark.parametrize("method", ["vector", "keyword", "hybrid"])
def test_relevant_passages_are_found(gate, connection, corpus, corpus_collection, method):
    if corpus.qrels is None:
        for metric in RANKINGS:
            gate(metric, labels={"method": method}, not_measured="the corpus has no judgements")
        return
    try:
        answers = ask(method, connection, corpus, corpus_collection)
    except UnsupportedError as error:
        for metric in RANKINGS:
            gate(metric, labels={"method": method}, not_measured=error.what)
        return
    observe_filters(gate, corpus, method, answers)
    for metric, ranking in RANKINGS.items():
        values = np.array(
            [
                ranking(found, corpus.qrels[query], workload.K)
                for query, found in zip(corpus.queries.ids, answers, strict=True)
            ]
        )
        for sort, chosen in by_sort(corpus).items():
            gate(
                metric,
                values[chosen],
                labels={"method": method, "sort": sort},
                columns={"query": [corpus.queries.ids[at] for at in chosen]},
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


def observe_filters(gate, corpus, method, answers):
    """Count the passages that break their query's filter."""
    filters = corpus.queries.filters or []
    filtered = [at for at, condition in enumerate(filters) if condition is not None]
    if not filtered:
        return
    violations = [
        overlap.filter_violations([answers[at]], filters[at].mask(corpus.scalars), corpus)[0]
        for at in filtered
    ]
    gate(
        "filter.violations",
        violations,
        labels={"method": method},
        columns={"query": [corpus.queries.ids[at] for at in filtered]},
    )


def by_sort(corpus):
    """Return the positions of the queries by sort, and of all of them."""
    sorts = corpus.queries.sorts or []
    positions = {sort: [at for at, one in enumerate(sorts) if one == sort] for sort in sorts}
    return {**positions, ALL_SORTS: list(range(len(corpus.queries)))}
