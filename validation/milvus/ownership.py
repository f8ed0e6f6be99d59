"""Which collections are ours: only those are ever changed or dropped.

A collection of the kit is named ``mk_…`` and says in its description who made it, in which run and
of which dataset. The description alone decides: it is written when the collection is created, so
even one that was interrupted half-way can be told from a user's and removed. Milvus Lite keeps no
descriptions: for it the marks stand in a file beside its own, or in the kit's cache where it is
reached by an address, written before the collection is created. If that file is lost, our
collections count as somebody else's, which is the safe error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

from validation.common.cache import cache_folder
from validation.common.files import write_whole
from validation.errors import MilvusKitError, OwnershipError, UsageError
from validation.milvus.connection import Connection, is_lite

PREFIX = "mk_"
_MARK = "made by milvus-kit"
_DESCRIPTION = re.compile(_MARK + r"; run (?P<run>\S*); dataset (?P<dataset>\S*)")
_MAX_NAME = 200  # Milvus allows 255


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a collection of ours says of itself.

    Args:
        run: The run that made it.
        dataset: Fingerprint of the dataset that went in.
    """

    run: str
    dataset: str

    def description(self) -> str:
        """Return the description that carries the mark."""
        return f"{_MARK}; run {_word(self.run)}; dataset {_word(self.dataset)}"


def collection_name(*parts: object) -> str:
    """Return a name of ours, made of parts such as a run and a dataset's name."""
    wanted = "_".join(re.sub(r"\W+", "_", str(part), flags=re.ASCII) for part in parts)
    return f"{PREFIX}{wanted}"[:_MAX_NAME].rstrip("_")


def mark_of(connection: Connection, name: str) -> Mark | None:
    """Return the mark of a collection; None if it is not ours."""
    if connection.is_lite:
        return _lite_marks(connection).get(name)
    with connection.explained(f"describe collection {name}"):
        described = connection.client.describe_collection(name, timeout=connection.timeout)
    found = _DESCRIPTION.fullmatch(str(described.get("description", "")))
    return Mark(found["run"], found["dataset"]) if found and name.startswith(PREFIX) else None


def claim(connection: Connection, name: str, mark: Mark) -> str:
    """Get ready to create a collection of ours; return the description it must have."""
    if connection.is_lite:
        _write_lite_marks(connection, {**_lite_marks(connection), name: mark})
    return mark.description()


def exists(connection: Connection, name: str) -> bool:
    """Return whether there is a collection of that name."""
    with connection.explained(f"look for collection {name}"):
        return bool(connection.client.has_collection(name, timeout=connection.timeout))


def require_ours(connection: Connection, name: str) -> Mark:
    """Make sure that an existing collection is ours.

    Raises:
        OwnershipError: It is not; nothing was touched.
    """
    mark = mark_of(connection, name)
    if mark is None:
        raise OwnershipError(
            "there is a collection of this name and milvus-kit did not make it",
            where=f"{connection.endpoint.name}: collection {name}",
            remedy="rename yours, or give the target a database of its own; it was not touched",
        )
    return mark


def ours(connection: Connection) -> dict[str, Mark]:
    """Return the collections of the kit on this server with their marks."""
    with connection.explained("list the collections"):
        names = connection.client.list_collections(timeout=connection.timeout)
    marks = {name: mark_of(connection, name) for name in names if name.startswith(PREFIX)}
    return {name: mark for name, mark in marks.items() if mark is not None}


def drop_ours(connection: Connection, name: str) -> bool:
    """Drop a collection of ours, finished or half-made.

    Returns:
        Whether there was one.

    Raises:
        OwnershipError: It is not ours; nothing was touched.
    """
    if not name.startswith(PREFIX):
        raise UsageError(f"a collection of the kit starts with {PREFIX}", seen=name)
    if not exists(connection, name):
        return False
    require_ours(connection, name)
    with connection.explained(f"drop collection {name}"):
        connection.client.drop_collection(name, timeout=connection.timeout)
    if connection.is_lite:
        marks = _lite_marks(connection)
        marks.pop(name, None)
        _write_lite_marks(connection, marks)
    return True


def drop_all_ours(connection: Connection, *, run: str | None = None) -> list[str]:
    """Drop every collection of ours, or of one run; return their names."""
    dropped = [
        name for name, mark in ours(connection).items() if run is None or mark.run == _word(run)
    ]
    for name in dropped:
        drop_ours(connection, name)
    return dropped


@contextlib.contextmanager
def dropped(connection: Connection, name: str) -> Iterator[None]:
    """Drop a collection of ours at the end, however it comes; a server that is gone keeps it."""
    try:
        yield
    finally:
        with contextlib.suppress(MilvusKitError):
            drop_ours(connection, name)


def _lite_file(connection: Connection) -> Path:
    uri = connection.target.milvus.uri
    if is_lite(connection.target):
        path = Path(uri).expanduser()
    else:  # it runs in another process, and its own file may be on another host
        path = cache_folder() / "lite" / re.sub(r"\W+", "-", uri)
        path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".milvus-kit.json")


def _lite_marks(connection: Connection) -> dict[str, Mark]:
    try:
        known = json.loads(_lite_file(connection).read_text(encoding="utf-8"))
        return {name: Mark(str(mark["run"]), str(mark["dataset"])) for name, mark in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # no file, or none of ours: then nothing there is ours


def _write_lite_marks(connection: Connection, marks: dict[str, Mark]) -> None:
    known = {name: dataclasses.asdict(mark) for name, mark in marks.items()}
    write_whole(_lite_file(connection), json.dumps(known, indent=1))


def _word(text: str) -> str:
    return re.sub(r"[\s;]+", "-", text) or "none"
