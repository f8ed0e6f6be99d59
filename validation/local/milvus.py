"""The Milvus server from PyPI: unpacked once, configured for one stack, started as a process."""

from __future__ import annotations

import importlib.util
import lzma
import platform
import re
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from validation.common.cache import cache_folder, filling
from validation.errors import MissingToolError
from validation.local.secured import Secured

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
LEASE_SECONDS = 30
"""Of the server's sessions in its own etcd: a host that stalls for longer ends the server.

After a crash that nobody ordered, the next start waits for as long; see `validation.local.sessions`
"""
LEASE_LOST = "disconnected from etcd"
"""What the server says when it ends because its lease ran out."""
ROLES = ("rootcoord", "querycoord", "datacoord", "indexnode", "datanode", "querynode", "proxy")


def exists_here() -> bool:
    """Return whether the package has a server for this platform at all."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def wheel() -> Path | None:
    """Return the folder of the installed ``milvus`` package; None where it has no server."""
    if not exists_here():
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


def require_installed() -> Path:
    """Return what `wheel` does.

    Raises:
        MissingToolError: The package is not installed, or has no server for this platform.
    """
    package = wheel()
    if package is None:
        raise MissingToolError(
            "the Milvus server is not installed"
            if exists_here()
            else "there is no Milvus server for this platform",
            where="Python package milvus",
            seen=f"{sys.platform} {platform.machine()}",
            remedy="pip install 'milvus-kit[embedded]' on Linux x86-64; elsewhere use Milvus Lite",
        )
    return package


def is_unpacked() -> bool:
    """Return whether the installed server has been unpacked already."""
    return _home(installed_version()).exists()


def _home(version: str) -> Path:
    return cache_folder() / "milvus" / version


def unpacked(
    package: Path | None = None,
    version: str | None = None,
    cancelled: threading.Event | None = None,
) -> Path:
    """Return a folder with the server's binary and libraries, unpacked on first use.

    Args:
        package: The ``data`` folder of a ``milvus`` package; the installed one if left out.
        version: Its version; it names the folder in the cache.
        cancelled: Once set, unpacking breaks off and nothing of it is kept.

    Raises:
        MissingToolError: The package is not installed, or not for this platform.
    """
    package = package or require_installed()
    folder = _home(version or installed_version())
    with filling(folder) as partial:
        if partial is not None:
            (partial / "bin").mkdir()
            files = list((package / "bin").glob("*.lzma"))
            files.sort(key=lambda file: -file.stat().st_size)  # the longest must not come last
            with ThreadPoolExecutor() as pool:  # lzma releases the interpreter's lock
                jobs = [
                    pool.submit(_unpack, file, partial / "bin" / file.stem, cancelled)
                    for file in files
                ]
                for job in jobs:
                    job.result()
            template = (package / "config.yaml.template").read_text(encoding="utf-8")
            (partial / "config.yaml.template").write_text(template, encoding="utf-8")
    return folder


def _unpack(packed: Path, plain: Path, cancelled: threading.Event | None) -> None:
    with lzma.open(packed) as source, plain.open("wb") as sink:
        while block := source.read(1 << 20):
            if cancelled is not None and cancelled.is_set():
                raise InterruptedError("unpacking was cancelled")
            sink.write(block)
    plain.chmod(0o755)


def configuration(
    template: str,
    *,
    folder: Path,
    ports: Mapping[str, int],
    s3: Mapping[str, Any],
    secured: Secured | None = None,
) -> str:
    """Return the text of milvus.yaml for one stack.

    The package's own defaults are kept where nothing is said here. No secret is in it: the keys of
    the object store come from the environment.

    Args:
        template: The package's ``config.yaml.template``.
        folder: Of the stack; the server keeps its data in its ``milvus``.
        ports: A port for each of `PORTS`.
        s3: ``host``, ``port``, ``bucket``, ``root_path`` of the object store, ``tls`` if it is
            spoken to that way, ``region`` and ``virtual`` (host style) where they are known.
        secured: Its certificate, if it has TLS and users.
    """
    # The template's placeholders are no YAML; every one of them is replaced below.
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\S*\{\{.*?\}\}", "null", template))
    host = "127.0.0.1"  # or the server registers, and calls itself by, an outer address
    changes: dict[str, Any] = {
        "etcd": {
            "endpoints": f"127.0.0.1:{ports['etcd']}",
            "log": {"level": "warn", "path": "stdout"},
            "use": {"embed": True},
            "data": {"dir": str(folder / "milvus" / "etcd")},
            "config": {"path": str(folder / "configs" / "etcd.yaml")},
        },
        "localStorage": {"path": str(folder / "milvus" / "local")},
        "minio": {
            # The keys come from the environment; the template's well-known ones must not be used.
            "accessKeyID": None,
            "secretAccessKey": None,
            "address": s3["host"],
            "port": s3["port"],
            "bucketName": s3["bucket"],
            "rootPath": s3["root_path"],
            "useSSL": s3.get("tls", False),
            "region": s3.get("region", ""),
            "useVirtualHost": s3.get("virtual", False),
            "useIAM": False,
            "cloudProvider": "aws",
        },
        "mq": {"type": "rocksmq"},
        # As long in all as by default, but not silent for seconds while another role comes up.
        "grpc": {"client": {"initialBackOff": 0.1, "maxBackoff": 0.5, "maxMaxAttempts": 100}},
        "rocksmq": {"path": str(folder / "milvus" / "rocksmq")},
        "rootCoord": {"ip": host, "port": ports["rootcoord"]},
        # The server's own loops wake up in whole seconds, which suits a cluster. On one host they
        # are most of what loading a small collection takes.
        "queryCoord": {
            "ip": host,
            "port": ports["querycoord"],
            "checkInterval": 200,
            "checkSegmentInterval": 200,
            "checkChannelInterval": 200,
            "UpdateNextTargetInterval": 1,
            "distPullInterval": 100,
            "checkHandoffInterval": 500,
        },
        "dataCoord": {"ip": host, "port": ports["datacoord"]},
        "indexNode": {"ip": host, "port": ports["indexnode"]},
        "queryNode": {"ip": host, "port": ports["querynode"]},
        "dataNode": {"ip": host, "port": ports["datanode"]},
        "proxy": {
            "ip": host,
            "port": ports["proxy"],
            "timeTickInterval": 50,
            "internalPort": ports["internal"],
            "http": {"enabled": False},
        },
        "indexCoord": {"bindIndexNodeMode": {"enable": False}, "scheduler": {"interval": 100}},
        "log": {
            "level": "info",
            "stdout": True,
            "file": {"rootPath": ""},
        },
        "tls": {
            "serverPemPath": str(secured.certificate) if secured else "",
            "serverKeyPath": str(secured.key) if secured else "",
            "caPemPath": str(secured.ca) if secured else "",
        },
        "common": {
            "storageType": "minio",
            "gracefulStopTimeout": 1,  # otherwise it takes a minute to stop
            "session": {"ttl": LEASE_SECONDS, "retryTimes": 2 * LEASE_SECONDS},
            "security": {
                "authorizationEnabled": secured is not None,
                "tlsMode": int(bool(secured)),
            },
        },
    }
    return yaml.safe_dump(_merged(document, changes), sort_keys=True)


def _merged(base: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base or {})
    for key, value in changes.items():
        merged[key] = _merged(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def write_configuration(
    server: Path,
    folder: Path,
    ports: Mapping[str, int],
    s3: Mapping[str, Any],
    secured: Secured | None = None,
) -> None:
    """Write the server's configuration files to ``configs`` of the stack's folder.

    Args:
        server: What `unpacked` returned.
        folder: Of the stack.
        ports: A port for each of `PORTS`.
        s3: As in `configuration`.
        secured: As in `configuration`.
    """
    configs = folder / "configs"
    configs.mkdir(exist_ok=True)
    template = (server / "config.yaml.template").read_text(encoding="utf-8")
    texts = {
        "milvus.yaml": configuration(template, folder=folder, ports=ports, s3=s3, secured=secured),
        "etcd.yaml": _etcd_configuration(ports),
        # The server exits without a word if this one is missing. Its C++ half logs warnings only.
        "glog.conf": "--logtostderr=true\n--minloglevel=1\n",
    }
    for name, text in texts.items():
        (configs / name).write_text(text, encoding="utf-8")


def _etcd_configuration(ports: Mapping[str, int]) -> str:
    """Return the text of the embedded etcd's own configuration: its ports, on loopback only."""
    client, peer = f"http://127.0.0.1:{ports['etcd']}", f"http://127.0.0.1:{ports['etcd_peer']}"
    return yaml.safe_dump(
        {
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "enable-grpc-gateway": True,  # for `validation.local.sessions`
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
