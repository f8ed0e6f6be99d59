"""Documents carry a schema with a version: what a newer kit made is told from what is broken."""

from __future__ import annotations

import json
from typing import Any

from validation.errors import ConfigurationError, UsageError


def refuse_newer(
    document: Any,
    known: str,
    what: str,
    *,
    where: str,
    error: type[UsageError] = ConfigurationError,
) -> None:
    """Refuse a document of a later version of a schema than this kit reads.

    Args:
        document: As it was read: a mapping with ``schema``, or JSON text of one.
        known: The schema that is read, such as ``milvus-kit/target/1``.
        what: What it is to its reader, such as ``rules file``.
        where: The file, for the error.
        error: Which error is raised.

    Raises:
        UsageError: It was made by a newer kit.
    """
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document)
        except ValueError:
            return
    said = newer_than(document, known)
    if said:
        raise error(
            f"this {what} {said}",
            where=where,
            remedy="update milvus-kit, or use the version that made it",
        )


def newer_than(document: Any, known: str) -> str:
    """Return that a document was made by a newer kit; empty if it was not."""
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(found, str) or _version(found, known) <= _version(known, known):
        return ""
    return f"was made by a newer kit: its schema is {found}, and this one reads {known}"


def _version(schema: str, known: str) -> int:
    """Return the version of a schema of the same name; 0 if it is another, or has none."""
    name, _, version = schema.rpartition("/")
    same = name == known.rpartition("/")[0]
    return int(version) if same and version.isascii() and version.isdigit() else 0
