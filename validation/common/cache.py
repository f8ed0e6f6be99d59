"""The cache folder: what was unpacked or built once and is used again."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$MILVUS_KIT_CACHE``, else ``milvus-kit`` in the user's cache folder."""
    given = os.environ.get("MILVUS_KIT_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "milvus-kit"


@contextmanager
def filling(folder: Path) -> Iterator[Path | None]:
    """Fill a folder of the cache once, whole or not at all.

    Args:
        folder: Where the finished content belongs.

    Yields:
        A fresh folder to fill, which takes its place when the block ends well; None if the content
        is there already. Two processes that want the same content wait for each other.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            yield None
            return
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
