"""The Milvus server from PyPI: unpacked once, configured for one stack, started as a process."""

from __future__ import annotations

import importlib.util
import lzma
import platform
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from validation.cache import cache_folder, filling
from validation.errors import MissingToolError

PORTS = (
    "proxy",
    "internal",
    "metrics",
    "etcd",
    "etcd_peer",
    "rootcoord",
    "querycoord",
    "datacoord",
    "indexnode",
    "querynode",
    "datanode",
)
ROLES = ("rootcoord", "querycoord", "datacoord", "indexnode", "datanode", "querynode", "proxy")


def wheel() -> Path | None:
    """Return the folder of the installed ``milvus`` package; None where it has no server."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    found = importlib.util.find_spec("milvus")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "data"
    return folder if (folder / "bin" / "milvus.lzma").exists() else None


def installed_version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import version  # noqa: PLC0415  (slow to import, seldom needed)

    return version("milvus")


def unpacked(package: Path | None = None, version: str | None = None) -> Path:
    """Return a folder with the server's binary and libraries, unpacked on first use.

    Args:
        package: The ``data`` folder of a ``milvus`` package; the installed one if left out.
        version: Its version; it names the folder in the cache.

    Raises:
        MissingToolError: The package is not installed, or not for this platform.
    """
    package = package or wheel()
    if package is None:
        raise MissingToolError(
            "there is no Milvus server for this platform",
            where="package milvus",
            seen=f"{sys.platform} {platform.machine()}",
            remedy="install milvus-kit[embedded] on Linux x86-64, or use Milvus Lite",
        )
    folder = cache_folder() / "milvus" / (version or installed_version())
    with filling(folder) as partial:
        if partial is not None:
            (partial / "bin").mkdir()
            files = sorted((package / "bin").glob("*.lzma"))
            with ThreadPoolExecutor() as pool:  # lzma releases the interpreter's lock
                list(pool.map(lambda file: _unpack(file, partial / "bin" / file.stem), files))
            template = (package / "config.yaml.template").read_text(encoding="utf-8")
            (partial / "config.yaml.template").write_text(template, encoding="utf-8")
    return folder


def _unpack(packed: Path, plain: Path) -> None:
    with lzma.open(packed) as source, plain.open("wb") as sink:
        while block := source.read(1 << 20):
            sink.write(block)
    plain.chmod(0o755)


def configuration(
    template: str, *, folder: Path, ports: Mapping[str, int], s3: Mapping[str, Any]
) -> str:
    """Return the text of milvus.yaml for one stack.

    The package's own defaults are kept where nothing is said here. No secret is in it: the keys of
    the object store come from the environment.

    Args:
        template: The package's ``config.yaml.template``.
        folder: Where the server keeps its data.
        ports: A port for each of `PORTS`.
        s3: ``host``, ``port``, ``bucket``, ``root_path`` of the object store.
    """
    # The template's placeholders are flow mappings to YAML; every one of them is replaced below.
    plain = "\n".join(line.split("{{")[0] for line in template.splitlines())
    document: dict[str, Any] = yaml.safe_load(plain)
    changes: dict[str, Any] = {
        "etcd": {
            "endpoints": f"127.0.0.1:{ports['etcd']}",
            "log": {"level": "warn", "path": "stdout"},
            "use": {"embed": True},
            "data": {"dir": str(folder / "etcd")},
            "config": {"path": str(folder / "etcd.yaml")},
        },
        "localStorage": {"path": str(folder / "local")},
        "minio": {
            "address": s3["host"],
            "port": s3["port"],
            "bucketName": s3["bucket"],
            "rootPath": s3["root_path"],
            "useSSL": False,
            "useIAM": False,
            "cloudProvider": "aws",
        },
        "mq": {"type": "rocksmq"},
        "rocksmq": {"path": str(folder / "rocksmq")},
        "rootCoord": {"port": ports["rootcoord"]},
        "queryCoord": {"port": ports["querycoord"]},
        "dataCoord": {"port": ports["datacoord"], "address": "127.0.0.1"},
        "indexNode": {"port": ports["indexnode"]},
        "queryNode": {"port": ports["querynode"]},
        "dataNode": {"port": ports["datanode"]},
        "proxy": {
            "port": ports["proxy"],
            "internalPort": ports["internal"],
            "http": {"enabled": False},
        },
        "indexCoord": {"bindIndexNodeMode": {"enable": False}},
        "log": {
            "level": "info",
            "stdout": True,
            "file": {"rootPath": ""},
        },
        "tls": {"serverPemPath": "", "serverKeyPath": "", "caPemPath": ""},
        "common": {
            "storageType": "minio",
            # Without these two the server takes a minute to stop and half a minute to search
            # again, because its own lease of the old session has to expire first.
            "gracefulStopTimeout": 3,
            "session": {"ttl": 5, "retryTimes": 30},
            "security": {"authorizationEnabled": False, "tlsMode": 0},
        },
    }
    return yaml.safe_dump(_merged(document, changes), sort_keys=True)


def _merged(base: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base or {})
    for key, value in changes.items():
        merged[key] = _merged(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def etcd_configuration(ports: Mapping[str, int]) -> str:
    """Return the text of the embedded etcd's own configuration: its ports, on loopback only."""
    client, peer = f"http://127.0.0.1:{ports['etcd']}", f"http://127.0.0.1:{ports['etcd_peer']}"
    return yaml.safe_dump(
        {
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
    )


def environment(server: Path, folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what the server reads from its environment, without the S3 keys."""
    return {
        "MILVUSCONF": str(folder / "configs"),
        "LD_LIBRARY_PATH": str(server / "bin"),
        "METRICS_PORT": str(ports["metrics"]),
        "MALLOC_CONF": "background_thread:true",
    }
