"""milvus-backup, where it is installed: it copies Milvus's own files, and the manifest proves them.

Written by what version 0.6 of its command line takes (``create``, ``restore``, ``--filter``,
``--rebuild_index``; its configuration of version 2). Secrets go to it by its environment, and its
configuration lies in a folder that only this user can read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from validation.errors import MeasurementError, MissingToolError, UnsupportedError, UsageError
from validation.milvus.connection import Connection
from validation.s3.client.endpoint import ca_file_of, endpoint_of

COMMAND = "milvus-backup"
_LINES = 5
_TOO_NEW, _SINCE, _OLDEST = (3,), (3, 0, 1), (2, 4)


def require(connection: Connection, *, restore: bool) -> str:
    """Return the path of milvus-backup, if it can work with this server.

    Raises:
        MissingToolError: It is not on PATH.
        UnsupportedError: It does not support this version of Milvus.
        UsageError: The target declares no storage with a key.
    """
    found = shutil.which(COMMAND)
    if found is None:
        raise MissingToolError(
            "milvus-backup is not on PATH",
            where="--tool milvus-backup",
            remedy="install it (https://github.com/zilliztech/milvus-backup/releases), or leave"
            " --tool out: the kit then writes Parquet itself",
        )
    known = connection.version
    too_old = restore and () < known < _OLDEST
    if connection.is_lite or too_old or _TOO_NEW <= known < _SINCE:
        raise UnsupportedError(
            "milvus-backup does not support this version of Milvus",
            where=connection.endpoint.name,
            seen=connection.server_version,
            remedy="it restores to 2.4 and later, and of 3.0 knows 3.0.1 and later",
        )
    storage = connection.target.storage
    if storage is None or storage.access_key is None or storage.secret_key is None:
        raise UsageError(
            "milvus-backup needs the store and its key, and the target declares none",
            where="storage.access_key",
            remedy="declare storage with access_key and secret_key (docs/target.md)",
        )
    return found


def create(connection: Connection, collections: Sequence[str], place: str) -> None:
    """Back up collections.

    Args:
        connection: An open connection to the server.
        collections: Their names.
        place: Where in the bucket: a prefix, a slash and the backup's name.

    Raises:
        MeasurementError: milvus-backup failed.
    """
    _run(connection, place, "create", "--filter", _filter(connection, collections))


def restore(connection: Connection, collections: Sequence[str], place: str) -> None:
    """Restore collections of a backup, with their indexes.

    Args:
        connection: An open connection to the server.
        collections: Their names.
        place: Where in the bucket `create` has put them.

    Raises:
        MeasurementError: milvus-backup failed.
    """
    chosen = ("--filter", _filter(connection, collections))
    _run(connection, place, "restore", *chosen, "--rebuild_index")


def _filter(connection: Connection, collections: Sequence[str]) -> str:
    return ",".join(f"{connection.endpoint.database}.{name}" for name in collections)


def _run(connection: Connection, place: str, verb: str, *arguments: str) -> None:
    command = require(connection, restore=verb == "restore")
    prefix, _, name = place.rpartition("/")
    with _configured(connection, prefix) as (file, environment):
        done = subprocess.run(
            [command, "--config", str(file), verb, "--name", name, *arguments],
            env=environment,
            cwd=file.parent,  # it writes its log there
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode:
        said = done.stdout
        for secret in _secrets(connection):
            said = said.replace(secret, "***")
        words = [line.strip() for line in said.splitlines() if line.strip()]
        raise MeasurementError(
            f"milvus-backup {verb} failed",
            where=connection.endpoint.name,
            seen="; ".join(words[-_LINES:]) or f"exit code {done.returncode}",
            remedy="`milvus-backup check` says what it cannot reach; its own documentation helps",
        )


def _secrets(connection: Connection) -> list[str]:
    """Return what it was given and may print, the longest first."""
    storage = connection.target.storage
    assert storage is not None  # noqa: S101  (`require` has looked)
    assert storage.access_key is not None  # noqa: S101
    assert storage.secret_key is not None  # noqa: S101
    known = {
        connection.endpoint.token,
        connection.endpoint.token.partition(":")[2],
        storage.access_key.reveal("storage.access_key"),
        storage.secret_key.reveal("storage.secret_key"),
    }
    return sorted(known - {""}, key=len, reverse=True)


@contextlib.contextmanager
def _configured(connection: Connection, prefix: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield its configuration and environment; the files are gone afterwards."""
    endpoint, storage = connection.endpoint, connection.target.storage
    assert storage is not None  # noqa: S101  (`require` has looked)
    assert storage.access_key is not None  # noqa: S101
    assert storage.secret_key is not None  # noqa: S101
    host, _, port = endpoint.address.rpartition(":")
    user, _, password = endpoint.token.partition(":")
    environment = {
        **os.environ,
        **({"MILVUS_USER": user, "MILVUS_PASSWORD": password} if user else {}),
        "MILVUS_STORAGE_AUTH_ACCESS_KEY_ID": storage.access_key.reveal("storage.access_key"),
        "MILVUS_STORAGE_AUTH_SECRET_ACCESS_KEY": storage.secret_key.reveal("storage.secret_key"),
    }
    store = endpoint_of(storage)
    backend = {
        "provider": "minio" if storage.provider in {"minio", "emulator"} else "s3",
        "address": store.host,
        "port": store.port,
        "region": storage.region,
        "useSSL": store.tls,
        "bucketName": storage.bucket,
        "auth": {"type": "static"},
    }
    with TemporaryDirectory(prefix="milvus-kit-") as folder:
        grpc: dict[str, Any] = {"address": host, "port": int(port), "tlsMode": "disabled"}
        if endpoint.secure:
            grpc["tlsMode"] = "mutual" if endpoint.certificate else "server"
            grpc["serverName"] = endpoint.server_name
            for key, content in (
                ("caCertPath", endpoint.root_certificates),
                ("mtlsCertPath", endpoint.certificate),
                ("mtlsKeyPath", endpoint.key),
            ):
                if content:
                    path = Path(folder) / key
                    path.touch(mode=0o600)
                    path.write_bytes(content)
                    grpc[key] = str(path)
        trusted = ca_file_of(storage)
        if trusted:
            environment["SSL_CERT_FILE"] = str(trusted)
        document = {
            "configVersion": "v2",
            "milvus": {"grpc": grpc, "storage": {**backend, "rootPath": storage.root.strip("/")}},
            "backup": {"storage": {**backend, "rootPath": prefix.strip("/")}, "pauseGC": False},
        }
        file = Path(folder) / "backup.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        yield file, environment
