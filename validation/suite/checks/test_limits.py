"""What the server may not be able to do; it comes last, since asking may disturb it."""

import pytest

from validation.milvus import capabilities
from validation.suite.checks.test_recall import observe_overlap

pytestmark = pytest.mark.family("limits")


def test_diskann_finds_nearest_neighbours(
    gate, connection, generated, generated_collection, profile, run_id
):
    found = capabilities.probe(
        connection, run=run_id, seconds=profile.probe_seconds, only="diskann"
    )["diskann"]
    if not found.available:
        gate("ann_overlap@10", labels={"index": "DISKANN"}, not_measured=found.reason)
        return
    index = generated_collection.under("DISKANN")
    observe_overlap(gate, connection, generated, generated_collection, index, profile)
