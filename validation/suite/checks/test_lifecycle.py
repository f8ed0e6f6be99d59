"""A restart of the server loses nothing and changes no answer, and the answers are right."""

import time

import numpy as np
import pytest

from validation.answers.checking import check
from validation.errors import MilvusKitError
from validation.local import stack
from validation.milvus import manifest, searching
from validation.milvus.connection import connect
from validation.suite import answering, workload
from validation.suite.changed import observe as observe_mutated
from validation.suite.checks.test_filters import observe as observe_filters
from validation.suite.checks.test_recall import asked
from validation.suite.checks.test_retrieval import held_against

pytestmark = pytest.mark.family("lifecycle")

PATIENCE_SECONDS = 120
METRICS = ("restart.seconds_to_answer", "restart.rows_lost", "restart.answers_changed")


def test_a_restart_loses_nothing_and_changes_no_answer(
    gate,
    connection,
    target,
    generated,
    generated_collection,
    corpus,
    corpus_collection,
    manifests,
    profile,
):
    if target.restart is None:
        for metric in METRICS:
            gate(metric, not_measured="the target does not say that it may be restarted, and how")
        return
    collections = {"generated": generated_collection.name, "corpus": corpus_collection.name}
    # Nothing writes between the checks, so what the data checks read back is what was there before.
    rows = {
        label: manifests.get(name) or manifest.stored(connection, name)
        for label, name in collections.items()
    }
    before = answers_of(connection, corpus, corpus_collection)
    began = time.monotonic()
    stack.restart(target)
    with connect_again(target, began) as again:
        for dataset, loaded in ((generated, generated_collection), (corpus, corpus_collection)):
            await_answer(again, dataset, loaded, began)  # they are loaded one after the other
        gate("restart.seconds_to_answer", [time.monotonic() - began])
        after = answers_of(again, corpus, corpus_collection)
        index = generated_collection.index
        found = asked(again, generated, generated_collection, index, profile)
        for label, name in collections.items():
            there = rows[label]
            seen = manifest.stored(again, name, like=there)
            lost = manifest.compare(there, seen)
            miscounted = abs(seen.counted - there.counted)
            gate(
                "restart.rows_lost",
                [float(lost.missing + lost.unexpected + lost.changed + miscounted)],
                labels={"dataset": label},
                evidence={**lost.evidence, "examples": lost.examples},
            )
    gate(
        "restart.answers_changed",
        [float(not same(before, after, at)) for at in range(len(after))],
        labels={"dataset": "corpus"},
        columns={"query": corpus.queries.ids},
    )
    # That they are the same as before does not make them right.
    names = {"corpus": corpus.queries.ids, "generated": generated.queries.ids}
    held = {"corpus": check(after, held_against("vector", corpus, corpus_collection))}
    for label, one in {**held, "generated": found}.items():
        labels = {"dataset": label, "after": "restart"}
        answering.observe(gate, one, labels=labels, queries=names[label])


def test_a_restart_brings_no_row_back(gate, target, mutated):
    if target.restart is None:
        pytest.skip("the target does not say that it may be restarted, and how")
    with connect(target) as again:
        observe_mutated(gate, again, mutated, after="restart")


def test_a_restart_changes_no_filter(gate, target, filtering, profile):
    if "restart" not in profile.filtered_after:
        pytest.skip(f"the profile {profile.name} asks no filter then")
    if target.restart is None:
        pytest.skip("the target does not say that it may be restarted, and how")
    with connect(target) as again:
        observe_filters(gate, filtering.whole().on(again).ask(), after="restart")


def answers_of(connection, corpus, loaded):
    """Return the answers to every query of the corpus, by exact search."""
    return searching.search(
        connection,
        loaded.name,
        corpus.queries.vectors,
        k=workload.K,
        params=loaded.index.search,
        fields=answering.fields_of(corpus),
    )


def same(before, after, at):
    """Whether two answers agree: the same distances, and the same rows but for ties at the end."""
    mine, other = before.distances[at], after.distances[at]
    if not np.array_equal(mine, other, equal_nan=True):
        return False
    inner = {one for one, said in zip(before.ids[at], mine, strict=True) if said != mine[-1]}
    return inner <= set(after.ids[at])


def connect_again(target, began):
    """Connect as soon as the server lets us."""
    while True:
        try:
            return connect(target)
        except MilvusKitError:
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise
            time.sleep(0.1)


def await_answer(connection, dataset, collection, began):
    """Search until there is a complete answer."""
    while time.monotonic() - began < 2 * PATIENCE_SECONDS:
        try:
            answers = searching.search(
                connection,
                collection.name,
                dataset.queries.vectors[:1],
                k=workload.K,
                params=collection.index.search,
            )
        except MilvusKitError:
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise
            time.sleep(0.1)
        else:
            if answers.found[0] == workload.K:
                return
