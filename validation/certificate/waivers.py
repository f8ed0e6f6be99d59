"""Waivers: gates that did not pass and that somebody answers for, until a day.

A waiver never makes a pass of a gate: the certificate says WARNED, and who said so.

.. code-block:: yaml

    schema: milvus-kit/waivers/1
    waivers:
      - gate: latency.serial.p99
        reason: the proof of concept runs on shared hosts; see ticket 4711
        owner: jo@example.com
        expires: 2027-03-31
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from validation.common import strict_yaml
from validation.errors import ConfigurationError
from validation.verdicts.verdict import Outcome, Verdict

SCHEMA = "milvus-kit/waivers/1"
_Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Waiver(_Part):
    """One gate that need not pass for now.

    Args:
        gate: Its name in the rules.
        target: Of this target alone; of every one if left out.
        reason: Why it is accepted.
        owner: Who answers for it.
        expires: The last day on which it counts.
    """

    gate: _Said
    target: str = ""
    reason: _Said
    owner: _Said
    expires: date

    def covers(self, gate: Verdict) -> bool:
        """Return whether it is this gate's."""
        return self.gate == gate.gate and self.target in {"", gate.target}


class _Document(_Part):
    schema_: Literal["milvus-kit/waivers/1"] = Field(alias="schema")
    waivers: tuple[Waiver, ...]


def load(path: Path) -> tuple[Waiver, ...]:
    """Return the waivers in a file.

    Raises:
        ConfigurationError: It cannot be read, or with every wrong key at once.
    """
    found = strict_yaml.load(path, "waivers file", remedy="name a file that says what is waived")
    try:
        return _Document.model_validate(found).waivers
    except ValidationError as error:
        raise ConfigurationError(
            "these waivers cannot be used" + strict_yaml.wrong_keys(error),
            where=str(path),
            remedy=f"a file with `schema: {SCHEMA}` and a list `waivers`; each has gate, reason,"
            " owner and expires (a day, such as 2027-03-31)",
        ) from None


def require_needed(waivers: Iterable[Waiver], gates: Sequence[Verdict], *, where: str) -> None:
    """Make sure that each waiver is of a gate that did not pass: others hide a mistake.

    Raises:
        ConfigurationError: One names no gate of the run, or one that passed.
    """
    for waiver in waivers:
        covered = [gate for gate in gates if waiver.covers(gate)]
        if all(gate.outcome is Outcome.PASS for gate in covered):
            raise ConfigurationError(
                "a waiver is of a gate that passed" if covered else "a waiver names no gate",
                where=where,
                seen=waiver.gate,
                remedy="take it out of the file",
            )


def of(gate: Verdict, waivers: Iterable[Waiver]) -> Waiver | None:
    """Return the waiver that covers a gate which did not pass."""
    if gate.outcome is Outcome.PASS:
        return None
    return next((waiver for waiver in waivers if waiver.covers(gate)), None)
