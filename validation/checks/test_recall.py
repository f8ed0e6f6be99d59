"""Approximate search finds the exact nearest neighbours, and filters hold."""

import numpy as np
import pytest

from validation import workload
from validation.datasets.generated import selecting
from validation.milvus import overlap, searching

pytestmark = pytest.mark.family("recall")


@pytest.mark.parametrize("kind", ["FLAT", "IVF_FLAT", "HNSW"])
def test_nearest_neighbours_are_found(
    gate, connection, generated, generated_collection, profile, kind
):
    if kind not in profile.indexes:
        reason = f"the profile {profile.name} leaves it out"
        gate("ann_overlap@10", labels={"index": kind}, not_measured=reason)
        return
    index = generated_collection.under(kind)
    observe_overlap(gate, connection, generated, generated_collection.name, index, profile)


def observe_overlap(gate, connection, generated, name, index, profile):
    """Search for every query and compare with the exact neighbours."""
    answers = searching.search(
        connection, name, generated.queries.vectors, k=workload.K, params=index.search
    )
    overlaps = overlap.ann_overlap(answers, workload.truth(profile), generated, workload.K)
    gate(
        "ann_overlap@10",
        overlaps,
        labels={"index": index.kind},
        columns={"query": generated.queries.ids},
        evidence=index.describe(),
    )


@pytest.mark.parametrize("at", range(3), ids=["wide filter", "middle filter", "narrow filter"])
def test_filtered_search_finds_what_matches(
    gate, connection, generated, generated_collection, profile, at
):
    if at >= len(profile.selectivities):
        pytest.skip(f"the profile {profile.name} has {len(profile.selectivities)} selectivities")
    share = profile.selectivities[at]
    index = generated_collection.under(profile.indexes[-1])
    condition = selecting(share)
    answers = searching.search(
        connection,
        generated_collection.name,
        generated.queries.vectors,
        k=workload.K,
        params=index.search,
        filter=condition.expression(),
    )
    broken = overlap.filter_violations(answers, generated, condition)
    labels = {"index": index.kind, "selectivity": share}
    columns = {"query": generated.queries.ids}
    evidence = {"filter": condition.expression(), **index.describe()}
    gate(
        "filter.violations",
        broken.counts,
        labels=labels,
        columns=columns,
        evidence={**evidence, "examples": broken.examples},
    )
    gate(
        "filtered_ann_overlap@10",
        overlap.ann_overlap(answers, workload.truth(profile, share), generated, workload.K),
        labels=labels,
        columns=columns,
        evidence={**evidence, "matching_rows": int(np.sum(condition.mask(generated.scalars)))},
    )
