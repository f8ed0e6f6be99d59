"""A collection whose rows are changed, and everything there is to ask of them then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from validation.answers.checking import check, together
from validation.answers.model import Answers, Expected
from validation.datasets.generated import selecting
from validation.datasets.ground_truth import exact_under
from validation.datasets.model import Filter
from validation.milvus import searching
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.schema import VECTOR
from validation.mutations import seen
from validation.mutations.plan import DROPPED, PARTITIONS, Plan
from validation.suite import answering, workload

ITERATOR_PAGE = 1_000
"""What pymilvus asks for unless told otherwise."""
_HALF = selecting(0.5)
Gate = Callable[..., Any]


class Noted:
    """What was observed in the background, for the check that hands it on to its gates."""

    def __init__(self) -> None:
        self._calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._broke_off: Exception | None = None

    def __call__(self, *given: Any, **more: Any) -> None:
        """Keep an observation, in place of the fixture ``gate``."""
        self._calls.append((given, more))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the error by which looking broke off: what was seen before it counts as well."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  (whatever it is, the check raises it)
            self._broke_off = error

    def hand_on(self, gate: Gate) -> None:
        """Observe it all, in its order, and raise what it broke off by."""
        for given, more in self._calls:
            gate(*given, **more)
        if self._broke_off is not None:
            raise self._broke_off


@dataclasses.dataclass(frozen=True)
class MutatedCollection:
    """A collection whose rows are changed.

    Args:
        name: In Milvus.
        plan: What was done to it.
        index: Of its vectors, an exact one.
        noted: What was seen of it in the background, by what had been done before.
    """

    name: str
    plan: Plan
    index: IndexSpec
    noted: dict[str, Noted] = dataclasses.field(default_factory=dict)


def observe(gate: Gate, connection: Connection, mutated: MutatedCollection, *, after: str) -> None:
    """Ask for the rows in every way there is, and hand on what is not as it must be."""
    labels = {"after": after}
    _observe_rows(gate, connection, mutated, labels)
    _observe_counts(gate, connection, mutated, labels)
    _observe_searches(gate, connection, mutated, labels)
    keys = seen.iterated(connection, mutated.name, batch=ITERATOR_PAGE)
    wanted = mutated.plan.keys[mutated.plan.present]
    observe_iterator(gate, keys, wanted, {"dataset": "mutated", **labels})


def _observe_rows(
    gate: Gate, connection: Connection, mutated: MutatedCollection, labels: Mapping[str, str]
) -> None:
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


def _observe_counts(
    gate: Gate, connection: Connection, mutated: MutatedCollection, labels: Mapping[str, str]
) -> None:
    """Count all rows, and those of each partition."""
    off = seen.counts(connection, mutated.plan, mutated.name)
    gate("mutations.miscounted", [off.pop("")], labels=labels)
    gate("partitions.miscounted", [*off.values()], labels=labels, columns={"partition": [*off]})


def _observe_searches(
    gate: Gate, connection: Connection, mutated: MutatedCollection, labels: Mapping[str, str]
) -> None:
    """Search for what is there and for what is not: in all rows, under a filter, in partitions."""
    plan = mutated.plan

    def asked(
        condition: Filter | None = None, partition: int | None = None
    ) -> tuple[Answers, Expected]:
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

    searches = [asked(), asked(_HALF)]
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


def observe_iterator(
    gate: Gate, keys: np.ndarray, wanted: np.ndarray, labels: Mapping[str, str]
) -> None:
    """Compare the keys that an iterator returned (int64, in any order) with the sorted wanted."""
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
