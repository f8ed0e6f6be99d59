"""Rows that are deleted stay deleted, changed ones stay changed, and each way of asking agrees."""

import pytest

from validation.answers.checking import check, together
from validation.datasets.generated import selecting
from validation.datasets.ground_truth import exact_under
from validation.milvus import loading, searching
from validation.milvus.schema import VECTOR
from validation.mutations import acts, seen
from validation.mutations.plan import DROPPED, PARTITIONS
from validation.suite import answering, workload

pytestmark = pytest.mark.family("mutations")

ITERATOR_PAGE = 1_000
"""What pymilvus asks for unless told otherwise."""
HALF = selecting(0.5)


def test_changed_rows_are_seen_as_they_are_now(gate, connection, mutated):
    observe(gate, connection, mutated, after="changes")


def test_a_flush_brings_no_row_back(gate, connection, mutated):
    loading.flush(connection, mutated.name)
    observe(gate, connection, mutated, after="flush")


def test_a_compaction_brings_no_row_back(gate, connection, mutated, profile):
    if not profile.compaction_seconds:
        pytest.skip(f"the profile {profile.name} leaves compaction out")
    acts.compact(connection, mutated.name, seconds=profile.compaction_seconds)
    observe(gate, connection, mutated, after="compaction")


def observe(gate, connection, mutated, *, after):
    """Ask for the rows in every way there is, and hand on what is not as it must be."""
    labels = {"after": after}
    observe_rows(gate, connection, mutated, labels)
    observe_counts(gate, connection, mutated, labels)
    observe_searches(gate, connection, mutated, labels)
    keys = seen.iterated(connection, mutated.name, batch=ITERATOR_PAGE)
    wanted = mutated.plan.keys[mutated.plan.present]
    observe_iterator(gate, keys, wanted, {"dataset": "mutated", **labels})


def observe_rows(gate, connection, mutated, labels):
    """Read all rows, and look up those that something was done to."""
    ways = {
        "pages": seen.pages(connection, mutated.plan, mutated.name),
        "look-up": seen.lookups(connection, mutated.plan, mutated.name),
    }
    for metric, kind in (
        ("mutations.rows_back", "back"),
        ("mutations.rows_stale", "stale"),
        ("mutations.rows_missing", "missing"),
        ("mutations.rows_doubled", "doubled"),
    ):
        found = {way: getattr(one, kind) for way, one in ways.items()}
        gate(
            metric,
            [len(keys) for keys in found.values()],
            labels=labels,
            columns={"way": [*found]},
            evidence={"examples": {way: keys[: seen.EXAMPLES] for way, keys in found.items()}},
        )


def observe_counts(gate, connection, mutated, labels):
    """Count all rows, and those of each partition."""
    off = seen.counts(connection, mutated.plan, mutated.name)
    gate("mutations.miscounted", [off.pop("")], labels=labels)
    gate("partitions.miscounted", [*off.values()], labels=labels, columns={"partition": [*off]})


def observe_searches(gate, connection, mutated, labels):
    """Search for what is there and for what is not: in all rows, under a filter, in partitions."""
    plan = mutated.plan

    def asked(condition=None, partition=None):
        answers = searching.search(
            connection,
            mutated.name,
            plan.now.queries.vectors,
            k=workload.K,
            params=mutated.index.search,
            filter=condition,
            fields=[*answering.fields_of(plan.now), VECTOR],
            partition="" if partition is None else PARTITIONS[partition],
        )
        present = None if partition is None else plan.inside(partition)
        truth = exact_under(plan.now, workload.K, condition, present=present)
        return answers, answering.expected(plan.now, truth, mutated.index, condition)

    searches = [asked(), asked(HALF)]
    lost = []
    for partition in range(DROPPED):
        answers, expected = asked(partition=partition)
        lost.append(seen.astray(plan, answers, expected, partition))
        searches.append((answers, expected))
    found = together([check(*one) for one in searches])
    names = plan.now.queries.ids
    labels = {"dataset": "mutated", **labels}
    answering.observe(gate, found, labels=labels, queries=names * len(searches))
    gate(
        "partitions.rows_astray",
        [count for one in lost for count in one.counts],
        labels=labels,
        columns={"query": names * len(lost)},
        evidence={"examples": [example for one in lost for example in one.examples]},
    )


def observe_iterator(gate, keys, wanted, labels):
    """Compare what an iterator returned with what is there."""
    found = seen.held(keys, wanted)
    evidence = {"returned": len(keys), "wanted": len(wanted)}
    for metric, wrong in (
        ("iterator.rows_missing", [found.missing]),
        ("iterator.rows_unexpected", [found.back, found.doubled]),
    ):
        examples = [key for some in wrong for key in some[: seen.EXAMPLES].tolist()]
        gate(
            metric,
            [sum(len(some) for some in wrong)],
            labels=labels,
            evidence={**evidence, "examples": examples},
        )
