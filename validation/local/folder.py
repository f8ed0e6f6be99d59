"""The folder of an embedded stack: what is in it, whether there is room, and deleting it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from validation.errors import UsageError
from validation.local import state

FILES = (
    *("milvus", "s3", "certs", "configs", "logs", "secrets", "s3.pid", "milvus.pid"),
    *("go-install.pid", "target.yaml", state.FILE, ".lock"),
)
"""All that a stack makes in its folder, and all that is ever deleted there."""

REQUIRED_BYTES = 2 << 30
"""Free space a start asks for: sample and generated data take about half of it, and a store that
runs out of space half way through a run wastes more time than it saves."""


def require_space(folder: Path) -> None:
    """Make sure that there is room for a stack, or for what is unpacked in the cache.

    Raises:
        UsageError: The disk is nearly full.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < REQUIRED_BYTES:
        raise UsageError(
            f"the disk is nearly full: at least {REQUIRED_BYTES >> 20} MiB have to be free",
            where=str(folder),
            seen=f"{free >> 20} MiB free",
            remedy="free some space, or choose another folder",
        )


def size(folder: Path) -> int:
    """Return how many bytes the stack's files take."""
    return sum(_size_of(folder / name) for name in FILES)


def _size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def delete(folder: Path) -> bool:
    """Delete a stopped stack's files, and the folder if nothing else is in it.

    Returns:
        Whether there was a stack.

    Raises:
        UsageError: The stack runs.
    """
    if state.read(folder) is None:
        return False  # not ours, or nothing there
    with state.locked(folder):
        found = state.read(folder)
        if found is not None and found.alive():
            raise UsageError(
                "the stack runs, so its files are not deleted",
                where=str(folder),
                remedy="stop it first",
            )
        for path in (folder / name for name in FILES):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it: they stay
        folder.rmdir()
    return True
