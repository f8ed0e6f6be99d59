"""A store whose certificate the stack's CA did not sign is refused by both of Milvus's S3 clients.

A real Milvus 2.3.5 runs with the files and variables of a pod, each at the pod's own path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from declaring import STANDALONE, changed, declare, shown
from real_milvus import bucket_of_moto, healthy, started, variables, wait_until_ready

from infra.secrets import x509
from tests.waiting import eventually
from validation.s3.faults.proxy import Certificate, FaultProxy

pytestmark = pytest.mark.slow
RIGHT, WRONG = "right", "wrong"


@pytest.fixture(scope="module")
def authorities():
    return {name: x509.authority(name) for name in (RIGHT, WRONG)}


@pytest.fixture(scope="module")
def store(authorities, tmp_path_factory):
    """The port of a store that speaks TLS alone."""
    folder = tmp_path_factory.mktemp("store")
    pair = x509.issue(authorities[RIGHT], "store", ["localhost", "127.0.0.1"], client=False)
    (folder / "tls.crt").write_text(pair.certificate, encoding="utf-8")
    (folder / "tls.key").write_text(pair.key, encoding="utf-8")
    certificate = Certificate(folder / "tls.crt", folder / "tls.key")
    with (
        bucket_of_moto() as (port, _),
        FaultProxy(f"http://127.0.0.1:{port}", certificate=certificate) as proxy,
    ):
        yield int(proxy.endpoint.rpartition(":")[2])


@contextlib.contextmanager
def pod(folder: Path, store: int, pem: dict[str, str]):
    """Start the server as its pod does; ``pem`` says which CA stands in a file that is mounted."""
    declared = declare(
        changed(
            STANDALONE,
            storage={
                "type": "s3",
                "endpoint": f"https://127.0.0.1:{store}",
                "ca": {"pem": pem["env"]},
                "credentials": {"config": {"accessKey": "s3AccessKey", "secretKey": "s3SecretKey"}},
            },
        )
    )
    for name, text in declared.one("ConfigMap", "milvus-standalone")["data"].items():
        (folder / name).write_text(text, encoding="utf-8")
    spec = shown(declared.workloads()["StatefulSet/milvus-standalone"])["spec"]
    container = spec["containers"][0]
    given = variables(container)
    (folder / "env.crt").write_text(pem["env"], encoding="utf-8")
    (folder / "system.crt").write_text(pem["system"], encoding="utf-8")
    places = [one["mountPath"] for one in container["volumeMounts"] if one.get("subPath")]
    mounts = [
        f"mount --bind {folder / 'system.crt'} {place}" for place in places if Path(place).exists()
    ]
    assert given["SSL_CERT_FILE"], mounts
    within = ["unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh"]
    environment = {"SSL_CERT_FILE": str(folder / "env.crt")}
    # The package's server reads milvus.yaml alone, so what the pod has beside it goes into it.
    user = yaml.safe_load((folder / "user.yaml").read_text(encoding="utf-8"))
    with started(
        folder, store, shipped=user, environment=environment, pod=given, within=within
    ) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _may_mount():
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs root, who may put a CA where a pod has it")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount")


def test_the_stacks_own_ca_is_enough_for_both_clients(store, authorities, tmp_path):
    pem = authorities[RIGHT].certificate
    with pod(tmp_path, store, {"env": pem, "system": pem}) as (process, ports):
        wait_until_ready(process, ports["METRICS"], tmp_path / "milvus.log")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        # Go also reads the folder of the system's CAs, so both places have to be wrong for it.
        (("env", "system"), "x509: certificate signed by unknown authority"),
        (("system",), "SSL peer certificate or SSH remote key was not OK"),
    ],
    ids=["go", "c++"],
)
def test_another_ca_is_refused(store, authorities, tmp_path, wrong, said):
    pem = {
        name: authorities[WRONG if name in wrong else RIGHT].certificate
        for name in ("env", "system")
    }
    log = tmp_path / "milvus.log"
    with pod(tmp_path, store, pem) as (process, ports):
        eventually(lambda: said in log.read_text(errors="replace"), seconds=120)
        assert process.poll() is not None or not healthy(ports["METRICS"])
