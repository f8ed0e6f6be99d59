"""Backups in the bucket: put there file by file, the document last, and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from validation.backup import document
from validation.backup.document import FILE, MANIFEST
from validation.common.files import require_empty
from validation.errors import ConfigurationError, UsageError
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.target import Storage, Target
from validation.upgrade import document as manifests


def checked(target: Target, prefix: str, folder: Path) -> Storage:
    """Return the store of a target, where a backup may be kept below a prefix.

    Args:
        target: Of the store.
        prefix: Where backups are kept in the bucket.
        folder: The backup's; its name is the one in the bucket.

    Raises:
        UsageError: The target declares no store, or the place is Milvus's own, or around it.
    """
    storage = target.storage
    if storage is None:
        raise UsageError(
            "the target declares no storage",
            where="--in-bucket",
            remedy="declare it (docs/target.md), or keep the backup in its folder alone",
        )
    root = storage.root.strip("/")
    place = f"{_place(prefix, folder)}/"
    own = place.startswith(f"{root}/") or f"{root}/".startswith(place)
    if not prefix.strip("/") or not root or own:
        raise UsageError(
            "Milvus removes objects below its own prefix that it does not know",
            where="--in-bucket",
            seen=place,
            remedy="give a prefix or a name outside of"
            f" {root or 'the bucket, which is all Milvus uses'}/",
        )
    return storage


def require_free(folder: Path, storage: Storage, prefix: str) -> None:
    """Make sure that nothing lies yet where a backup would be put.

    Raises:
        UsageError: Something does.
    """
    root = _place(prefix, folder)
    with translated(storage):
        listed = connect(storage).list_objects_v2(
            Bucket=storage.bucket, Prefix=f"{root}/", MaxKeys=1
        )
    if listed.get("KeyCount"):
        raise UsageError(
            "there is something in this place of the bucket already",
            where=f"s3://{storage.bucket}/{root}/",
            seen=listed["Contents"][0]["Key"],
            remedy="give the backup's folder another name with -o, or delete what lies there",
        )


def _place(prefix: str, folder: Path) -> str:
    return f"{prefix.strip('/')}/{folder.resolve().name}"


def upload(folder: Path, storage: Storage, prefix: str) -> str:
    """Put a finished backup into the bucket and return its place there.

    Args:
        folder: The backup's; its name becomes the name in the bucket.
        storage: The store.
        prefix: Where backups are kept in the bucket.
    """
    root = _place(prefix, folder)
    with translated(storage):
        client = connect(storage)
        for file in _files(folder):
            client.upload_file(str(folder / file), storage.bucket, f"{root}/{file}")
    return f"s3://{storage.bucket}/{root}"


def fetch(folder: Path, storage: Storage, prefix: str) -> None:
    """Bring the backup of a folder's name from the bucket into that folder.

    Raises:
        UsageError: There is something in the folder already.
        ConfigurationError: There is no such backup in the bucket, or not all of it.
    """
    require_empty(folder, "name a new folder, called as the backup is in the bucket")
    root = _place(prefix, folder)
    with translated(storage):
        client = connect(storage)
        listed = client.list_objects_v2(Bucket=storage.bucket, Prefix=f"{root}/{FILE}")
        if not listed.get("KeyCount"):
            raise ConfigurationError(
                "there is no finished backup in the bucket",
                where=f"s3://{storage.bucket}/{root}/",
                remedy="give the prefix and the name that `milvus-kit backup --in-bucket` printed",
            )
        # Each tells the names of the next, and no name leads out of the folder.
        for file in (FILE, f"{MANIFEST}/{manifests.FILE}"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            client.download_file(storage.bucket, f"{root}/{file}", str(folder / file))
        for file in list(_files(folder)):
            path = folder / file
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(storage.bucket, f"{root}/{file}", str(path))


def _files(folder: Path) -> Iterator[str]:
    """Yield the files of a backup, the document last."""
    for one in document.files_of(document.read(folder)):
        yield one.file
    for made in manifests.finished(folder / MANIFEST).collections.values():
        for part in made.partitions.values():
            for chunk in part.chunks:
                yield f"{MANIFEST}/{chunk.file}"
    yield f"{MANIFEST}/{manifests.FILE}"
    yield FILE
