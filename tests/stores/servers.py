"""The stores that the kit is tried on: each a real server, at a pinned version, on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from pydantic import SecretStr

from tests.local import s3_servers
from tests.local.s3_servers import ACCESS, SECRET, free_port, running
from tests.stores import garage, installed
from tests.stores.parts import RCLONE, SEAWEEDFS, VERSITYGW, command
from tests.stores.rgw import rgw
from tests.stores.rgw import version as rgw_version
from tests.stores.seaweedfs import seaweedfs
from validation.target import SecretRef, Storage


@dataclasses.dataclass(frozen=True)
class Store:
    """A server, and how it is had.

    Args:
        name: Of its record.
        title: As its makers call it.
        version: As it is installed, or what tells it.
        source: The registry that it comes from.
        run: Starts it in a folder and gives its endpoint.
        secret: Its secret key; the access key too where it knows only that.
        access: Its access key.
    """

    name: str
    title: str
    version: str | Callable[[], str]
    source: str
    run: Callable[[Path], contextlib.AbstractContextManager[str]]
    access: str = ACCESS
    secret: str = SECRET

    def installed(self) -> str:
        """Return its version."""
        return self.version if isinstance(self.version, str) else self.version()

    def storage(self, endpoint: str, **more: object) -> Storage:
        """Return the contract of this store, running at an endpoint."""
        provider = {"minio": "minio", "moto": "emulator"}.get(self.name, "s3")
        keys = {
            "access_key": SecretRef(value=SecretStr(self.access)),
            "secret_key": SecretRef(value=SecretStr(self.secret)),
        }
        return s3_servers.storage(endpoint, provider, **keys, **more)


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """Run rclone's S3 server on a folder."""
    (folder / "data").mkdir()
    port = free_port()
    start = [command(RCLONE), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    start += ["--auth-key", f"{ACCESS},{SECRET}", str(folder / "data")]
    environment = {"RCLONE_CONFIG": str(folder / "none.conf")}
    with running(start, port=port, environment=environment, log=folder / "rclone.log") as endpoint:
        yield endpoint


@contextlib.contextmanager
def s3proxy(folder: Path) -> Iterator[str]:
    """Run s3proxy on its file system back end."""
    (folder / "data").mkdir()
    port = free_port()
    settings = {
        "s3proxy.endpoint": f"http://127.0.0.1:{port}",
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": ACCESS,
        "s3proxy.credential": SECRET,
        "jclouds.provider": "filesystem-nio2",
        "jclouds.identity": "unused",  # by this back end, and asked for
        "jclouds.credential": "unused",
        "jclouds.filesystem.basedir": str(folder / "data"),
    }
    file = folder / "s3proxy.conf"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    start = ["java", "-cp", f"{installed.s3proxy()}/*", "org.gaul.s3proxy.Main"]
    start += ["--properties", str(file)]
    with running(start, port=port, environment={}, log=folder / "s3proxy.log") as endpoint:
        yield endpoint


@contextlib.contextmanager
def s3s(folder: Path) -> Iterator[str]:
    """Run s3s-fs on a folder."""
    (folder / "data").mkdir()
    port = free_port()
    start = [str(installed.s3s()), "--host", "127.0.0.1", "--port", str(port)]
    start += ["--access-key", ACCESS, "--secret-key", SECRET, str(folder / "data")]
    with running(start, port=port, environment={}, log=folder / "s3s.log") as endpoint:
        yield endpoint


@contextlib.contextmanager
def s3rver(folder: Path) -> Iterator[str]:
    """Run s3rver on a folder."""
    (folder / "data").mkdir()
    port = free_port()
    start = [str(installed.s3rver()), "-a", "127.0.0.1", "-p", str(port), "-s"]
    start += ["-d", str(folder / "data")]
    with running(start, port=port, environment={}, log=folder / "s3rver.log") as endpoint:
        yield endpoint


_GO = "Go module proxy"
_OWN = "S3RVER"
"""The one key that s3rver knows, and its secret."""
STORES = {
    one.name: one
    for one in (
        Store("minio", "MinIO", "2025-09-07", _GO, s3_servers.minio),
        Store("rgw", "Ceph RGW", rgw_version, "Debian", rgw),
        Store("seaweedfs", "SeaweedFS", SEAWEEDFS.version, _GO, seaweedfs),
        Store("versitygw", "versitygw", VERSITYGW.version, _GO, s3_servers.versitygw),
        Store("rclone", "rclone serve s3", RCLONE.version, _GO, rclone),
        Store("s3proxy", "s3proxy (nio2)", installed.S3PROXY, "Maven", s3proxy),
        Store(
            "garage",
            "Garage",
            installed.GARAGE,
            "crates.io",
            garage.garage,
            access=garage.ACCESS,
            secret=garage.SECRET,
        ),
        Store("s3s", "s3s-fs", installed.S3S, "crates.io", s3s),
        Store("moto", "moto", version("moto"), "PyPI", s3_servers.moto),
        Store("s3rver", "s3rver", installed.S3RVER, "npm", s3rver, access=_OWN, secret=_OWN),
    )
}
