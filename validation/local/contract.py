"""The target document of an embedded stack: what was started, and what a reader must know of it."""

from __future__ import annotations

from pathlib import Path

from validation.local import milvus, secured, state
from validation.local.minio import EMULATOR_NOTE
from validation.local.servers import BUCKET, ROOT_PATH
from validation.local.state import State
from validation.target import Host, Milvus, Restart, Role, SecretRef, Storage, Target, Tls, Wal


def target_of(folder: Path, found: State) -> Target:
    """Return the target of a stack.

    Args:
        folder: Of the stack; secrets are references to files in it.
        found: The stack.
    """
    own = secured.Secured(folder / "secrets") if found.secured else None
    return Target(
        name=found.name,
        description="embedded stack on this host",
        milvus=Milvus(
            uri=f"{'https' if own else 'http'}://{secured.HOST}:{found.ports['proxy']}",
            deployment="standalone",
            version=found.version,
            tls=own.tls if own else Tls(),
            auth=own.auth if own else None,
            metrics_uri=f"http://127.0.0.1:{found.ports['metrics']}",
            wal=Wal.ROCKSMQ,
            roles=tuple(Role(name=role) for role in milvus.ROLES),
        ),
        storage=_storage(folder, found),
        hosts=(Host(name="here"),),
        restart=Restart(kind="embedded", state_file=folder / state.FILE),
        notes=_notes(found),
    )


def _storage(folder: Path, found: State) -> Storage | None:
    if found.s3 is None:
        return found.store
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
    server = (
        f"Milvus is the server of the Python package milvus {found.version}: standalone, with etcd"
        " and RocksMQ inside; it cannot do sparse vectors or BM25"
    )
    lease = (
        f"this host stalls for more than {milvus.LEASE_SECONDS} s: its lease in its etcd runs out"
    )
    notes = (
        server,
        "Milvus listens on all interfaces of this host, "
        + ("with TLS and a password" if found.secured else "without authentication"),
        f"Milvus ends if {lease}",
    )
    if found.s3 is None:
        return (*notes, "object store: one of your own, which the stack neither starts nor stops")
    store = f"object store: {found.s3.description} ({found.s3.source})"
    notes += ("; ".join((store, *(f"not {reason}" for reason in found.s3.rejected))),)
    return (*notes, EMULATOR_NOTE) if found.s3.provider == "emulator" else notes
