"""Files that a reader sees as they were or as they will be, and never half of them."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from validation.errors import UsageError


def partial_of(path: Path) -> Path:
    """Return the file beside another in which its next content is written."""
    return path.with_name(path.name + ".partial")


def plain_size(path: Path) -> int:
    """Return a file's size in bytes; whoever opens a pipe instead would wait for ever.

    Raises:
        OSError: There is none, or it is no plain file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return found.st_size


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, however large it is, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Yield the file to write to; it takes the place of the one meant when the block ends well.

    Args:
        path: The file that is meant.
        mode: Its permissions, such as ``0o600`` for a secret; the usual ones if left out.
    """
    partial = partial_of(path)
    if mode is not None:
        # The file is made anew, and with these permissions: one that lay there may be open to all,
        # or be opened by somebody already.
        partial.unlink(missing_ok=True)
        partial.touch(mode, exist_ok=False)
    yield partial
    partial.replace(path)


def require_empty(folder: Path, remedy: str) -> None:
    """Make sure that a folder holds nothing yet, or is not there.

    Args:
        folder: The folder.
        remedy: What to do where it does.

    Raises:
        UsageError: There is something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            "there is something in this folder already", where=str(folder), remedy=remedy
        )


def write_whole(path: Path, text: str, *, mode: int | None = None) -> Path:
    """Write a file as a whole, or not at all, and return its path.

    Args:
        path: The file.
        text: All of its content.
        mode: As in `replacing`.
    """
    with replacing(path, mode=mode) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_secret(path: Path, secret: str) -> None:
    """Write a secret to a file that nobody else may read."""
    write_whole(path, secret, mode=0o600)
