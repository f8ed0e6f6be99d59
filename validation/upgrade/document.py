"""The manifest of a database: a document, and beside it the keys and hashes of every row.

::

    FOLDER/
      manifest.json     this document; `digest` is of all the rest of it
      progress.json     the same while it is made; it goes once the manifest is there
      rows/*/*.npz      keys, 128-bit hashes and field checksums, in order of the keys
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from validation.certificate.statements import canonical
from validation.common.files import checksum, write_whole
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError

FILE, PROGRESS, ROWS = "manifest.json", "progress.json", "rows"
SCHEMA = "milvus-kit/database-manifest/1"


class Part(BaseModel):
    """Of a document: it knows no other fields than its own."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Sealed(Part):
    """A document with the digest of all the rest of it."""

    digest: str = ""

    def sealed(self) -> Self:
        """Return it with its digest."""
        return self.model_copy(update={"digest": self._digest()})

    def is_whole(self) -> bool:
        """Return whether it is as it was when it was sealed."""
        return self.digest == self._digest()

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_whole(path, self.model_dump_json(by_alias=True, indent=1) + "\n")

    def _digest(self) -> str:
        content = self.model_dump(mode="json", by_alias=True, exclude={"digest"})
        return hashlib.sha256(canonical(content)).hexdigest()


class Chunk(Part):
    """One file of rows, relative to the manifest's folder."""

    file: str
    rows: int
    sha256: str

    @field_validator("file")
    @classmethod
    def _inside(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name} is outside of the manifest's folder")
        return name


class Partition(Part):
    """The rows of one partition.

    Args:
        counted: How many rows the server counts; None where it cannot be asked.
        rows: How many it returned.
        keys: Sum of the hashes of the primary keys modulo 2^128, in hexadecimal.
        content: The same of the whole rows.
        chunks: Where the rows are, in ascending order of their keys.
        complete: Whether all rows were read.
    """

    counted: int | None = None
    rows: int = 0
    keys: str = f"{0:032x}"
    content: str = f"{0:032x}"
    chunks: list[Chunk] = []
    complete: bool = False

    @property
    def miscounted(self) -> str:
        """Why not all of its rows are known to have been read; empty if they are."""
        if self.counted in {None, self.rows}:
            return ""
        return (
            f"the server counts {self.counted:,} rows and returned {self.rows:,}: a key is there"
            " twice, or rows were not returned"
        )


class Collection(Part):
    """What the server says of a collection, and what it returned.

    Args:
        described: Its schema: fields, functions, properties.
        indexes: By name, with parameters.
        aliases: Its other names.
        partitions: By name; one without a name, of all rows, where a key chooses the partition.
        served: Whether it was loaded before the kit touched it.
        fields: Those of a row that were read, sorted.
        not_read: Why its rows were not read; empty if they were.
    """

    described: dict[str, Any]
    indexes: dict[str, dict[str, Any]]
    aliases: list[str]
    partitions: dict[str, Partition]
    served: bool = False
    fields: list[str] = []
    not_read: str = ""

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(part.rows for part in self.partitions.values())

    @property
    def computed(self) -> list[str]:
        """Fields that functions of the server compute: they are not read, and not vouched for."""
        fields = self.described.get("fields") or ()
        return [one["name"] for one in fields if one.get("is_function_output")]


class Objects(Part):
    """What lies in the bucket below Milvus's prefix, by kind of object."""

    objects: dict[str, int] = {}
    bytes: dict[str, int] = {}
    not_read: str = ""


class Manifest(Sealed):
    """A whole database.

    Args:
        kit_version: Of the kit that made it.
        target: The target's name.
        server: What the server calls itself.
        database: Which of its databases.
        collections: By name.
        users: By name their roles; None without authentication.
        roles: By name their privileges; None without authentication.
        access_not_read: Why users and roles are not known although there is authentication.
        objects: Of the bucket; None where the target declares no storage.
        digest: SHA-256 of all of the above.
    """

    schema_: Literal["milvus-kit/database-manifest/1"] = Field(default=SCHEMA, alias="schema")
    kit_version: str
    target: str
    server: str
    database: str
    collections: dict[str, Collection]
    users: dict[str, list[str]] | None = None
    roles: dict[str, list[str]] | None = None
    access_not_read: str = ""
    objects: Objects | None = None

    @property
    def miscounted(self) -> list[tuple[str, str]]:
        """Partitions of which not all rows are known to have been read: where, and why."""
        return [
            (place(name, partition), part.miscounted)
            for name, one in self.collections.items()
            for partition, part in one.partitions.items()
            if part.miscounted and not one.not_read
        ]


def place(name: str, partition: str) -> str:
    """Return a collection's partition in words; all of them if it has no name."""
    return f"{name}, partition {partition}" if partition else name


def load(folder: Path) -> Manifest:
    """Return the finished manifest in a folder, once every file of rows is found whole.

    Raises:
        ConfigurationError: There is none, it was cut short, or it was changed since.
    """
    found = finished(folder)
    for one in found.collections.values():
        for part in one.partitions.values():
            for chunk in part.chunks:
                require_whole(folder, chunk)
    return found


def finished(folder: Path) -> Manifest:
    """Return the finished manifest in a folder, whatever became of its rows.

    Raises:
        ConfigurationError: There is none, it was cut short, or it was changed since.
    """
    path = folder / FILE
    if not path.exists():
        cut = (folder / PROGRESS).exists()
        raise ConfigurationError(
            "the manifest is not finished" if cut else "there is no manifest here",
            where=str(folder),
            remedy="run `milvus-kit manifest` with the same output folder"
            + (" again: it goes on where it was cut short" if cut else ""),
        )
    found = read(path)
    if not found.is_whole():
        raise ConfigurationError(
            "the manifest was changed after it was made",
            where=str(path),
            seen=found.digest[:16],
            remedy="use the one that `milvus-kit manifest` wrote",
        )
    return found


def require_whole(folder: Path, chunk: Chunk) -> None:
    """Make sure that a file of rows is as it was written.

    Raises:
        ConfigurationError: It is missing, or was changed.
    """
    path = folder / chunk.file
    if not path.is_file() or checksum(path) != chunk.sha256:
        raise ConfigurationError(
            "the rows of a manifest were changed after it was made"
            if path.is_file()
            else "rows of a manifest are missing",
            where=str(path),
            remedy="use the folder as `milvus-kit manifest` wrote it",
        )


def read(path: Path) -> Manifest:
    """Return the manifest in a file, finished or not.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        content = path.read_bytes()
        refuse_newer(content, SCHEMA, "manifest", where=str(path))
        return Manifest.model_validate_json(content)
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise ConfigurationError(
            f"this is no manifest of a database: {why}",
            where=str(path),
            remedy="name a folder that `milvus-kit manifest` wrote",
        ) from None
