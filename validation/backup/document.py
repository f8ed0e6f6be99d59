"""A backup: its document, and beside it a Parquet file a partition and the manifest of the rows.

::

    FOLDER/
      backup.json       this document, written last; `digest` is of all the rest of it
      data/NAME/*.parquet
      manifest/         of the same rows, as the server returned them
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from validation.common.files import checksum
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.upgrade import document as manifests
from validation.upgrade.document import Part, Sealed

FILE, DATA, MANIFEST = "backup.json", "data", "manifest"
SCHEMA = "milvus-kit/backup/1"


class File(Part):
    """The rows of one partition, relative to the backup's folder."""

    file: str
    rows: int
    sha256: str

    @field_validator("file")
    @classmethod
    def _inside(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.parts[:1] != (DATA,):
            raise ValueError(f"{name} is not below {DATA}/")
        return name


class Collection(Part):
    """What is needed to make a collection again.

    Args:
        schema_: Milvus's ``CollectionSchema``, as JSON of the message.
        settings: Shards, consistency level, number of partitions by key; how many replicas were
            loaded, and into how many resource groups of a name.
        properties: Of the collection, such as its time to live.
        indexes: Field, name and parameters of each.
        aliases: Its other names.
        partitions: By name its rows, unless milvus-backup copied them; one without a name where a
            key chooses the partition.
        loaded: Whether it was.
        rows: How many rows there are.
    """

    schema_: dict[str, Any] = Field(alias="schema")
    settings: dict[str, int]
    properties: dict[str, str] = Field(default={})
    indexes: list[dict[str, Any]]
    aliases: list[str]
    partitions: dict[str, File]
    loaded: bool
    rows: int = 0


class Backup(Sealed):
    """Collections of a database, as they were.

    Args:
        kit_version: Of the kit that made it.
        target: The target's name.
        server: What the server called itself.
        database: Which of its databases.
        collections: By name.
        manifest: Digest of the manifest beside it.
        copied: Place in the bucket of what milvus-backup copied; empty where the rows are here.
        digest: SHA-256 of all of the above.
    """

    schema_: Literal["milvus-kit/backup/1"] = Field(default=SCHEMA, alias="schema")
    kit_version: str
    target: str
    server: str
    database: str
    collections: dict[str, Collection]
    manifest: str
    copied: str = ""


def load(folder: Path) -> Backup:
    """Return the backup in a folder, once it is found whole: document, manifest and every file.

    Raises:
        ConfigurationError: There is none, it was cut short, made by a newer kit, or changed since.
    """
    found = read(folder)
    if manifests.load(folder / MANIFEST).digest != found.manifest:
        raise ConfigurationError(
            "the manifest beside it is of another backup",
            where=str(folder / MANIFEST),
            remedy="use the folder as `milvus-kit backup` wrote it",
        )
    for one in files_of(found):
        path = folder / one.file
        if path.is_file() and checksum(path) == one.sha256:
            continue
        raise ConfigurationError(
            "a file of the backup was changed after it was made"
            if path.is_file()
            else "a file of the backup is missing",
            where=str(path),
            remedy="use the folder as `milvus-kit backup` wrote it",
        )
    return found


def read(folder: Path) -> Backup:
    """Return the document of a backup, whatever became of its files.

    Raises:
        ConfigurationError: There is none, it was cut short, made by a newer kit, or changed since.
    """
    path = folder / FILE
    if not path.exists():
        cut = (folder / MANIFEST).exists() or (folder / DATA).exists()
        raise ConfigurationError(
            "this backup was cut short: it was begun and never finished"
            if cut
            else "there is no backup here",
            where=str(folder),
            remedy="make one with `milvus-kit backup -o FOLDER`, in a folder of its own",
        )
    try:
        content = path.read_bytes()
        refuse_newer(content, SCHEMA, "backup", where=str(path))
        found = Backup.model_validate_json(content)
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise ConfigurationError(
            f"this is no backup: {why}",
            where=str(path),
            remedy="name a folder that `milvus-kit backup` wrote",
        ) from None
    if not found.is_whole():
        raise ConfigurationError(
            "the backup was changed after it was made",
            where=str(path),
            seen=found.digest[:16],
            remedy="use the one that `milvus-kit backup` wrote",
        )
    return found


def files_of(backup: Backup) -> list[File]:
    """Return every file of rows."""
    return [one for made in backup.collections.values() for one in made.partitions.values()]
