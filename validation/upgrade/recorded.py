"""The record of a log that was switched: what `pulumi up` asks for before it follows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from validation.common.files import write_whole
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError

SCHEMA = "milvus-kit/log-switch/1"
_AGAIN = "name the record that `milvus-kit switch-log` wrote"


class Record(BaseModel):
    """A switch that was made, and proved: no row was lost, and new ones are written and read.

    Args:
        target: The target's name.
        server: What the server called itself, before and after.
        proved: When; a deployment that is younger is another one.
        databases: All of the server's; what they hold was read.
        was: The log before, as ``milvus.wal`` of a target.
        now: The log after.
        before: Digest of the manifest before.
        after: Of the one after, which does not differ.
        collections: How many were read.
        rows: How many rows.
        digest: SHA-256 of all of the above; it finds an edit by mistake.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: Literal["milvus-kit/log-switch/1"] = Field(default=SCHEMA, alias="schema")
    target: str
    server: str
    proved: AwareDatetime
    databases: list[str]
    was: str
    now: str
    before: str
    after: str
    collections: int
    rows: int
    digest: str = ""

    def save(self, path: Path) -> None:
        """Write it, sealed, whole or not at all."""
        made = self.model_copy(update={"digest": self._digest()})
        write_whole(path, made.model_dump_json(by_alias=True, indent=1) + "\n")

    def is_whole(self) -> bool:
        """Return whether it is as it was written."""
        return self.digest == self._digest()

    def _digest(self) -> str:
        content = self.model_dump(mode="json", by_alias=True, exclude={"digest"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_stack(path: Path, stack: str) -> Record:
    """Return the record in a file, if it is of a stack.

    Raises:
        ConfigurationError: There is none, it was changed, or it is of another stack.
    """
    try:
        content = path.read_bytes()
        refuse_newer(content, SCHEMA, "record", where=str(path))
        found = Record.model_validate_json(content)
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise ConfigurationError(
            f"migration.logSwitch: this is no record of a log that was switched: {why}",
            where=str(path),
            remedy=_AGAIN,
        ) from None
    if not found.is_whole():
        raise ConfigurationError(
            "migration.logSwitch: the record was changed after it was written",
            where=str(path),
            remedy=_AGAIN,
        )
    if found.target != stack:
        raise ConfigurationError(
            "migration.logSwitch: the record is of another stack",
            where=str(path),
            seen=found.target,
            remedy=f"{_AGAIN} for {stack}",
        )
    return found
