"""The rows are really in the S3 bucket."""

import pytest

from validation.errors import MeasurementError
from validation.milvus import backing, objects

pytestmark = pytest.mark.family("storage")

EXAMPLES = 5


def test_rows_and_index_are_in_the_bucket(
    gate, connection, generated, generated_collection, profile, target
):
    metrics = ("storage.persisted_ratio", "storage.index_objects")
    if target.storage is None:
        for metric in metrics:
            gate(metric, not_measured="the target declares no storage")
        return
    index = generated_collection.under(profile.indexes[-1])
    try:
        found = objects.inventory(connection, generated_collection.name, target.storage)
    except MeasurementError as error:
        for metric in metrics:
            gate(metric, not_measured=f"{error.what}: {error.remedy}")
        return
    sent = generated.vectors.nbytes
    evidence = {
        "bucket": target.storage.bucket,
        "index": index.kind,
        "collection_id": found.collection_id,
        "objects": found.objects,
        "bytes": found.bytes,
        "vector_bytes_sent": sent,
        "examples": found.examples,
    }
    gate("storage.persisted_ratio", [found.bytes["insert_log"] / sent], evidence=evidence)
    gate("storage.index_objects", [float(found.objects["index_files"])], evidence=evidence)


def test_the_bucket_holds_what_segments_name_and_nothing_else(
    gate, connection, generated_collection, corpus_collection, profile, target
):
    generated_collection.under(profile.indexes[-1])
    loaded = {"generated": generated_collection.loaded, "corpus": corpus_collection}
    for label, one in loaded.items():
        observe_backing(gate, connection, target.storage, one, label)


def observe_backing(gate, connection, storage, loaded, label):
    """Compare the objects of a collection with its segments."""
    labels = {"dataset": label}
    missing, unnamed = "storage.objects_missing", "storage.objects_unnamed"
    reason, found = compared(connection, storage, loaded.name, loaded.segments)
    if found is None:
        for metric in (missing, unnamed):
            gate(metric, labels=labels, not_measured=reason)
        return
    evidence = {
        "segments": found.named,
        "compared": {"segments": found.compared, "rows": found.rows},
        "objects": found.objects,
        "compacted": found.compacted,
    }
    lost = found.missing
    if loaded.rows and not (found.compared or found.passing):
        lost = [*lost, f"the server names no segment with rows, and {loaded.rows:,} were loaded"]
    for metric, wrong, unclear in (
        (missing, lost, "" if lost else found.uncompared),
        (unnamed, found.unnamed, found.unclear),
    ):
        gate(
            metric,
            [len(wrong)],
            labels=labels,
            not_measured=unclear or None,
            evidence=evidence | ({"examples": wrong[:EXAMPLES]} if wrong else {}),
        )


def compared(connection, storage, name, known):
    """Return why a bucket cannot be compared with a collection's segments, or else how it does."""
    if storage is None:
        return "the target declares no storage", None
    try:
        found = backing.settled(connection, name, storage, known=known)
    except MeasurementError as error:
        return f"{error.what}: {error.remedy}", None
    return "", found
