"""Real S3 servers for tests: MinIO, versitygw and moto, each on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from validation.common.cache import cache_folder, filling
from validation.common.progress import Progress
from validation.local import ports
from validation.target import SecretRef, Storage

ACCESS, SECRET = "kit-test-key", "kit-test-secret-key"
_KEYS = {"access_key": ACCESS, "secret_key": SECRET}
_VERSITYGW = "github.com/versity/versitygw/cmd/versitygw"
_VERSITYGW_VERSION = "v1.8.0"


def storage(endpoint: str, provider: str = "s3", **more) -> Storage:
    keys = {name: SecretRef(value=SecretStr(text)) for name, text in _KEYS.items()}
    document = {"provider": provider, "endpoint": endpoint, "bucket": "milvus"}
    return Storage.model_validate(document | keys | more)


def free_port() -> int:
    return ports.pick(["server"])["server"]


def minio_binary() -> str:
    found = sorted((cache_folder() / "toolchain").glob("minio-*/bin/minio"))
    path = str(found[-1]) if found else shutil.which("minio")
    if path is None:
        pytest.skip("missing tool: minio")
    return path


def versitygw_binary() -> str:
    """Build it from its published Go module if it is not there; about a minute, once."""
    folder = cache_folder() / "toolchain" / f"versitygw-{_VERSITYGW_VERSION[1:]}"
    binary = folder / "bin" / "versitygw"
    if binary.exists():
        return str(binary)
    go = shutil.which("go")
    if go is None:
        pytest.skip("missing tool: go, which builds versitygw")
    step = f"build versitygw {_VERSITYGW_VERSION} with Go (once, about a minute)"
    with Progress().step(step), filling(folder) as partial:
        if partial is not None:
            environment = {**os.environ, "GOBIN": str(partial / "bin"), "CGO_ENABLED": "0"}
            subprocess.run(
                [go, "install", "-trimpath", f"{_VERSITYGW}@{_VERSITYGW_VERSION}"],
                env=environment,
                check=True,
            )
    return str(binary)


@contextlib.contextmanager
def running(command, *, port, environment, log: Path, scheme="http", ready="", host="127.0.0.1"):
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        _await(f"{scheme}://{host}:{port}{ready}", process, log, healthy=bool(ready))
        yield f"{scheme}://{host}:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(120)


def _await(url: str, process: subprocess.Popen, log: Path, *, healthy: bool) -> None:
    context = ssl._create_unverified_context()
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=2, context=context)
        except urllib.error.HTTPError:
            if not healthy:  # any answer will do
                return
        except OSError:
            pass
        else:
            return
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)


@contextlib.contextmanager
def minio(
    folder: Path, *, certificates: Path | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[str]:
    port = port or free_port()
    command = [minio_binary(), "server", "--address", f"{host}:{port}"]
    if certificates is not None:
        command += ["--certs-dir", str(certificates)]
    with running(
        [*command, str(folder / "data")],
        port=port,
        host=host,
        environment={
            "MINIO_ROOT_USER": ACCESS,
            "MINIO_ROOT_PASSWORD": SECRET,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_DOMAIN": "s3.example",
            "HOME": str(folder),
        },
        log=folder / "minio.log",
        scheme="https" if certificates else "http",
        ready="/minio/health/cluster",  # its readiness probe answers 200 too early
    ) as endpoint:
        yield endpoint


@contextlib.contextmanager
def versitygw(folder: Path) -> Iterator[str]:
    port = free_port()
    data, iam = folder / "data", folder / "iam"
    data.mkdir()
    iam.mkdir()
    command = [versitygw_binary(), "--port", f"127.0.0.1:{port}", "--iam-dir", str(iam)]
    with running(
        [*command, "posix", str(data)],
        port=port,
        environment={"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET},
        log=folder / "versitygw.log",
    ) as endpoint:
        yield endpoint


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    pytest.importorskip("moto.server", reason="missing tool: moto[server]")
    port = free_port()
    with running(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        port=port,
        environment={},
        log=folder / "moto.log",
    ) as endpoint:
        yield endpoint
