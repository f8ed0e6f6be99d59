"""The target document of an embedded stack: what was started, and what a reader must know of it."""

from __future__ import annotations

from pathlib import Path

from validation.local import milvus, state
from validation.local.minio import EMULATOR_NOTE
from validation.local.servers import BUCKET, ROOT_PATH
from validation.local.state import State
from validation.target import Milvus, Restart, Role, SecretRef, Storage, Target, Wal


def target_of(folder: Path, found: State) -> Target:
    """Return the target of a stack.

    Args:
        folder: Of the stack; secrets are references to files in it.
        found: The stack.
    """
    return Target(
        name=found.name,
        description="embedded stack on this host",
        milvus=Milvus(
            uri=f"http://127.0.0.1:{found.ports['proxy']}",
            deployment="standalone",
            version=found.version,
            metrics_uri=f"http://127.0.0.1:{found.ports['metrics']}",
            wal=Wal.ROCKSMQ,
            roles=tuple(Role(name=role) for role in milvus.ROLES),
        ),
        storage=_storage(folder, found),
        restart=Restart(kind="embedded", state_file=folder / state.FILE),
        notes=_notes(found),
    )


def _storage(folder: Path, found: State) -> Storage:
    access_key, secret_key = state.key_files(folder)
    return Storage(
        provider=found.s3.provider,
        endpoint=f"http://127.0.0.1:{found.ports['s3']}",
        bucket=BUCKET,
        root_path=ROOT_PATH,
        access_key=SecretRef(file=access_key),
        secret_key=SecretRef(file=secret_key),
        versioning="off",
        object_lock=False,
    )


def _notes(found: State) -> tuple[str, ...]:
    store = f"object store: {found.s3.description} ({found.s3.source})"
    server = (
        f"Milvus is the server of the Python package milvus {found.version}: standalone, with etcd"
        " and RocksMQ inside; it cannot do sparse vectors or BM25"
    )
    notes = (
        server,
        "Milvus listens on all interfaces of this host, without authentication",
        "; ".join((store, *(f"not {reason}" for reason in found.s3.rejected))),
    )
    return (*notes, EMULATOR_NOTE) if found.s3.provider == "emulator" else notes
