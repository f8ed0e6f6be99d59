"""The rows are really in the S3 bucket."""

import pytest

from validation.errors import MeasurementError
from validation.milvus import objects

pytestmark = pytest.mark.family("storage")


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
