"""The earlier runs that a run stands beside: looked for once, kept with it, shown on its page.

What was found is kept in the run's folder as ``history.json``, so that its page says the same
wherever the folder is taken. It judges nothing, and nothing that lies beside a run can fail it:
what cannot be read is named and left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from validation.across.trends import Point, Series, identity, point, profile_of
from validation.common.files import plain_size, write_whole
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.report import wording
from validation.report.results import Results, State
from validation.report.store import HISTORY, RESULTS, read_results
from validation.verdicts.verdict import Outcome

SCHEMA = "milvus-kit/history/1"
MOST_RUNS = 20
"""Runs that are shown; a page that holds hundreds is no acceptance document."""
MOST_LOOKED_AT = 60
"""Results that are read to find them: a run does not wait at its end for years of others."""
LARGEST_BYTES = 16 << 20
"""A run of a thousand observations has about two MiB of results."""
_STAMPED = re.compile(r"\d{8}T\d{6}Z-")


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_inf_nan="strings", populate_by_name=True
    )


class Run(_Record):
    """An earlier run."""

    run: str
    started: AwareDatetime
    verdict: Outcome


class Seen(_Record):
    """What a gate came to in one of the runs."""

    at: NonNegativeInt = Field(description="position of the run among the runs")
    outcome: Outcome
    observed: float | None
    rule: str = Field(description="what it was held against, in words")


class Gate(_Record):
    """A gate in the runs that judged it, oldest first."""

    gate: str
    target: str
    labels: dict[str, str]
    metric: str
    statistic: str
    unit: str
    seen: tuple[Seen, ...]

    @property
    def identity(self) -> tuple:
        """As that of a verdict, see `validation.across.trends.identity`."""
        labels = frozenset(self.labels.items())
        return self.target, self.gate, labels, (self.metric, self.statistic, self.unit)


class Earlier(_Record):
    """Earlier runs of the same target, data and profile."""

    schema_: Literal["milvus-kit/history/1"] = Field(default=SCHEMA, alias="schema")
    runs: tuple[Run, ...] = Field(default=(), description="oldest first")
    gates: tuple[Gate, ...] = ()
    others: NonNegativeInt = Field(
        default=0, description="runs that were read and are of another target, data or profile"
    )
    left_out: tuple[str, ...] = Field(default=(), description="what could not be read, and why")

    @model_validator(mode="after")
    def _every_point_has_its_run(self) -> Self:
        if any(seen.at >= len(self.runs) for gate in self.gates for seen in gate.seen):
            raise ValueError("a gate names a run that is not among the runs")
        return self

    def series(self, results: Results) -> dict[tuple, Series]:
        """Return the gates that earlier runs judged too as series that end with this run.

        Args:
            results: The run that they are kept with.

        Returns:
            By `validation.across.trends.identity`.
        """
        before = {gate.identity: gate.seen for gate in self.gates}
        found = {}
        for gate in results.gates:
            points = [self._point(seen) for seen in before.get(identity(gate), ())]
            if points:
                points.append(point(results, gate))
                found[identity(gate)] = Series(
                    profile_of(results), gate, tuple(points), len(self.runs) + 1
                )
        return found

    def _point(self, seen: Seen) -> Point:
        run = self.runs[seen.at]
        return Point(run.run, run.started, seen.outcome, seen.observed, seen.rule)


def beside(results: Results, folder: Path) -> Earlier:
    """Return the earlier runs among those that lie beside a run's folder.

    Args:
        results: The run.
        folder: Its folder.
    """
    return among(results, ((path.name, partial(_read, path)) for path in _neighbours(folder)))


def among(results: Results, candidates: Iterable[tuple[str, Callable[[], Results]]]) -> Earlier:
    """Return the earlier runs among candidates, of which no more are read than are needed.

    Args:
        results: The run.
        candidates: The name of each and what reads it, the newest first.
    """
    found: list[Results] = []
    others, left_out = 0, []
    for name, read_one in itertools.islice(candidates, MOST_LOOKED_AT):
        try:
            one = read_one()
        except (ConfigurationError, OSError) as error:
            what = error.what if isinstance(error, ConfigurationError) else str(error.strerror)
            left_out.append(wording.line(f"{name}: {what}"))
            continue
        if one.started >= results.started:
            continue
        if one.state is not State.COMPLETE or _subject(one) != _subject(results):
            others += 1
            continue
        found.append(one)
        if len(found) == MOST_RUNS:
            break
    found.sort(key=lambda one: one.started)
    return Earlier(
        runs=tuple(Run(run=one.run, started=one.started, verdict=one.verdict) for one in found),
        gates=_gates(found, results),
        others=others,
        left_out=tuple(left_out),
    )


def keep(found: Earlier, folder: Path) -> bool:
    """Write earlier runs into a run's folder, and return whether there was anything to write.

    What the folder has already stays if nothing was found.
    """
    if not found.runs and not found.left_out:
        return False
    write_whole(folder / HISTORY, found.model_dump_json(by_alias=True))
    return True


def read(folder: Path) -> Earlier:
    """Return what is kept with a run: nothing where nothing is, or it cannot be read."""
    path = folder / HISTORY
    try:
        if plain_size(path) > LARGEST_BYTES:
            return Earlier(left_out=(f"{HISTORY}: larger than {LARGEST_BYTES >> 20} MiB",))
        text = path.read_bytes().decode()
        refuse_newer(text, SCHEMA, "history", where=str(path))
        return Earlier.model_validate_json(text)
    except FileNotFoundError:
        return Earlier()
    except ConfigurationError as error:
        return Earlier(left_out=(f"{HISTORY}: {error.what}",))
    except (OSError, UnicodeDecodeError, ValidationError, RecursionError) as error:
        return Earlier(left_out=(f"{HISTORY}: not what a run keeps ({type(error).__name__})",))


def _neighbours(folder: Path) -> Iterator[Path]:
    """Yield the folders beside a run that may hold earlier ones, the newest first by name."""
    folder = folder.resolve()
    try:
        paths = sorted(folder.parent.iterdir(), reverse=True)
    except OSError:
        return
    for path in paths:
        if path == folder or path.is_symlink() or not _is_plain_file(path / RESULTS):
            continue
        if _STAMPED.match(path.name) and _STAMPED.match(folder.name) and path.name > folder.name:
            continue  # its name says that it began later
        yield path


def _is_plain_file(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:  # a folder that may not be entered
        return False


def _read(folder: Path) -> Results:
    size = plain_size(folder / RESULTS)
    if size > LARGEST_BYTES:
        raise ConfigurationError(f"its {RESULTS} has {size >> 20} MiB, more than a run's")
    return read_results(folder)


def _subject(results: Results) -> tuple[Any, ...]:
    """Return what two runs have to share for their figures to stand side by side."""
    targets = [
        (
            str(one.get("name")),
            *(_of(one, key) for key in ("milvus.deployment", "storage.provider")),
        )
        for one in results.targets
    ]
    data = [(str(one.get("name")), str(one.get("fingerprint"))) for one in results.datasets]
    return profile_of(results), sorted(targets), sorted(data)


def _of(target: dict[str, Any], key: str) -> str:
    section, name = key.split(".")
    found = target.get(section)
    return str(found.get(name, "")) if isinstance(found, dict) else ""


def _gates(runs: list[Results], results: Results) -> tuple[Gate, ...]:
    """Return the gates of earlier runs that this one has too."""
    wanted = {identity(gate): gate for gate in results.gates}
    seen: dict[tuple, list[Seen]] = {}
    for at, run in enumerate(runs):
        for gate in run.gates:
            if identity(gate) in wanted:
                one = point(run, gate)
                seen.setdefault(identity(gate), []).append(
                    Seen(at=at, outcome=one.outcome, observed=one.observed, rule=one.rule)
                )
    return tuple(
        Gate(
            gate=gate.gate,
            target=gate.target,
            labels=gate.labels,
            metric=gate.rule.metric,
            statistic=gate.rule.statistic,
            unit=gate.rule.unit,
            seen=tuple(seen[key]),
        )
        for key, gate in wanted.items()
        if key in seen
    )
