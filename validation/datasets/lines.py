"""Lines of text files and the JSON objects in them, every bad line named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from validation.datasets.complaints import Complaints
from validation.errors import DatasetError

_BOM = b"\xef\xbb\xbf"

Row = tuple[int, dict[str, Any]]
"""A line's number, from 1, and the object in it."""


def text_lines(path: Path, content: bytes, complaints: Complaints) -> Iterator[tuple[int, str]]:
    """Yield line numbers, from 1, and lines that are not blank.

    Args:
        path: The file, for complaints.
        content: Its bytes.
        complaints: Are told of lines that are not UTF-8, which are left out.
    """
    for number, raw in enumerate(content.removeprefix(_BOM).split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            complaints.add(
                path,
                number,
                "the line is not UTF-8",
                detail=f" at byte {error.start}",
                seen=raw[error.start : error.start + 8],
                remedy="convert the file, e.g. iconv -f latin1 -t utf-8",
            )
            continue
        if line.strip():
            yield number, line


def objects(path: Path, content: bytes, complaints: Complaints) -> list[Row]:
    """Return the objects of a file of JSON lines; those that are none are complained of."""
    found = []
    for number, line in text_lines(path, content, complaints):
        try:
            value = json.loads(line)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            complaints.add(
                path,
                number,
                "the line holds half of a surrogate pair, which is no character",
                seen=line[:40],
                remedy="write the text as UTF-8, without \\ud800 to \\udfff",
            )
            continue
        except (ValueError, RecursionError) as error:
            complaints.add(
                path,
                number,
                "the line is not JSON, perhaps cut short",
                detail=f": {error}",
                seen=line[-40:],
                remedy="give one whole JSON object a line",
            )
            continue
        if not isinstance(value, dict):
            complaints.add(
                path,
                number,
                "the line is not a JSON object",
                seen=value,
                remedy='give one object a line, such as {"_id": "a1", "text": "..."}',
            )
            continue
        found.append((number, value))
    return found


def identities(path: Path, rows: list[Row], complaints: Complaints, *, most: int) -> list[str]:
    """Return the `_id` of each row, as far as there is one.

    Args:
        path: The file.
        rows: Its objects.
        complaints: Are told of ids that are missing, there already or too long.
        most: The most bytes of UTF-8 that an id may have.

    Raises:
        DatasetError: There are no rows, and no complaint says why.
    """
    if not rows and not complaints.about(path):
        raise DatasetError(
            f"the {'query set' if path.name == 'queries.jsonl' else 'corpus'} is empty",
            where=str(path),
            seen=[],
            remedy="it measures nothing: give at least one line",
        )
    lines: dict[str, int] = {}
    for number, row in rows:
        identity = row.get("_id")
        if not isinstance(identity, str) or not identity.strip():
            complaints.add(
                path,
                number,
                "_id is missing, or is not a string",
                seen=identity if "_id" in row else sorted(row),
                remedy="give every line an _id of its own",
            )
        elif identity in lines:
            complaints.add(
                path,
                number,
                "this _id is there already",
                detail=f", in line {lines[identity]}",
                seen=identity,
                remedy="give every line an _id of its own",
            )
        elif len(identity.encode()) > most:
            complaints.add(
                path,
                number,
                f"_id is longer than {most:,} bytes of UTF-8",
                seen=len(identity.encode()),
                remedy="shorten it, in the judgements too",
            )
        else:
            lines[identity] = number
    return list(lines)
