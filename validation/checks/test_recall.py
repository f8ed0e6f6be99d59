"""Approximate search finds the exact nearest neighbours, and filters hold."""

import numpy as np
import pytest

from validation import workload
from validation.datasets.generated import selecting
from validation.milvus import overlap, searching, serving

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
    observe_overlap(gate, connection, generated, generated_collection, index, profile)


def observe_overlap(gate, connection, generated, collection, index, profile):
    """Search for every query and compare with the exact neighbours."""
    labels = {"index": index.kind}
    gate("loading.index_seconds", [collection.index_seconds[index.kind]], labels=labels)
    reason = serving.why_not_indexed(connection, collection.name, index.kind)
    if reason:
        gate("ann_overlap@10", labels=labels, not_measured=reason)
        return
    answers = searching.search(
        connection, collection.name, generated.queries.vectors, k=workload.K, params=index.search
    )
    found = overlap.ann_overlap(answers, workload.truth(profile), generated, workload.K)
    columns = {"query": generated.queries.ids}
    gate("ann_overlap@10", found, labels=labels, columns=columns, evidence=index.describe())
    if index.kind in serving.EXHAUSTIVE:
        misses = np.round((1 - found) * workload.K)
        gate("exact_search.misses", misses, labels=labels, columns=columns)


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
    mask = condition.mask(generated.scalars)
    labels = {"dataset": "generated", "index": index.kind, "selectivity": share}
    evidence = {"filter": condition.expression(), **index.describe()}
    observe_violations(gate, answers, generated, condition, labels, evidence)
    gate(
        "filtered_ann_overlap@10",
        overlap.ann_overlap(
            answers, workload.truth(profile, share), generated, workload.K, mask=mask
        ),
        labels=labels,
        columns={"query": generated.queries.ids},
        evidence={**evidence, "matching_rows": int(np.sum(mask))},
    )


def observe_violations(gate, answers, dataset, filters, labels, evidence):
    """Count the results that break their filter, of the queries that have a filter and a result."""
    each = filters if isinstance(filters, list) else [filters] * len(answers)
    asked = [at for at, one in enumerate(each) if one is not None and answers.found[at]]
    broken = overlap.filter_violations(answers, dataset, filters)
    gate(
        "filter.violations",
        broken.counts[asked],
        labels=labels,
        columns={"query": [dataset.queries.ids[at] for at in asked]},
        evidence={**evidence, "examples": broken.examples},
        not_measured=None if asked else "no filtered search returned anything",
    )
