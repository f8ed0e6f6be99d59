"""Relevant passages are found: by vectors, by keywords, and by both."""

import re

import numpy as np
import pytest

from validation.answers.checking import check, together
from validation.answers.model import Expected
from validation.datasets import relevance as retrieval
from validation.errors import UnsupportedError
from validation.milvus import searching
from validation.milvus.schema import STOP_WORDS
from validation.suite import answering, workload
from validation.suite.checks.test_data import observe_completeness, observe_segments

pytestmark = pytest.mark.family("retrieval")

ALL_SORTS = "all"
METRICS = ("ndcg@10", "mrr@10", "qrels_recall@10")


def test_the_passages_are_complete(gate, connection, corpus, corpus_collection, manifests):
    name = corpus_collection.name
    manifests[name] = observe_completeness(gate, connection, corpus, name, "corpus")
    observe_segments(gate, connection, corpus.rows, name, "corpus")


@pytest.mark.parametrize("method", ["vector", "keyword", "hybrid"])
def test_relevant_passages_are_found(gate, connection, corpus, corpus_collection, method):
    try:
        answers = ask(method, connection, corpus, corpus_collection)
    except UnsupportedError as error:
        for metric in METRICS:
            gate(metric, labels={"method": method}, not_measured=error.what)
        return
    # Whether the server answers rightly, and whether right answers are relevant, are two things.
    found = check(answers, held_against(method, corpus, corpus_collection, corpus.queries.filters))
    names = corpus.queries.ids
    if method == "vector":
        plain = ask(method, connection, corpus, corpus_collection, filtered=False)
        expected = held_against(method, corpus, corpus_collection)
        found, names = together([found, check(plain, expected)]), names * 2
    labels = {"dataset": "corpus", "method": method}
    answering.observe(gate, found, labels=labels, queries=names)
    observe_relevance(gate, corpus, answers, method)


def observe_relevance(gate, corpus, answers, method):
    """Hold the answers against the judgements."""
    if corpus.qrels is None:
        for metric in METRICS:
            gate(metric, labels={"method": method}, not_measured="the corpus has no judgements")
        return
    own = corpus.queries.own
    hits = [answers.of(at) for at in range(len(answers))]
    if own is not None:
        hits = [retrieval.without(hit, one) for hit, one in zip(hits, own, strict=True)]
    evidence = {"identical_ids_ignored": sum(one is not None for one in own or ())}
    scores = retrieval.ranking(hits, corpus.queries.ids, corpus.qrels, workload.K)
    for sort, chosen in by_sort(corpus, scores["query"]).items():
        for metric in METRICS:
            gate(
                metric,
                scores[metric][chosen],
                labels={"method": method, "sort": sort},
                columns={"query": [corpus.queries.ids[at] for at in scores["query"][chosen]]},
                evidence=evidence,
            )


def ask(method, connection, corpus, loaded, *, filtered=True):
    """Return the answers to all queries of the corpus, each under its own filter or without.

    There is a hit more in each where one is left out later: the passage that is the query itself.

    Raises:
        UnsupportedError: The server has no words to search by.
    """
    queries = corpus.queries
    options = {
        "k": workload.hits(corpus),
        "filter": queries.filters if filtered else None,
        "fields": answering.fields_of(corpus),
    }
    if method != "vector" and (
        reason := loaded.no_keywords or wordless(connection, corpus, loaded)
    ):
        raise UnsupportedError(reason)
    if method == "keyword":
        return searching.keyword_search(connection, loaded.name, queries.texts, **options)
    options["params"] = loaded.index.search
    if method == "vector":
        return searching.search(connection, loaded.name, queries.vectors, **options)
    return searching.hybrid_search(
        connection, loaded.name, queries.vectors, queries.texts, **options
    )


def wordless(connection, corpus, loaded):
    """Return why there is nothing to find by keyword; empty if there is.

    An analyzer that is not made for a language makes one word of a whole sentence; nothing is found
    then, and a figure would say that the server finds nothing.
    """
    if sharing_a_word(corpus).any():
        return ""
    found = searching.keyword_search(connection, loaded.name, corpus.queries.texts, k=1)
    if found.found.any():
        return ""
    analyzer = "the kit's own" if corpus.analyzer is None else dict(corpus.analyzer)
    return (
        "no query shares a token with any passage, as the server splits them by the analyzer"
        f" {analyzer}: it returns nothing to any of them. Set `analyzer` in corpus.yaml to one for"
        " the language of the corpus; docs/corpus.md names some"
    )


def held_against(method, corpus, loaded, filters=None):
    """Return what the answers of a method are held against.

    A score by keyword, or of ranks fused, has no exact value here: how many hits there are at
    least, each once, known, in order, with its own fields and under its filter, is what is left.
    """
    if method == "vector":
        truth = workload.passages_truth(corpus, filtered=filters is not None)
        return answering.expected(corpus, truth, loaded.index, filters)
    least = sharing_a_word(corpus) if method == "keyword" else matching(corpus)
    return Expected(corpus, filters=filters, at_least=least, order="either")


def matching(corpus):
    """Return how many passages match each query's filter."""
    filters = corpus.queries.filters or [None] * len(corpus.queries)
    return np.array(
        [corpus.rows if one is None else one.mask(corpus.scalars).sum() for one in filters]
    )


def sharing_a_word(corpus):
    """Return how many passages that match a query's filter surely share a word with it.

    Words of ASCII letters and digits alone, between blanks, are words to the kit's own analyzer;
    which are words to another is not known here.
    """
    if corpus.analyzer is not None:
        return np.zeros(len(corpus.queries), dtype=np.int64)
    filters = corpus.queries.filters or [None] * len(corpus.queries)
    holding = {}
    for row, text in enumerate(corpus.texts):
        for word in plain_words(text):
            holding.setdefault(word, set()).add(row)
    counts = []
    for text, one in zip(corpus.queries.texts, filters, strict=True):
        rows = set().union(*(holding.get(word, ()) for word in plain_words(text)))
        allowed = None if one is None else one.mask(corpus.scalars)
        counts.append(sum(allowed is None or bool(allowed[row]) for row in rows))
    return np.array(counts)


def plain_words(text):
    """Return the words of a text that are beyond doubt."""
    return set(re.findall(r"(?<!\S)[a-z0-9]+(?!\S)", text.lower())) - set(STOP_WORDS)


def by_sort(corpus, judged):
    """Return the places among the judged queries by sort, and all of them."""
    sorts = np.array(corpus.queries.sorts or [""] * len(corpus.queries))[judged]
    places = {sort: np.flatnonzero(sorts == sort) for sort in dict.fromkeys(sorts) if sort}
    return {**places, ALL_SORTS: np.arange(len(judged))}
