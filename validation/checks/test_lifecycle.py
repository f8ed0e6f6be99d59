"""A restart of the server loses nothing and changes no answer."""

import time

import numpy as np
import pytest

from validation import workload
from validation.errors import MilvusKitError
from validation.local import stack
from validation.milvus import manifest, searching
from validation.milvus.connection import connect

pytestmark = pytest.mark.family("lifecycle")

PATIENCE_SECONDS = 120
METRICS = ("restart.seconds_to_answer", "restart.rows_lost", "restart.answers_changed")


def test_a_restart_loses_nothing_and_changes_no_answer(
    gate, connection, target, generated, generated_collection, corpus, corpus_collection, manifests
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
    answers = answers_of(connection, corpus, corpus_collection)
    began = time.monotonic()
    stack.restart(target)
    with connect_again(target, began) as again:
        await_answer(again, generated, generated_collection, began)
        gate("restart.seconds_to_answer", [time.monotonic() - began])
        after = answers_of(again, corpus, corpus_collection)
        for label, name in collections.items():
            before = rows[label]
            found = manifest.stored(again, name, like=before)
            lost = manifest.compare(before, found)
            miscounted = abs(found.counted - before.counted)
            gate(
                "restart.rows_lost",
                [float(lost.missing + lost.unexpected + lost.changed + miscounted)],
                labels={"dataset": label},
                evidence={**lost.evidence, "examples": lost.examples},
            )
    gate(
        "restart.answers_changed",
        [float(not same(*pair)) for pair in zip(answers, after, strict=True)],
        labels={"dataset": "corpus"},
        columns={"query": corpus.queries.ids},
    )


def answers_of(connection, corpus, loaded):
    """Return (ids, distances) of every query of the corpus, by exact search."""
    found = searching.search(
        connection, loaded.name, corpus.queries.vectors, k=workload.K, params=loaded.index.search
    )
    return list(zip(found.ids, found.distances, strict=True))


def same(before, after):
    """Whether two answers agree: the same distances, and the same rows but for ties at the end."""
    (ids, distances), (other_ids, other_distances) = before, after
    if not np.array_equal(distances, other_distances, equal_nan=True):
        return False
    last = distances[-1]
    inner = {one for one, distance in zip(ids, distances, strict=True) if distance != last}
    return inner <= set(other_ids)


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
