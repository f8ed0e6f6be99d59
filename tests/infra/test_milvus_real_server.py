"""What is rendered for 2.3.5 is what a real server of that version reads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml
from declaring import STANDALONE, changed, declare
from pymilvus import DataType, MilvusClient

from infra.secrets import x509
from validation.errors import MissingToolError
from validation.local import milvus
from validation.local.ports import pick

PASSWORD = "plantedRootPassword"
ROLES = ("ROOTCOORD", "QUERYCOORD", "DATACOORD", "INDEXNODE", "DATANODE", "QUERYNODE")
DOCUMENT = changed(
    STANDALONE,
    storage={"type": "minio", "tls": {"mode": "off"}},
    milvus={"auth": {"enabled": True}, "tls": {"mode": "server"}},
)


@pytest.fixture(scope="module")
def store():
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
    yield port, client
    running.stop()


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    try:
        binaries = milvus.unpacked() / "bin"
    except MissingToolError:
        pytest.skip("the milvus package is not installed, or not for this platform")
    folder = tmp_path_factory.mktemp("milvus")
    ca = x509.authority("test")
    pair = x509.issue(ca, "localhost", ["localhost"], client=False)
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca.certificate}
    data = declare(DOCUMENT).one("ConfigMap", "milvus-standalone")["data"]
    for name, text in {**files, **data}.items():
        (folder / name).write_text(text, encoding="utf-8")
    ports = pick(("PROXY", "INTERNAL", "METRICS", "ETCD", "PEER", *ROLES))
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("ETCD", "PEER"))
    embedded = {
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
    }
    (folder / "etcd.yaml").write_text(yaml.safe_dump(embedded), encoding="utf-8")
    # Only places differ from a pod: addresses, ports and paths.
    env = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(binaries),
        "MILVUSCONF": str(folder),
        "MINIO_ADDRESS": "127.0.0.1",
        "MINIO_PORT": str(store[0]),
        "MINIO_ACCESS_KEY_ID": "key",
        "MINIO_SECRET_ACCESS_KEY": "secret",
        "ETCD_USE_EMBED": "true",
        "ETCD_DATA_DIR": str(folder / "etcd"),
        "ETCD_CONFIG_PATH": str(folder / "etcd.yaml"),
        "ETCD_ENDPOINTS": f"127.0.0.1:{ports['ETCD']}",
        "LOCALSTORAGE_PATH": str(folder / "local"),
        "ROCKSMQ_PATH": str(folder / "rocksmq"),
        "TLS_SERVERPEMPATH": str(folder / "tls.crt"),
        "TLS_SERVERKEYPATH": str(folder / "tls.key"),
        "TLS_CAPEMPATH": str(folder / "ca.crt"),
        "METRICS_PORT": str(ports["METRICS"]),
        "PROXY_PORT": str(ports["PROXY"]),
        "PROXY_INTERNALPORT": str(ports["INTERNAL"]),
        **{f"{role}_PORT": str(ports[role]) for role in ROLES},
    }
    (folder / "logs").mkdir()
    with (folder / "milvus.log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "milvus", "run", "standalone"],
            env=env,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_ready(process, ports["METRICS"], folder / "milvus.log")
        yield f"https://localhost:{ports['PROXY']}", folder / "ca.crt"
    finally:
        process.kill()  # a 2.3.5 with open connections takes a minute to stop by itself
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"Milvus did not get ready: {log.read_text(encoding='utf-8')[-2000:]}")


def change(server, password: str) -> subprocess.CompletedProcess[str]:
    uri, ca = server
    command = [sys.executable, "-m", "infra.milvus.root_password_change"]
    return subprocess.run(
        [*command, f"--uri={uri}", f"--ca={ca}"],
        env={**os.environ, "MILVUS_ROOT_PASSWORD": password},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_root_gets_its_own_password_once_and_a_second_run_changes_nothing(server):
    first, second = change(server, PASSWORD), change(server, PASSWORD)
    assert (first.returncode, first.stdout.strip()) == (0, "root has its own password now")
    assert (second.returncode, second.stdout.strip()) == (
        0,
        "root has its own password already",
    )
    third = change(server, "anotherPassword")
    assert third.returncode == 1
    assert "neither" in third.stderr
    for done in (first, second, third):
        assert PASSWORD not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_no_wrong_password(server):
    done = change((f"https://localhost:{pick(['nobody'])['nobody']}", server[1]), PASSWORD)
    assert done.returncode == 1
    assert "neither" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_keeps_what_it_has_in_the_declared_bucket_and_path(server, store):
    change(server, PASSWORD)
    uri, ca = server
    client: Any = MilvusClient(
        uri=uri, user="root", password=PASSWORD, secure=True, server_pem_path=str(ca), timeout=60
    )
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    client.create_collection("kept", schema=schema)
    client.insert("kept", [{"id": n, "vector": [n, 0.0, 0.0, 0.0]} for n in range(10)])
    client.flush("kept")
    client.close()
    keys = [item["Key"] for item in store[1].list_objects_v2(Bucket="milvus")["Contents"]]
    assert any(key.startswith("files/insert_log/") for key in keys)
    assert all(key.startswith("files/") for key in keys)
