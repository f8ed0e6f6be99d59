"""An S3 store outside the cluster: MinIO, TLS alone, its certificate of a private CA."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.secrets import x509
from infra.storage.minio.admin import MinioAdmin
from tests.e2e.site.process import serving, until

ROOT = "the-sites-root"


@dataclasses.dataclass(frozen=True)
class Store:
    """A running store.

    Args:
        host: Its address.
        port: Its port.
        ca_pem: Of the CA that signed its certificate.
        root_key: Secret key of the site's own root user.
    """

    host: str
    port: int
    ca_pem: str
    root_key: str = dataclasses.field(repr=False)

    @property
    def endpoint(self) -> str:
        """Return how clients reach it."""
        return f"https://{self.host}:{self.port}"

    def admin(self) -> MinioAdmin:
        """Return a client that may do everything."""
        return MinioAdmin(
            connect=self._connect,
            server_name=self.host,
            port=self.port,
            ca_pem=self.ca_pem,
            access_key=ROOT,
            secret_key=self.root_key,
        )

    @contextmanager
    def client(self, access_key: str, secret_key: str) -> Iterator[Any]:
        """Yield an S3 client with a key; it asks once."""
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as ca:
            ca.write(self.ca_pem)
            ca.flush()
            yield boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                region_name="us-east-1",
                verify=ca.name,
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
            )

    @contextmanager
    def as_root(self) -> Iterator[Any]:
        """Yield an S3 client that sees everything."""
        with self.client(ROOT, self.root_key) as client:
            yield client

    def _connect(self) -> contextlib.AbstractContextManager[socket.socket]:
        return contextlib.closing(socket.create_connection((self.host, self.port), timeout=30))


@contextmanager
def store(minio: Path, host: str, port: int, folder: Path, log: Path) -> Iterator[Store]:
    """Run a store.

    Args:
        minio: The server's command.
        host: Address it listens on, and the one name in its certificate.
        port: Its port.
        folder: For its data and its key; removed by whoever made it.
        log: Where its output is kept.
    """
    ca = x509.authority("store-elsewhere")
    leaf = x509.issue(ca, "store", [host], client=False)
    certificates = folder / "certs"
    certificates.mkdir()
    (certificates / "public.crt").write_text(leaf.certificate, encoding="utf-8")
    (certificates / "private.key").touch(mode=0o600)
    (certificates / "private.key").write_text(leaf.key, encoding="utf-8")
    made = Store(host, port, ca.certificate, secrets.token_urlsafe(24))
    environment = {
        **os.environ,
        "MINIO_ROOT_USER": ROOT,
        "MINIO_ROOT_PASSWORD": made.root_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    command = [minio, "server", folder / "data", "--address", f"{host}:{port}"]
    trusted = ssl.create_default_context(cadata=ca.certificate)

    def answers() -> None:
        with (
            socket.create_connection((host, port), timeout=2) as plain,
            trusted.wrap_socket(plain, server_hostname=host),
        ):
            pass

    with serving([*command, "--certs-dir", certificates], log, environment) as process:
        until(answers, process, log)
        yield made
