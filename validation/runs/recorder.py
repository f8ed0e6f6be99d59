"""The recorder: what the checks of one target observed, kept with its samples as it comes in.

It is the only writer of a run's part. A part is written when the suite ends in whatever way, so
that an interrupted run keeps what it had measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from validation.common.files import checksum, write_whole
from validation.report.results import Check, Phase, State
from validation.report.store import write_samples
from validation.runs.profiles import Profile
from validation.target import Target, is_lite_file
from validation.verdicts.catalogue import CATALOGUE, SITE_PREFIX
from validation.verdicts.judging import judge
from validation.verdicts.verdict import Observation, Rule, Verdict


class Part(BaseModel):
    """What one target contributes to a run's results."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    target: dict[str, Any]
    state: State = State.COMPLETE
    reason: str = ""
    started: datetime
    finished: datetime
    profile: Profile
    server: dict[str, Any] = {}
    datasets: list[dict[str, Any]] = []
    phases: list[Phase] = []
    checks: list[Check] = []
    observations: list[Observation] = []


class Recorder:
    """Collects the observations of one target.

    Args:
        folder: The run's folder; samples go to its ``samples``.
        target: What is measured.
        profile: Sizes and durations.
        rules: What the observations will be judged by, so that a test can say at once how its
            gates stand.
    """

    def __init__(
        self, folder: Path, target: Target, profile: Profile, rules: Sequence[Rule]
    ) -> None:
        self.folder = folder
        self.target = target
        self.profile = profile
        self.rules = rules
        self.samples: list[np.ndarray] = []
        self.part = Part(
            target=target.document(),
            started=datetime.now(UTC),
            finished=datetime.now(UTC),
            profile=profile,
        )

    def observe(
        self,
        metric: str,
        samples: Sequence[float] | np.ndarray = (),
        *,
        labels: Mapping[str, object] | None = None,
        unit: str = "",
        columns: Mapping[str, Any] | None = None,
        evidence: Mapping[str, Any] | None = None,
        not_measured: str | None = None,
        undeclared: str | None = None,
        void: str | None = None,
        check: str = "",
    ) -> Observation:
        """Keep one observation.

        Args:
            metric: A name from the catalogue, or one starting with ``site.``.
            samples: Raw samples in the metric's unit, shape (n,).
            labels: What distinguishes it, e.g. ``{"index": "HNSW"}``.
            unit: Only for ``site.`` metrics; the catalogue knows the others'.
            columns: Further columns for the samples' file, each of length n.
            evidence: Facts for a reader; what JSON cannot hold is kept as text.
            not_measured: Why there are no samples.
            undeclared: The same, where the target declares nothing that could be measured; a rule
                may then be advisory.
            void: Why the samples must not be judged.
            check: The test that observed.

        Raises:
            ValueError: The metric is unknown, or neither samples nor a reason were given.
        """
        if metric not in CATALOGUE and not metric.startswith(SITE_PREFIX):
            raise ValueError(
                f"unknown metric {metric!r}: use one of {sorted(CATALOGUE)} or a name of your own "
                f"that starts with {SITE_PREFIX!r}"
            )
        if metric.startswith(SITE_PREFIX) and not unit:
            raise ValueError(f"{metric}: a metric of your own needs a unit")
        values = np.asarray(samples, dtype=np.float64).ravel()
        not_measured = not_measured or undeclared
        if not values.size and not not_measured:
            not_measured = "the check ran and yielded no sample"
        observation = Observation(
            metric=metric,
            target=self.target.name,
            server="milvus-lite" if is_lite_file(self.target.milvus.uri) else "milvus",
            labels={key: str(value) for key, value in (labels or {}).items()},
            unit=CATALOGUE[metric].unit if metric in CATALOGUE else unit,
            n=int(values.size),
            not_measured=not_measured,
            undeclared=undeclared is not None,
            void=void,
            # Made plain at once: a value that JSON cannot hold must not lose the run at its end.
            evidence=to_jsonable_python(
                dict(evidence or {}), inf_nan_mode="strings", fallback=_plain
            ),
            check=check,
        )
        if values.size:
            named = write_samples(self.folder, observation, {"value": values, **(columns or {})})
            observation = observation.model_copy(
                update={"samples_file": named, "samples_sha256": checksum(self.folder / named)}
            )
        self.part.observations.append(observation)
        self.samples.append(values)
        return observation

    def verdicts(self, check: str) -> list[Verdict]:
        """Return how the gates that one test observed stand."""
        return [
            judge(rule, seen, samples)
            for seen, samples in zip(self.part.observations, self.samples, strict=True)
            for rule in self.rules
            if seen.check == check and rule.applies_to(seen)
        ]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a stretch of the run for the report."""
        started, since = datetime.now(UTC), time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - since
            self.part.phases.append(
                Phase(name=name, started=started, seconds=seconds, target=self.target.name)
            )

    def write(self) -> Path:
        """Write the part to ``parts/TARGET.json`` of the run's folder."""
        self.part.finished = datetime.now(UTC)
        path = self.folder / "parts" / f"{self.target.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(path, self.part.model_dump_json(indent=1))


def _plain(value: Any) -> Any:
    """Return a numpy value as Python's own, and anything else as text."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
