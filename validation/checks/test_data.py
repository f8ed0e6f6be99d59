"""Every row that was acknowledged is there, once and unchanged."""

import pytest

from validation.milvus import manifest

pytestmark = pytest.mark.family("data")


def test_the_generated_rows_are_complete(
    gate, connection, generated, generated_collection, manifests
):
    name = generated_collection.name
    manifests[name] = observe_completeness(gate, connection, generated, name, "generated")


def test_loading_keeps_its_rate(gate, generated_collection):
    loaded = generated_collection.loaded
    gate(
        "loading.rate",
        [loaded.rows / (loaded.seconds("insert") + loaded.seconds("flush"))],
        evidence={phase.name: round(phase.seconds, 3) for phase in loaded.phases},
    )


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
