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
from pathlib import Path

import numpy as np
import ruptures

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
    """A gate in one run."""

    run: str
    gate: Verdict

    @property
    def figure(self) -> float | None:
        """What was observed, if it is a number to compare."""
        seen = self.gate.observed
        return None if seen is None or not math.isfinite(seen) else seen


@dataclasses.dataclass(frozen=True)
class Series:
    """One gate over the runs of one profile, oldest first.

    Args:
        group: Profile and sizes.
        points: The gate in each run that judged it.
        runs: How many runs its group has.
    """

    group: str
    points: tuple[Point, ...]
    runs: int

    @property
    def last(self) -> Verdict:
        """The gate as the newest run has it."""
        return self.points[-1].gate

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
        seen = {(point.figure, point.gate.outcome) for point in self.points}
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
        passed = sum(point.gate.outcome is Outcome.PASS for point in self.points)
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
    if values.size < FEWEST or np.ptp(values) == 0:
        return []
    steps = np.abs(np.diff(values))
    # The scatter from one run to the next; a change of level is one large step among many. Where
    # most runs are equal to the digit, the steps themselves are all there is to go by.
    scatter = float(np.median(steps)) / 0.954 or float(steps.std())
    if scatter == 0:  # one straight line: no level anywhere
        return []
    found = ruptures.Pelt(model="l2", min_size=_SHORTEST, jump=1).fit(values / scatter)
    return found.predict(pen=_PENALTY * math.log(values.size))[:-1]


def series(runs: Iterable[Results]) -> list[Series]:
    """Return the gates of runs as series: of the same profile, rule, target and labels."""
    found: dict[tuple, list[Point]] = {}
    sizes: Counter[str] = Counter()
    for run in sorted(runs, key=lambda one: one.started):
        group = _group(run)
        sizes[group] += 1
        for gate in run.gates:
            rule = gate.rule
            key = (
                group,
                gate.target,
                gate.gate,
                frozenset(gate.labels.items()),
                (rule.metric, rule.statistic, rule.unit),
            )
            found.setdefault(key, []).append(Point(run.run, gate))
    return [Series(key[0], tuple(points), sizes[key[0]]) for key, points in found.items()]


def _group(run: Results) -> str:
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
