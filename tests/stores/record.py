"""What is kept of a store: what preflight said of it, and what real clients met there."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tests.stores.go_client import GoRun
from tests.stores.log_owners import LogRun
from validation.common.files import write_whole
from validation.s3.preflight.profile import StoreProfile
from validation.verdicts.verdict import Outcome

FOLDER = Path(__file__).parents[2] / "docs" / "stores"
DEFAULTS, REQUIRED = "when_supported", "when_required"
"""The two ways of AWS SDKs with checksums; the first is their default."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Log(_Part):
    """What became of Woodpecker's log: see `tests.stores.log_owners.LogRun`."""

    mode: str
    detection_seconds: float
    acknowledged: int
    intact: bool
    trouble: tuple[str, ...]

    @classmethod
    def of(cls, run: LogRun) -> Log:
        """Return what is kept of a run."""
        trouble = list(run.trouble)
        if run.late:
            trouble.append(f"{len(run.late)} late entries of the first owner were acknowledged")
        if run.damaged:
            trouble.append(f"{run.damaged} entries came back changed")
        return cls(
            mode=run.mode,
            detection_seconds=round(run.detection_seconds, 1),
            acknowledged=len(run.written),
            intact=run.intact,
            trouble=tuple(trouble),
        )


class MilvusRun(_Part):
    """What became of Milvus on the store, by the smoke suite with its restart."""

    version: str
    passed: int
    failed: tuple[str, ...]
    undecided: tuple[str, ...]


class Record(_Part):
    """One store, as recorded on a day."""

    store: str
    title: str
    version: str
    source: str
    recorded: date
    kit_version: str
    verdict: Outcome
    reason: str
    woodpecker: str
    log_reason: str
    checksums: str
    addressing: str
    settings: str
    """The stack's configuration to paste; empty where there is none."""
    broken: dict[str, str]
    """Rules that it breaks, and how."""
    required: tuple[str, ...]
    """Those of them that decide the verdict."""
    log: Log
    go: GoRun
    arrow: dict[str, dict[str, str]]
    """By way of checksums and by file, what went wrong; empty if nothing."""
    milvus: MilvusRun | None = None

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"{self.store}.json"

    def save(self) -> None:
        """Keep it."""
        self.path.parent.mkdir(exist_ok=True)
        write_whole(self.path, self.model_dump_json(indent=1) + "\n")


def settings_of(profile: StoreProfile) -> str:
    """Return what a stack on the store sets, its address left to the reader."""
    if profile.verdict is not Outcome.PASS:
        return ""
    text = profile.decisions.yaml(profile="s3/THIS-STORE.json")
    return text.replace(profile.storage["endpoint"], "http://STORE:PORT")


def load_all() -> list[Record]:
    """Return every record, in the order of their names."""
    return [
        Record.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    ]
