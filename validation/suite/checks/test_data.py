"""Every row that was acknowledged is there, once and unchanged."""

import numpy as np
import pytest

from validation.errors import MilvusKitError
from validation.milvus import agreement, manifest
from validation.milvus.reading import MAX_PAGE
from validation.mutations import seen
from validation.suite.changed import observe_iterator
from validation.verdicts.judging import BEHIND

pytestmark = pytest.mark.family("data")


def test_the_generated_rows_are_complete(
    gate, connection, generated, generated_collection, manifests
):
    name = generated_collection.name
    manifests[name] = observe_completeness(gate, connection, generated, name, "generated")


def test_segments_hold_every_row_stored_and_in_memory(
    gate, connection, generated, generated_collection
):
    observe_segments(gate, connection, generated.rows, generated_collection.name, "generated")


def test_an_iterator_returns_every_row(gate, connection, generated, generated_collection):
    keys = seen.iterated(connection, generated_collection.name, batch=MAX_PAGE)
    observe_iterator(gate, keys, np.sort(generated.ids), {"dataset": "generated"})


def test_loading_keeps_its_rate(gate, connection, generated_collection):
    loaded = generated_collection.loaded
    seconds = loaded.seconds("insert") + loaded.seconds("flush")
    evidence = {phase.name: round(phase.seconds, 3) for phase in loaded.phases}
    limited = connection.wire.limited.get("Insert")
    if limited is not None:  # then the rate says nothing of log and store
        evidence[BEHIND] = (
            f"Milvus limits inserts itself ({limited.said}): {limited.seconds:.0f} of"
            f" {seconds:.0f} s were spent waiting at its word"
        )
    gate("loading.rate", [loaded.rows / seconds], evidence=evidence)


def observe_completeness(gate, connection, dataset, name, label):
    """Compare what is stored with what was sent, row by row; return the manifest of the former."""
    sent = manifest.sent(dataset)
    stored = manifest.stored(connection, name, like=sent)
    found = manifest.compare(sent, stored)
    evidence = {**found.evidence, "examples": found.examples}
    for metric, rows in (
        ("data.row_count_error", found.row_count_error),
        ("data.rows_missing", found.missing),
        ("data.rows_unexpected", found.unexpected),
        ("data.rows_changed", found.changed),
    ):
        gate(metric, [float(rows)], labels={"dataset": label}, evidence=evidence)
    return stored


def observe_segments(gate, connection, rows, name, label):
    """Compare the rows of the segments that are stored, and of each replica's, with all rows."""
    labels = {"dataset": label}
    reason, found = _account(connection, name, rows)
    if found is None:
        for metric in ("segments.miscounted", "replicas.miscounted"):
            gate(metric, labels=labels, not_measured=reason)
        return
    evidence = {"rows": rows, **found.segments}
    gate("segments.miscounted", [abs(found.stored - rows)], labels=labels, evidence=evidence)
    gate(
        "replicas.miscounted",
        [abs(held - rows) for held in found.replicas.values()],
        labels=labels,
        columns={"replica": [*found.replicas]},
        evidence=evidence,
    )


def _account(connection, name, rows):
    """Return why the server says nothing of its segments, or else what it says."""
    if connection.is_lite:
        return "Milvus Lite tells nothing of its segments", None
    try:
        return "", agreement.settled(connection, name, rows)
    except MilvusKitError as error:
        return error.sentence(), None
