"""How each gate went from run to run, and where its figure changed for good.

Only runs of the same profile and sizes are put into one series. A change point is where the mean of
the figures before and after differ by more than their scatter explains (PELT of `ruptures`, on
figures in units of that scatter); it says that something changed, and neither what nor whether it
matters.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from validation.errors import ConfigurationError
from validation.report import wording
from validation.report.results import Results
from validation.report.store import RESULTS, read_results
from validation.verdicts.verdict import Outcome, Verdict

FEWEST = 8
"""Runs that it takes to tell a change from scatter."""
_SHORTEST = 3
"""Runs that a level has to last."""
_PENALTY = 4.0
"""Times the logarithm of the number of runs: what a further change point has to explain."""


@dataclasses.dataclass(frozen=True)
class Point:
    """What a gate came to in one run.

    Args:
        run: The run's name.
        started: When it began.
        outcome: The gate's outcome.
        observed: The figure, in the rule's unit; none where nothing was measured.
        rule: What it was held against, in words: a rule may have been another then.
    """

    run: str
    started: datetime
    outcome: Outcome
    observed: float | None
    rule: str

    @property
    def figure(self) -> float | None:
        """What was observed, if it is a number to compare."""
        seen = self.observed
        return None if seen is None or not math.isfinite(seen) else seen


@dataclasses.dataclass(frozen=True)
class Series:
    """One gate over the runs of one profile, oldest first.

    Args:
        group: Profile and sizes.
        last: The gate as the newest run that judged it has it.
        points: The gate in each run that judged it.
        runs: How many runs its group has.
    """

    group: str
    last: Verdict
    points: tuple[Point, ...]
    runs: int

    @property
    def title(self) -> str:
        """The gate's name with its labels and its target."""
        at = f" at {wording.line(self.last.target)}" if self.last.target else ""
        return f"{wording.line(self.last.gate)}{wording.labels(self.last, beyond_rule=True)}{at}"

    @property
    def measured(self) -> tuple[Point, ...]:
        """The points that have a figure."""
        return tuple(point for point in self.points if point.figure is not None)

    @property
    def figures(self) -> list[float]:
        """The figures there are, in order."""
        return [point.figure for point in self.points if point.figure is not None]

    @property
    def moved(self) -> bool:
        """Whether anything differs between its runs, also that some did not judge it."""
        seen = {(point.figure, point.outcome) for point in self.points}
        return len(seen) > 1 or len(self.points) < self.runs

    @property
    def open(self) -> bool:
        """Whether the newest run that judged it did not find it passed."""
        return self.last.outcome is not Outcome.PASS

    def changes(self) -> list[Point]:
        """Return the first run of each new level."""
        return [self.measured[at] for at in change_points(self.figures)]

    def said(self) -> str:
        """Return the series in a sentence."""
        passed = sum(point.outcome is Outcome.PASS for point in self.points)
        parts = [f"passed in {passed} of {len(self.points)} runs"]
        if len(self.points) < self.runs:
            parts.append(f"not judged in {self.runs - len(self.points)}")
        if self.figures:
            middle, low, high = np.median(self.figures), min(self.figures), max(self.figures)
            shown = [
                wording.quantity(float(one), self.last.rule.unit) for one in (middle, low, high)
            ]
            parts.append(f"median {shown[0]} ({shown[1]} to {shown[2]})")
            parts.append(f"last {wording.observed(self.last)}")
        return "; ".join(parts)

    def changes_said(self) -> list[str]:
        """Return each change in a sentence."""
        figures, said, starts = self.figures, [], change_points(self.figures)
        for begin, at, end in zip([0, *starts], starts, [*starts[1:], len(figures)], strict=False):
            levels = (np.median(figures[begin:at]), np.median(figures[at:end]))
            before, since = (wording.quantity(float(one), self.last.rule.unit) for one in levels)
            run = wording.line(self.measured[at].run)
            said.append(f"changed with run {run}: {before} before, {since} since")
        return said


def change_points(figures: Sequence[float]) -> list[int]:
    """Return the positions at which a new level begins; none where there are too few figures."""
    values = np.asarray(figures, dtype=np.float64)
    with np.errstate(over="ignore"):
        span = float(np.ptp(values)) if values.size else 0.0
    if values.size < FEWEST or not 0 < span < math.inf:  # no level in what no float can span
        return []
    steps = np.abs(np.diff(values))
    # The scatter from one run to the next; a change of level is one large step among many. Where
    # most runs are equal to the digit, the steps themselves are all there is to go by.
    scatter = float(np.median(steps)) / 0.954 or float(steps.std())
    if scatter == 0:  # one straight line: no level anywhere
        return []
    import ruptures  # noqa: PLC0415  (a second, only where there are figures enough)

    found = ruptures.Pelt(model="l2", min_size=_SHORTEST, jump=1).fit(values / scatter)
    return found.predict(pen=_PENALTY * math.log(values.size))[:-1]


def series(runs: Iterable[Results]) -> list[Series]:
    """Return the gates of runs as series: of the same profile, rule, target and labels."""
    points: dict[tuple, list[Point]] = {}
    last: dict[tuple, Verdict] = {}
    sizes: Counter[str] = Counter()
    for run in sorted(runs, key=lambda one: one.started):
        group = profile_of(run)
        sizes[group] += 1
        for gate in run.gates:
            key = (group, *identity(gate))
            points.setdefault(key, []).append(point(run, gate))
            last[key] = gate
    return [Series(key[0], last[key], tuple(all_), sizes[key[0]]) for key, all_ in points.items()]


def identity(gate: Verdict) -> tuple:
    """Return what two verdicts have in common that may be put side by side."""
    rule = gate.rule
    labels = frozenset(gate.labels.items())
    return gate.target, gate.gate, labels, (rule.metric, rule.statistic, rule.unit)


def point(run: Results, gate: Verdict) -> Point:
    """Return a run's verdict as a point of a series."""
    return Point(run.run, run.started, gate.outcome, gate.observed, wording.rule_text(gate.rule))


def profile_of(run: Results) -> str:
    """Return a run's profile and sizes in words: runs of others are of another series."""
    sizes = run.parameters
    rows, dim = sizes.get("rows"), sizes.get("dim")
    shown = f", {rows} rows x {dim}" if rows and dim else ""
    return wording.line(f"profile {run.profile}{shown}")


def read_runs(folder: Path) -> tuple[list[Results], list[str]]:
    """Return the runs in a folder, and for each that cannot be read why it is left out.

    Raises:
        ConfigurationError: There is none.
    """
    runs, left_out = [], []
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.is_symlink() or not (path / RESULTS).is_file():
            continue
        try:
            runs.append(read_results(path))
        except ConfigurationError as error:
            left_out.append(wording.line(f"{path.name}: {error.what}"))
    if not runs:
        raise ConfigurationError(
            "there is no run to compare",
            where=str(folder),
            seen=left_out or None,
            remedy="name a folder that holds runs, such as runs",
        )
    return runs, left_out
