"""Approximate search finds the exact nearest neighbours, and every answer is right as a whole."""

import pytest

from validation.answers.checking import check, together
from validation.datasets.generated import selecting
from validation.milvus import searching, serving
from validation.milvus.schema import VECTOR
from validation.suite import answering, workload

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
    evidence, reason = serving.asked_and_got(connection, collection.name, index)
    if reason:
        gate("ann_overlap@10", labels=labels, not_measured=reason, evidence=evidence)
        return
    found = asked(connection, generated, collection, index, profile)
    names = generated.queries.ids
    columns = {"query": names}
    gate("ann_overlap@10", found.overlap, labels=labels, columns=columns, evidence=evidence)
    if index.kind in serving.EXHAUSTIVE:
        # Of an exhaustive search the filters are part of what it promises: nothing is missed.
        filtered = [
            asked(connection, generated, collection, index, profile, share)
            for share in profile.selectivities
        ]
        found, names = together([found, *filtered]), names * (1 + len(filtered))
    labels = {"dataset": "generated", **labels}
    answering.observe(gate, found, labels=labels, queries=names, evidence=evidence)


def asked(connection, generated, collection, index, profile, share=None):
    """Ask every query, under the filter that a share of the rows matches, and check the answers."""
    condition = None if share is None else selecting(share)
    answers = searching.search(
        connection,
        collection.name,
        generated.queries.vectors,
        k=workload.K,
        params=index.search,
        filter=condition,
        fields=[*answering.fields_of(generated), *([VECTOR] if condition is None else [])],
    )
    truth = workload.truth(profile, share)
    return check(answers, answering.expected(generated, truth, index, condition))


@pytest.mark.parametrize("at", range(3), ids=["wide filter", "middle filter", "narrow filter"])
def test_filtered_search_finds_what_matches(
    gate, connection, generated, generated_collection, profile, at
):
    if at >= len(profile.selectivities):
        pytest.skip(f"the profile {profile.name} has {len(profile.selectivities)} selectivities")
    share = profile.selectivities[at]
    index = generated_collection.under(profile.indexes[-1])
    served, reason = serving.asked_and_got(connection, generated_collection.name, index)
    labels = {"dataset": "generated", "index": index.kind, "selectivity": share}
    evidence = {
        "filter": selecting(share).expression(),
        "matching_rows": int(workload.truth(profile, share).matches[0]),
        **served,
    }
    if reason:
        gate("filtered_ann_overlap@10", labels=labels, not_measured=reason, evidence=evidence)
        return
    found = asked(connection, generated, generated_collection, index, profile, share)
    columns = {"query": generated.queries.ids}
    gate(
        "filtered_ann_overlap@10", found.overlap, labels=labels, columns=columns, evidence=evidence
    )
    answering.observe(gate, found, labels=labels, queries=generated.queries.ids, evidence=evidence)
