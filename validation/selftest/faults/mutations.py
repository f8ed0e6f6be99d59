"""Faults of rows that are changed: deletes and upserts that are lost, partitions, iterators."""

from __future__ import annotations

import numpy as np

from validation.mutations.plan import Plan
from validation.runs.profiles import Profile
from validation.selftest.fault import Fault, Wire, metrics, on
from validation.selftest.plants import ROWS
from validation.selftest.scene import MUTATIONS
from validation.selftest.wire import changed, stored
from validation.selftest.wire.conditions import Where
from validation.selftest.wire.fault import WireFault
from validation.suite import workload

_MISCOUNTED = ("mutations.miscounted", "partitions.miscounted")
_ANSWERS = metrics("answers.incomplete", "filter.violations")


def _lost_upserts(*, new: bool) -> Wire:
    """Return a fault that loses upserts of a few rows that are there in the end.

    Args:
        new: Of rows that were not there before; else of such as were.
    """

    def wire(profile: Profile) -> WireFault:
        plan = workload.mutations(profile)
        strike = stored.NotStored(frozenset(_lost(plan, new=new).tolist()))
        return WireFault(
            frozenset({"Upsert"}), when=Where("mutated"), ask=strike.ask, answer=strike.answer
        )

    return wire


def _lost(plan: Plan, *, new: bool) -> np.ndarray:
    """Return the keys of a few rows whose upserts are lost: those that searches look for."""
    rows = plan.upserted[plan.present[plan.upserted]]
    rows = rows[(rows >= plan.start.rows) == new]
    return plan.keys[rows[plan.source[rows] != rows][:ROWS]]


FAULTS = (
    Fault(
        "lost-deletes",
        "rows that a filter deletes are still there",
        metrics("mutations.rows_back", "answers.unknown", "iterator.rows_unexpected", *_MISCOUNTED),
        wire=(on("Delete", when=changed.is_deleted_by_filter, ask=changed.undone),),
        scene=MUTATIONS,
        lite=True,
    ),
    Fault(
        "stale-upserts",
        f"{ROWS} rows keep their old content when they are upserted",
        metrics(
            "mutations.rows_stale",
            "answers.wrong_scores",
            "answers.wrong_fields",
            "exact_search.misses",
        ),
        wire=(_lost_upserts(new=False),),
        scene=MUTATIONS,
        lite=True,
        may_change=_ANSWERS,
    ),
    Fault(
        "lost-upserts",
        f"{ROWS} new rows that are upserted do not arrive",
        metrics(
            "mutations.rows_missing", "iterator.rows_missing", "exact_search.misses", *_MISCOUNTED
        ),
        wire=(_lost_upserts(new=True),),
        scene=MUTATIONS,
        lite=True,
    ),
    Fault(
        "doubled-rows",
        "a row of each page comes twice",
        metrics("mutations.rows_doubled", "iterator.rows_unexpected"),
        wire=(on("Query", when=changed.returns_rows, answer=changed.first_twice),),
        scene=MUTATIONS,
        lite=True,
    ),
    Fault(
        "ignored-partitions",
        "searches and counts in a partition are of all of them",
        metrics("partitions.rows_astray", "partitions.miscounted"),
        wire=(on("Search", "Query", when=Where("mutated"), ask=changed.everywhere),),
        scene=MUTATIONS,
        lite=True,
    ),
    Fault(
        "short-iterator",
        "an iterator returns 84 of 100 rows",
        metrics("iterator.rows_missing"),
        wire=(on("Query", when=changed.is_iterated, answer=changed.first_left_out),),
        scene=MUTATIONS,
        lite=True,
    ),
)
