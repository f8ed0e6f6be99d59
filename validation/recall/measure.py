"""Ask, read all rows once beside it, and compare.

A row that is drawn as a query is left out of its own answer and of its own neighbours: to find
itself would be no recall. Whoever writes to the collection meanwhile, and whichever rows the server
loses when they are read, show in a number of rows that is not what it counts; then nothing is said
of recall.
"""

from __future__ import annotations

import dataclasses

from validation.common.progress import Progress
from validation.errors import MeasurementError
from validation.milvus import reading, serving
from validation.recall import asking, rows
from validation.recall.comparing import Point, compared
from validation.recall.neighbours import neighbours
from validation.recall.plan import Plan, vectors_in
from validation.recall.subject import Subject


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came of a collection.

    Args:
        subject: The collection.
        plan: What was asked.
        counted: How many rows the server counts, before and after.
        keys: How many keys it returned.
        read: How many rows it returned with their vectors.
        queries: How many queries there were.
        points: By parameters; the first are those given.
        notes: What a reader should know.
    """

    subject: Subject
    plan: Plan
    counted: tuple[int, int]
    keys: int
    read: int
    queries: int
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()

    @property
    def not_measured(self) -> str:
        """Why nothing can be said of recall; empty if something can."""
        before, after = self.counted
        if before != after:
            return (
                f"the collection changed meanwhile: {before:,} rows before, {after:,} after; stop"
                " its writers, or measure a copy"
            )
        for got, what in ((self.keys, "keys"), (self.read, "rows")):
            if got != before:
                return (
                    f"the server counts {before:,} rows and returns {got:,} {what} when they are"
                    " read in order of the primary key: it loses some or counts some twice, so the"
                    " true neighbours are not known"
                )
        return "" if self.queries else "there are no rows to ask with"


def measure(subject: Subject, plan: Plan, progress: Progress) -> Measured:
    """Measure the recall of a collection.

    Raises:
        MilvusKitError: The server cannot be asked, or a query has no distance to anything.
    """
    given = None if isinstance(plan.queries, int) else vectors_in(plan.queries, subject.dim)
    table = subject.table(subject.vector, condition=plan.condition)
    with progress.step("read the primary keys") as step:
        before = reading.count(subject.connection, subject.name, plan.condition)
        known = rows.keys(
            subject.table(condition=plan.condition),
            every=max(1, table.page - 1),
            sample=plan.queries if isinstance(plan.queries, int) else 0,
            seed=plan.seed,
            report=step,
        )
    asked = asking.drawn(subject, known.sample) if given is None else asking.given(subject, given)
    if not len(asked):
        return Measured(subject, plan, (before, before), known.count, before, 0, ())
    answers = []
    for params in plan.points(subject.index, subject.build):
        shown = ", ".join(f"{name}={value}" for name, value in params.items())
        with progress.step(f"search with {shown or 'no parameters'}"):
            answers.append((params, asking.answers(subject, plan, asked, params)))
    with progress.step("read all vectors") as step:
        truth = neighbours(table, subject, asked, known, k=plan.k, report=step)
    with progress.step("compare"):
        points = compared(subject, plan, asked, truth, answers)
        after = reading.count(subject.connection, subject.name, plan.condition)
    notes = (asked.note, _unindexed(subject))
    return Measured(
        subject,
        plan,
        (before, after),
        known.count,
        truth.read,
        len(asked),
        points,
        tuple(note for note in notes if note),
    )


def _unindexed(subject: Subject) -> str:
    """Return a note on rows that are searched without an index, where the server tells."""
    try:
        return serving.why_not_indexed(subject.connection, subject.name, subject.index)
    except MeasurementError:
        return ""  # not everybody may ask that
