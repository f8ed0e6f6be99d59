"""Keys that Milvus has of its own at the drill's store, made and removed there for real."""

from __future__ import annotations

import dataclasses
import secrets
import socket
from pathlib import Path
from typing import Any

from validation.common.files import write_secret
from validation.errors import CredentialsError, UnsupportedError
from validation.local import state
from validation.local.servers import BUCKET
from validation.local.stack import EmbeddedStack
from validation.s3.client.boto import connect
from validation.s3.client.failures import translated
from validation.target import SecretRef

_POLICY = "readwrite"
"""Every MinIO has it: all of S3, nothing of the administration."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One key: files of its two halves."""

    access: Path
    secret: Path

    @property
    def files(self) -> tuple[Path, Path]:
        """Both files."""
        return self.access, self.secret


class KeyRing:
    """The keys that a drill makes at its store.

    Args:
        stack: Started; its own key is root's.

    Raises:
        UnsupportedError: The store has no users, or they cannot be made from here.
    """

    def __init__(self, stack: EmbeddedStack) -> None:
        found = stack.target.storage
        if found is None or found.provider != "minio":
            raise UnsupportedError("the store is an emulator: it has no keys to take away")
        self._storage, self._folder, self._made = found, stack.folder / "secrets", 0
        self._admin = _administrator(stack)

    def make(self) -> Key:
        """Make a new key at the store."""
        self._made += 1
        stem = self._folder / f"milvus-{self._made}"
        key = Key(stem.with_suffix(".access"), stem.with_suffix(".secret"))
        for file, length in zip(key.files, (10, 20), strict=True):
            write_secret(file, secrets.token_hex(length))
        self.restore(key)
        return key

    def restore(self, key: Key) -> None:
        """Put a key (back) into force."""
        self._admin.put_user(*(file.read_text() for file in key.files), _POLICY)

    def remove(self, key: Key) -> None:
        """Remove a key from the store."""
        self._admin.delete_user(key.access.read_text())

    def refuses(self, key: Key) -> bool:
        """Return whether the store refuses a key."""
        storage = self._storage.model_copy(
            update={
                "access_key": SecretRef(file=key.access),
                "secret_key": SecretRef(file=key.secret),
            }
        )
        try:
            with translated(storage):
                connect(storage).list_objects_v2(Bucket=BUCKET, MaxKeys=1)
        except CredentialsError:
            return True
        return False


def _administrator(stack: EmbeddedStack) -> Any:
    try:
        from infra.storage.minio.admin import MinioAdmin  # noqa: PLC0415  (an extra)
    except ImportError:
        raise UnsupportedError("MinIO cannot be administered: install milvus-kit[infra]") from None
    found = state.read(stack.folder)
    if found is None:
        raise UnsupportedError("the embedded stack does not run")
    port = found.ports["s3"]
    access_key, secret_key = (file.read_text() for file in state.key_files(stack.folder))
    return MinioAdmin(
        connect=lambda: socket.create_connection(("127.0.0.1", port), timeout=10),
        server_name="127.0.0.1",
        port=port,
        ca_pem=None,
        access_key=access_key,
        secret_key=secret_key,
    )
