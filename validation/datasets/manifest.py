"""The manifest of a dataset folder: what its files were when somebody vouched for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from validation.common.files import write_whole
from validation.common.schemas import refuse_newer
from validation.errors import DatasetError

MANIFEST = "MANIFEST.json"
SCHEMA = "milvus-kit/manifest/1"
_REWRITE = (
    "restore the file from its source, or if the change was meant, write the manifest again:"
    " `milvus-kit corpus manifest FOLDER`"
)


def write_manifest(path: Path, names: Sequence[str]) -> Path:
    """Write a folder's MANIFEST.json from the files as they are, and return its path.

    Args:
        path: The folder.
        names: The files to list.

    Raises:
        DatasetError: One of the files is missing, or the folder cannot be written to.
    """
    digests, content = found(path, names)
    files = {name: {"sha256": digests[name], "bytes": len(content[name])} for name in names}
    document = {"schema": SCHEMA, "files": files}
    manifest = path / MANIFEST
    try:
        write_whole(manifest, json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise DatasetError(
            f"cannot write the manifest: {error.strerror}",
            where=str(manifest),
            remedy="make the folder writable, or copy it",
        ) from None
    return manifest


def found(path: Path, names: Sequence[str]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return SHA-256 and content of each file as it is, whatever a manifest says.

    Raises:
        DatasetError: One of the files cannot be read.
    """
    content = {name: read(path / name) for name in names}
    return {name: hashlib.sha256(bytes_).hexdigest() for name, bytes_ in content.items()}, content


def read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"cannot read the file: {error.strerror}",
            where=str(path),
            remedy="docs/corpus.md shows what a corpus folder holds; "
            + (
                f"`milvus-kit corpus embed {path.parent} --model NAME` writes vectors"
                if path.suffix == ".npy"
                else f"`milvus-kit corpus manifest` writes {MANIFEST}"
            ),
        ) from None


def listed(path: Path) -> dict[str, tuple[str, int]]:
    """Return the SHA-256 and the size of each file that a folder's manifest lists, by name.

    Raises:
        DatasetError: There is no manifest, or it is none.
    """
    where = path / MANIFEST
    try:
        document = json.loads(read(where))
        refuse_newer(document, SCHEMA, "manifest", where=str(where), error=DatasetError)
        promised = {
            name: (str(of["sha256"]), int(of["bytes"])) for name, of in document["files"].items()
        }
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r} instead of {SCHEMA!r}")  # noqa: TRY301 - one message for every way to be no manifest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            "this is not a manifest of files with sha256 and bytes",
            where=str(where),
            seen=str(error),
            remedy=_REWRITE,
        ) from None
    return promised


def verified(path: Path, names: Sequence[str]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return SHA-256 and content of each file, both as the manifest says.

    Args:
        path: The folder.
        names: The files that are wanted; each has to be listed. Others that are listed are looked
            at all the same: one that is gone was meant to be there.

    Raises:
        DatasetError: A file is missing, is not listed, or differs from the manifest.
    """
    where, promised = path / MANIFEST, listed(path)
    content: dict[str, bytes] = {}
    for name in dict.fromkeys((*names, *promised)):
        if name not in promised:
            raise DatasetError(
                f"the manifest does not list {name}",
                where=str(where),
                seen=sorted(promised),
                remedy=_REWRITE,
            )
        digest, size = promised[name]
        content[name] = read(path / name)
        if len(content[name]) != size:
            raise DatasetError(
                f"the size differs from the manifest, which says {size} bytes",
                where=str(path / name),
                seen=len(content[name]),
                remedy=_REWRITE,
            )
        seen = hashlib.sha256(content[name]).hexdigest()
        if seen != digest:
            raise DatasetError(
                f"the checksum differs from the manifest, which says sha256 {digest[:16]}…",
                where=str(path / name),
                seen=f"{seen[:16]}…",
                remedy=_REWRITE,
            )
    return {name: promised[name][0] for name in content}, content
