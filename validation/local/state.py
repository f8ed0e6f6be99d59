"""What is remembered of an embedded stack, so that any process can find it again.

It stands in ``state.json`` of the stack's folder and holds no secret.
"""

from __future__ import annotations

import dataclasses
import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from validation.common.files import write_secret, write_whole
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError, UsageError
from validation.local.minio import S3Server
from validation.local.process import NOBODY, Owner, Running
from validation.target import Storage

FILE = "state.json"
SCHEMA = "milvus-kit/embedded-stack/1"


@dataclasses.dataclass(frozen=True)
class StoreAccess:
    """How Milvus reaches its store, where that is not how the stack itself does.

    Attributes:
        port: On this host, where something stands between the two.
        trusted: File of the certificates that Milvus trusts in place of the system's; its store is
            then spoken to by TLS.
        key_files: Files of its access and secret key, where they are not the store's own.
    """

    port: int | None = None
    trusted: Path | None = None
    key_files: tuple[Path, Path] | None = None


@dataclasses.dataclass(frozen=True)
class State:
    """One embedded stack.

    Attributes:
        name: Of the target.
        server: Folder of the unpacked Milvus server.
        version: Of the Milvus server.
        ports: Of both servers, by purpose; kept when it is stopped, so that its target stays true.
        s3: The S3 server; None where the store is one of the user's own.
        servers: What was started, by name; empty once stopped.
        owner: The process it ends with.
        access: How Milvus reaches the store.
        store: The user's own store, its keys as files of the stack.
        secured: Whether Milvus has TLS and users.
    """

    name: str
    server: Path
    version: str
    ports: dict[str, int]
    s3: S3Server | None
    servers: dict[str, Running] = dataclasses.field(default_factory=dict)
    owner: Owner = NOBODY
    access: StoreAccess = StoreAccess()
    store: Storage | None = None
    secured: bool = False
    schema: Literal["milvus-kit/embedded-stack/1"] = SCHEMA

    def alive(self) -> list[Running]:
        """Return the servers that run, in the order they were started."""
        return [running for running in self.servers.values() if running.alive()]


_ADAPTER = TypeAdapter(State)


def read(folder: Path) -> State | None:
    """Return what is remembered of the stack in a folder; None if there never was one.

    Raises:
        ConfigurationError: The file is there and is not a state.
    """
    path = folder / FILE
    try:
        content = path.read_bytes()
        refuse_newer(content, SCHEMA, "embedded stack", where=str(path))
        return _ADAPTER.validate_json(content)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the stack's state: {error.strerror}",
            where=str(path),
            remedy="let this user read it, or choose another folder",
        ) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ConfigurationError(
            f"this is not the state of an embedded stack: {first['msg']}",
            where=f"{path}: {'.'.join(map(str, first['loc']))}",
            remedy=f"end servers that still run in {folder}, then delete the file",
        ) from None


def write(folder: Path, state: State) -> None:
    """Remember a stack; a reader sees the old state or the new one, never half of it."""
    write_whole(folder / FILE, _ADAPTER.dump_json(state, indent=2).decode())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from starting, stopping or restarting the stack in a folder.

    Raises:
        UsageError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise UsageError(
            f"the stack's folder cannot be used: {error.strerror}",
            where=str(folder),
            remedy="choose a folder that you may write to",
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key_files(folder: Path) -> tuple[Path, Path]:
    """Return the files of the store's access and secret key; made up at random on first use."""
    home = folder / "secrets"
    home.mkdir(mode=0o700, exist_ok=True)
    files = home / "s3_access_key", home / "s3_secret_key"
    for file, length in zip(files, (10, 20), strict=True):
        if not file.exists():
            write_secret(file, secrets.token_hex(length))
    return files
