"""What is rendered for 2.3.5 is what a real server of that version reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from declaring import STANDALONE, changed, declare, shown
from pydantic import SecretStr
from pymilvus import DataType, MilvusClient, MilvusException
from real_milvus import bucket_of_moto, started, variables, wait_until_ready

from infra.secrets import x509
from validation.datasets.generated import generate
from validation.local.ports import pick
from validation.milvus import loading, ownership, reading
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.target import Auth, Milvus, SecretRef, Target, Tls

PASSWORD = "plantedRootPassword"
LONGEST_NAME = 20
LARGEST_DIMENSION = 64
SHIPPED = {"proxy": {"maxNameLength": LONGEST_NAME - 10, "maxDimension": LARGEST_DIMENSION}}
DOCUMENT = changed(
    STANDALONE,
    storage={"type": "minio", "tls": {"mode": "off"}},
    milvus={
        "auth": {"enabled": True},
        "tls": {"mode": "server"},
        "configuration": {
            "Proxy_MaxNameLength": LONGEST_NAME,
            "quotaAndLimits": {"dml": {"enabled": True, "insertRate": {"max": 0.1}}},
        },
    },
)


@pytest.fixture(scope="module")
def store():
    with bucket_of_moto() as running:
        yield running


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("milvus")
    ca = x509.authority("test")
    pair = x509.issue(ca, "localhost", ["localhost"], client=False)
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca.certificate}
    declared = declare(DOCUMENT)
    data = declared.one("ConfigMap", "milvus-standalone")["data"]
    spec = shown(declared.workloads()["StatefulSet/milvus-standalone"])["spec"]
    pod = variables(spec["containers"][0])
    for name, text in {**files, **data}.items():
        (folder / name).write_text(text, encoding="utf-8")
    tls = {
        "TLS_SERVERPEMPATH": str(folder / "tls.crt"),
        "TLS_SERVERKEYPATH": str(folder / "tls.key"),
        "TLS_CAPEMPATH": str(folder / "ca.crt"),
    }
    with started(folder, store[0], environment=tls, pod=pod, shipped=SHIPPED) as (process, ports):
        wait_until_ready(process, ports["METRICS"], folder / "milvus.log")
        yield f"https://localhost:{ports['PROXY']}", folder / "ca.crt"


def change(server, password: str) -> subprocess.CompletedProcess[str]:
    uri, ca = server
    command = [sys.executable, "-m", "infra.milvus.access.root_password_change"]
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


def connected(server) -> Any:
    change(server, PASSWORD)
    uri, ca = server
    return MilvusClient(
        uri=uri, user="root", password=PASSWORD, secure=True, server_pem_path=str(ca), timeout=60
    )


def test_what_the_image_ships_holds_beside_ours_which_wins_however_it_is_spelled(server):
    client = connected(server)
    client.create_collection("a" * LONGEST_NAME, dimension=4)
    with pytest.raises(MilvusException, match="name"):
        client.create_collection("a" * (LONGEST_NAME + 1), dimension=4)
    with pytest.raises(MilvusException, match="dimension"):
        client.create_collection("large", dimension=LARGEST_DIMENSION + 1)
    client.close()


def test_the_server_keeps_what_it_has_in_the_declared_bucket_and_path(server, store):
    client = connected(server)
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


def test_a_server_that_limits_inserts_gets_every_row_and_the_limit_is_kept_as_a_fact(server):
    change(server, PASSWORD)
    uri, ca = server
    milvus = Milvus(
        uri=uri,
        tls=Tls(mode="server", ca_file=ca),
        auth=Auth(user="root", password=SecretRef(value=SecretStr(PASSWORD))),
    )
    rows = generate(10_000, 16, queries=1)  # more than half a MB, in five inserts
    with connect(Target(name="limited", milvus=milvus)) as connection:
        loaded = loading.load(
            connection,
            rows,
            name="mk_limited",
            index=index_named("FLAT"),
            run="tests",
            batch_rows=2_000,
        )
        assert reading.count(connection, loaded.name) == len(rows.vectors)
        limited = connection.wire.limited["Insert"]
        ownership.drop_all_ours(connection, run="tests")
    assert limited.answers >= 1
    assert "rate limit" in limited.said
