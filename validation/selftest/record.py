"""What a selftest found, as it is kept: ``selftest.json``, which a certificate may quote."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from validation.common.files import plain_size, write_whole
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.report.results import Host
from validation.selftest.finding import Finding

FILE = "selftest.json"
SCHEMA = "milvus-kit/selftest/1"
LARGEST_BYTES = 8 << 20
"""A fault takes about one KiB; what is larger is left unread."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Planted(_Record):
    """One run of a part of the suite with faults planted."""

    faults: tuple[str, ...]
    story: str
    server: str = Field(description="name of the target")
    scene: str = Field(description="which part of the suite was run")
    calls: int = Field(description="how many calls were changed or held back on the wire")
    wanted: dict[str, tuple[str, ...]] = Field(description="gates that had to be red, or void")
    seen: dict[str, tuple[str, ...]] = Field(description="gates that were")
    noticed: bool = Field(description="whether each gate that had to change did")
    exact: bool = Field(description="whether no other gate changed: the right cause is named")
    busy: bool = Field(description="whether this machine was too busy to decide")
    said: str = Field(description="the same in a line")
    seconds: float


class SelfTest(_Record):
    """One selftest; ``noticed`` of ``planted`` single faults is its kill rate."""

    schema_: Literal["milvus-kit/selftest/1"] = Field(default=SCHEMA, alias="schema")
    run: str
    kit_version: str
    started: datetime
    finished: datetime
    profile: str
    host: Host
    rules_source: str
    servers: dict[str, str] = Field(description="versions by name of the target")
    planted: int = Field(description="single faults, on each server that they are planted on")
    noticed: int = Field(description="of those: all gates that had to change did")
    exact: int = Field(description="of those: and no other gate did")
    faults: tuple[Planted, ...] = Field(description="single faults")
    together: tuple[Planted, ...] = Field(description="several at once")
    unplanted: dict[str, str] = Field(description="required gates without a fault, and why")

    @model_validator(mode="after")
    def _counts_are_those_of_the_faults(self) -> Self:
        counted = {
            "planted": len(self.faults),
            "noticed": sum(one.noticed for one in self.faults),
            "exact": sum(one.exact for one in self.faults),
        }
        for name, count in counted.items():
            if getattr(self, name) != count:
                raise ValueError(f"{name} says {getattr(self, name)}, its faults say {count}")
        return self

    @property
    def whole(self) -> bool:
        """Whether everything that was planted turned just its own gates."""
        return bool(self.faults or self.together) and all(
            one.exact for one in (*self.faults, *self.together)
        )

    @property
    def busy(self) -> bool:
        """Whether only a busy machine stands between it and being whole."""
        return not self.whole and all(
            one.exact or one.busy for one in (*self.faults, *self.together)
        )

    def lines(self) -> list[str]:
        """Return the kill rate in a few lines, the verdict last."""
        said = []
        for server, version in self.servers.items():
            here = [one for one in self.faults if one.server == server]
            if here:
                noticed = sum(one.noticed for one in here)
                said.append(f"{server} ({version}): {noticed} of {len(here)} faults noticed")
        if self.together:
            noticed = sum(one.noticed for one in self.together)
            said.append(f"several at once: {noticed} of {len(self.together)} noticed, each by all")
        said += [one.said for one in (*self.faults, *self.together) if not one.exact]
        word = "PASS" if self.whole else "INCONCLUSIVE" if self.busy else "FAIL"
        rate = f"{self.noticed} of {self.planted} planted faults noticed"
        return [*said, f"{word}  kill rate: {rate}, {self.exact} by exactly their own gates"]


def planted(finding: Finding, *, story: str, scene: str) -> Planted:
    """Return what is kept of a finding."""
    return Planted(
        faults=finding.faults,
        story=story,
        server=finding.target,
        scene=scene,
        calls=finding.met,
        wanted=_gates(finding.wanted_red, finding.wanted_open),
        seen=_gates(finding.red, finding.open),
        noticed=finding.noticed,
        exact=finding.caught,
        busy=finding.busy,
        said=finding.line(),
        seconds=finding.seconds,
    )


def write(record: SelfTest, folder: Path) -> Path:
    """Write ``selftest.json`` and return its path."""
    return write_whole(folder / FILE, record.model_dump_json(indent=1, by_alias=True) + "\n")


def load(path: Path) -> SelfTest:
    """Return what a selftest found.

    Raises:
        ConfigurationError: The file is not what one wrote, or a newer kit's.
    """
    try:
        if plain_size(path) > LARGEST_BYTES:
            raise ValueError("it is too large")  # noqa: TRY301  (as others)
        text = path.read_bytes().decode()
        refuse_newer(text, SCHEMA, "selftest", where=str(path))
        return SelfTest.model_validate_json(text)
    except (OSError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigurationError(
            f"this is not what a selftest found: {why}",
            where=str(path),
            remedy="name the file that `milvus-kit selftest` says at its end",
        ) from None


def _gates(red: Sequence[str] | frozenset[str], void: Sequence[str] | frozenset[str]) -> dict:
    return {"red": tuple(sorted(red)), "void": tuple(sorted(void))}
