"""The schema of results.json: everything a run found out, and what was made of it.

A run's folder::

    runs/TIME-TARGET/
      results.json       this document
      samples/*.csv      raw samples; first column ``value``, in the observation's unit
      logs/              what the servers and the suite logged
      history.json       earlier runs beside it, if there are any (`validation.across.earlier`)
      junit.xml  report.html   renderings, made from the above and adding nothing
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from validation.verdicts.judging import overall
from validation.verdicts.verdict import Observation, Outcome, Rule, Verdict

SCHEMA = "milvus-kit/results/1"


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_inf_nan="strings", populate_by_name=True
    )


class State(StrEnum):
    """How a run ended. Only a complete run may pass."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    BROKEN = "broken"


class Host(_Record):
    """The machine that measured: a latency means nothing without it."""

    system: str
    python: str
    cpu: str
    cores: int
    memory_bytes: int


class Phase(_Record):
    """A stretch of the run, for the time table."""

    name: str
    started: AwareDatetime
    seconds: float
    target: str = ""


class Check(_Record):
    """What became of one test of the suite."""

    id: str
    title: str = ""
    outcome: Literal["passed", "failed", "error", "skipped"]
    seconds: float
    message: str = ""
    target: str = ""


def conclude(state: State, gates: Iterable[Verdict]) -> Outcome:
    """Return a run's verdict: that of its gates, and never a pass if the run is not complete."""
    found = overall(gates)
    if found is Outcome.PASS and state is not State.COMPLETE:
        return Outcome.INCONCLUSIVE
    return found


class Results(_Record):
    """One run. Its verdict has to follow from its gates, or it cannot be made or read."""

    schema_: Literal["milvus-kit/results/1"] = Field(default=SCHEMA, alias="schema")
    run: str = Field(description="TIME-TARGET, the folder's name")
    kit_version: str
    kit_image: dict[str, str] = Field(
        default={}, description="SHA-256 of lock and SBOM of the image that measured, if it was one"
    )
    state: State
    reason: str = Field(default="", description="why the run is not complete")
    started: AwareDatetime
    finished: AwareDatetime
    profile: str
    parameters: dict[str, Any] = Field(default={}, description="sizes and durations of the profile")
    host: Host
    targets: tuple[dict[str, Any], ...] = Field(description="target documents, secrets masked")
    servers: dict[str, dict[str, Any]] = Field(
        default={}, description="by target: what the servers say of themselves"
    )
    datasets: tuple[dict[str, Any], ...] = ()
    phases: tuple[Phase, ...] = ()
    checks: tuple[Check, ...] = ()
    observations: tuple[Observation, ...] = ()
    rules_source: str = ""
    rules: tuple[Rule, ...] = ()
    gates: tuple[Verdict, ...] = ()
    verdict: Outcome

    @model_validator(mode="after")
    def _verdict_is_earned(self) -> Self:
        earned = conclude(self.state, self.gates)
        if self.verdict is not earned:
            raise ValueError(
                f"the verdict says {self.verdict.value}, state and gates say {earned.value}"
            )
        return self
