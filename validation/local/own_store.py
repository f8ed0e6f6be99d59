"""A store of one's own under the embedded Milvus, in place of the S3 server that it would start.

What a fresh Milvus does not know it takes for garbage and deletes, so its root path must be empty
when it first sees it; and what it knows is in one store, so a folder stays with that one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from validation.common import strict_yaml
from validation.common.files import write_secret
from validation.errors import ConfigurationError, UnreachableError, UsageError
from validation.local import state, trust
from validation.local.state import StoreAccess
from validation.target import SecretRef, Storage

_REMEDY = (
    "write the storage section of a target: provider, endpoint, bucket, root_path, access_key and"
    " secret_key (docs/target.md)"
)


def read(path: Path) -> Storage:
    """Return the storage contract in a file: its fields alone, or a target that has a section.

    Raises:
        ConfigurationError: The file cannot be read, or is no contract with keys.
    """
    document: dict[str, Any] = strict_yaml.load(path, "storage file", remedy=_REMEDY)
    try:
        found = Storage.model_validate(document.get("storage", document))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ConfigurationError(
            f"this is no storage contract: {first['msg']}",
            where=f"{path}: {'.'.join(map(str, first['loc']))}",
            remedy=_REMEDY,
        ) from None
    if found.access_key is None or found.secret_key is None:
        raise ConfigurationError("the store's keys are missing", where=str(path), remedy=_REMEDY)
    return found


def taken(folder: Path, storage: Storage) -> tuple[Storage, StoreAccess]:
    """Copy a store's keys into the stack's folder, as those of its own store would be.

    Returns:
        The contract with references to these files, and how Milvus reaches the store.

    Raises:
        ConfigurationError: A key is not where the contract says.
        UnreachableError: Milvus cannot be made to trust the store's certificate on this host.
    """
    secrets = (storage.access_key, storage.secret_key)
    for file, secret in zip(state.key_files(folder), secrets, strict=True):
        if secret is not None:
            write_secret(file, secret.reveal("a key of the store"))
    access, key = (SecretRef(file=file) for file in state.key_files(folder))
    kept = storage.model_copy(update={"access_key": access, "secret_key": key})
    return kept, StoreAccess(trusted=_trusted(folder, storage))


def _trusted(folder: Path, storage: Storage) -> Path | None:
    from validation.s3.client.endpoint import ca_file_of, endpoint_of  # noqa: PLC0415

    ca_file = ca_file_of(storage)
    if not endpoint_of(storage).tls or ca_file is None:
        return None
    path = trust.bundle(ca_file.read_text(encoding="utf-8"), folder / "certificates.pem")
    problem = trust.why_not(path)
    if problem:
        raise UnreachableError(
            f"Milvus cannot trust the store's certificate here: {problem}",
            where=storage.endpoint,
            remedy="run as root, add the CA to this host's certificates, or use plain HTTP",
        )
    return path


def require_same(before: Storage | None, now: Storage | None, folder: Path) -> None:
    """Refuse another store than that in which a stack's data lie.

    Raises:
        UsageError: It is another.
    """
    places = [
        one and (one.endpoint.rstrip("/"), one.bucket, one.root.strip("/")) for one in (before, now)
    ]
    if places[0] != places[1]:
        seen = f"{before.endpoint}, bucket {before.bucket}" if before else "its own S3 server"
        raise UsageError(
            "the data of this stack lie in another store",
            where=str(folder),
            seen=seen,
            remedy="choose another folder, or `milvus-kit local down --delete-data` first",
        )


def require_usable(storage: Storage, *, fresh: bool) -> None:
    """Make sure that the store answers, and that a fresh Milvus would delete nothing of another's.

    Raises:
        UnreachableError: It does not answer, or not as S3.
        CredentialsError: It refuses the keys.
        ConfigurationError: There is no such bucket.
        UsageError: Something is below the root path already.
    """
    # They import boto3, which is slow.
    from validation.s3.client.boto import connect  # noqa: PLC0415
    from validation.s3.client.failures import translated  # noqa: PLC0415
    from validation.s3.preflight.reach import reach  # noqa: PLC0415
    from validation.s3.workspace import prefix_below  # noqa: PLC0415

    problem = reach(storage).tls_problem
    if problem:
        raise UnreachableError(
            f"the store's certificate is refused: {problem}",
            where=storage.endpoint,
            remedy="name the CA that signed it: tls.ca_file",
        )
    with translated(storage):
        below = prefix_below(storage.root)
        found = connect(storage).list_objects_v2(Bucket=storage.bucket, Prefix=below, MaxKeys=1)
    if fresh and found.get("Contents"):
        raise UsageError(
            "there are objects below the root path, which a fresh Milvus takes for garbage",
            where=f"{storage.endpoint}, {storage.bucket}/{below}",
            seen=found["Contents"][0]["Key"],
            remedy="give it a root_path of its own",
        )
