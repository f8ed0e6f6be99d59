"""A real Milvus 2.3.5 on this host that reads what is rendered for its pods."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml

from infra.milvus.roles.keys import as_read, merged
from tests.shipped import files, milvus_yaml
from validation.errors import MissingToolError
from validation.local import milvus
from validation.local.ports import pick

_ROLES = ("ROOTCOORD", "QUERYCOORD", "DATACOORD", "INDEXNODE", "DATANODE", "QUERYNODE")


@contextlib.contextmanager
def bucket_of_moto() -> Iterator[tuple[int, Any]]:
    """Yield the port of a store with the bucket ``milvus``, and a client of it."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="milvus")
    try:
        yield port, client
    finally:
        running.stop()


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a container that have plain values."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


@contextlib.contextmanager
def started(
    folder: Path,
    store_port: int,
    *,
    environment: Mapping[str, str] | None = None,
    pod: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
    shipped: Mapping[str, Any] | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    """Yield a standalone with embedded etcd that has been started, and its ports.

    Args:
        folder: With its user.yaml, beside which the file is put that the package ships. Only
            places differ from a pod: addresses, ports and paths.
        store_port: Of the object store, on 127.0.0.1.
        environment: More of it.
        pod: The variables of its pod, of which those stay that name no place.
        within: A command that runs the server's command.
        shipped: What is different in the file that the package ships.
    """
    try:
        binaries = milvus.unpacked() / "bin"
    except MissingToolError:
        pytest.skip("the milvus package is not installed, or not for this platform")
    ports = pick(("PROXY", "INTERNAL", "METRICS", "ETCD", "PEER", *_ROLES))
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("ETCD", "PEER"))
    embedded = {
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
    }
    template = binaries.parent / "config.yaml.template"
    for name, text in files(template).items():
        (folder / name).write_text(text, encoding="utf-8")
    if shipped:
        changed = merged(milvus_yaml(template), shipped)
        (folder / "milvus.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    (folder / "etcd.yaml").write_text(yaml.safe_dump(embedded), encoding="utf-8")
    env = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(binaries),
        "MILVUSCONF": str(folder),
        "MINIO_ADDRESS": "127.0.0.1",
        "MINIO_PORT": str(store_port),
        "MINIO_ACCESS_KEY_ID": "key",
        "MINIO_SECRET_ACCESS_KEY": "secret",
        "ETCD_USE_EMBED": "true",
        "ETCD_DATA_DIR": str(folder / "etcd"),
        "ETCD_CONFIG_PATH": str(folder / "etcd.yaml"),
        "ETCD_ENDPOINTS": f"127.0.0.1:{ports['ETCD']}",
        "LOCALSTORAGE_PATH": str(folder / "local"),
        "ROCKSMQ_PATH": str(folder / "rocksmq"),
        "METRICS_PORT": str(ports["METRICS"]),
        "PROXY_PORT": str(ports["PROXY"]),
        "PROXY_INTERNALPORT": str(ports["INTERNAL"]),
        **{f"{role}_PORT": str(ports[role]) for role in _ROLES},
        **(environment or {}),
    }
    mine = {as_read(name) for name in env}
    env |= {name: value for name, value in (pod or {}).items() if as_read(name) not in mine}
    (folder / "logs").mkdir()
    with (folder / "milvus.log").open("wb") as log:
        process = subprocess.Popen(
            [*within, str(binaries / "milvus"), "run", "standalone"],
            env=env,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, ports
    finally:
        process.kill()  # a 2.3.5 with open connections takes a minute to stop by itself
        process.wait(120)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if healthy(port):
            return
        time.sleep(0.2)
    pytest.fail(f"Milvus did not get ready: {log.read_text(encoding='utf-8')[-2000:]}")


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
