"""What the drill does to certificates and keys is done for real, and what does not bite is told."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import botocore.exceptions as boto
import pytest
import s3_servers

from tests.waiting import eventually
from validation.drill.acts import expired_certificate, removed_key
from validation.drill.certificates import Certificates
from validation.drill.keys import KeyRing
from validation.errors import MeasurementError, UnsupportedError
from validation.local import minio, servers, state, trust
from validation.local.process import Owner
from validation.s3.client.boto import connect
from validation.s3.faults.proxy import FaultProxy
from validation.target import SecretRef, Tls

NO_TRAFFIC: Any = None


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A MinIO as the embedded stack starts it, without a Milvus."""
    folder = tmp_path_factory.mktemp("stack")
    server = minio.S3Server("cache", "minio", s3_servers.minio_binary())
    found = state.State(
        name="drill",
        server=folder,
        version="",
        ports={"s3": s3_servers.free_port()},
        s3=server,
        owner=Owner.this_process(),
    )
    found = servers.start_s3(folder, found, server)
    access, secret = state.key_files(folder)
    storage = s3_servers.storage(
        f"http://127.0.0.1:{found.ports['s3']}",
        "minio",
        access_key=SecretRef(file=access),
        secret_key=SecretRef(file=secret),
    )
    yield SimpleNamespace(folder=folder, target=SimpleNamespace(storage=storage), storage=storage)
    servers.process.stop(found.servers["s3"])


@pytest.fixture
def certificates(tmp_path):
    if trust.why_not(trust.SYSTEM_FILE):
        pytest.skip("missing tool: mount namespaces")
    return Certificates(tmp_path / "tls")


@pytest.fixture
def bench(stack, certificates):
    keys = KeyRing(stack)
    with FaultProxy(stack.storage.endpoint, certificate=certificates.sign()) as proxy:
        own = SimpleNamespace(certificates=certificates, keys=keys, key=keys.make(), proxy=proxy)
        yield SimpleNamespace(own=own, proxy=proxy)


def client_of(stack, bench, ca_file):
    key = bench.own.key
    changes = {
        "endpoint": bench.proxy.endpoint,
        "tls": Tls(mode="server", ca_file=ca_file),
        "access_key": SecretRef(file=key.access),
        "secret_key": SecretRef(file=key.secret),
    }
    return connect(stack.storage.model_copy(update=changes))


def test_an_expired_certificate_is_refused_and_its_renewal_is_accepted(stack, bench, certificates):
    client = client_of(stack, bench, certificates.trusted)
    client.head_bucket(Bucket="milvus")
    with expired_certificate(bench, NO_TRAFFIC) as seen:
        with pytest.raises(boto.SSLError, match="expired"):
            client.head_bucket(Bucket="milvus")
        eventually(lambda: bench.proxy.script.refused.total() == 1)
    client.head_bucket(Bucket="milvus")
    assert seen.requests == 1
    assert seen.evidence == {"handshakes_refused_by_milvus": {"certificate expired": 1}}


def test_a_certificate_that_has_not_expired_is_met_by_nobody(stack, bench, certificates):
    sign = certificates.sign
    certificates.sign = lambda **_: sign()
    client = client_of(stack, bench, certificates.trusted)
    with expired_certificate(bench, NO_TRAFFIC) as seen:
        client.head_bucket(Bucket="milvus")
    assert seen.requests == 0


def test_a_certificate_that_is_refused_for_another_reason_was_not_met(stack, bench, tmp_path):
    client = client_of(stack, bench, Certificates(tmp_path / "another").trusted)
    with expired_certificate(bench, NO_TRAFFIC) as seen:
        with pytest.raises(boto.SSLError, match=r"self-signed|unable to get local issuer"):
            client.head_bucket(Bucket="milvus")
        eventually(lambda: bench.proxy.script.refused.total() == 1)
    assert seen.requests == 0
    assert seen.evidence == {"handshakes_refused_by_milvus": {"unknown ca": 1}}


def test_a_removed_key_is_refused_by_the_store_itself_until_it_is_put_back(
    stack, bench, certificates
):
    client = client_of(stack, bench, certificates.trusted)
    client.put_object(Bucket="milvus", Key="ours", Body=b"x")
    with removed_key(bench, NO_TRAFFIC) as seen:
        with pytest.raises(boto.ClientError, match="InvalidAccessKeyId"):
            client.get_object(Bucket="milvus", Key="ours")
        assert seen.requests == 0  # not before it is over
    assert client.get_object(Bucket="milvus", Key="ours")["Body"].read() == b"x"
    assert seen.requests == 1


def test_a_key_that_is_not_really_removed_proves_nothing(bench, monkeypatch):
    monkeypatch.setattr(bench.own.keys, "remove", lambda _: None)
    with (
        pytest.raises(MeasurementError, match="still accepts"),
        removed_key(bench, NO_TRAFFIC),
    ):
        pass


def test_an_emulator_has_no_keys_to_take_away(stack):
    emulated = stack.storage.model_copy(update={"provider": "emulator"})
    without: Any = SimpleNamespace(target=SimpleNamespace(storage=emulated))
    with pytest.raises(UnsupportedError, match="emulator"):
        KeyRing(without)


def test_a_server_trusts_the_drill_s_ca_and_the_host_does_not(certificates):
    command = [*trust.within(certificates.trusted), "cat", str(trust.SYSTEM_FILE)]
    inside = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    outside = trust.SYSTEM_FILE.read_text(encoding="utf-8")
    assert inside == certificates.trusted.read_text(encoding="utf-8")
    assert inside.startswith(outside.rstrip())
    assert len(inside) > len(outside)


def test_a_host_that_permits_no_mount_namespace_says_so(tmp_path, monkeypatch):
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UnsupportedError, match=r"not permitted here.*Operation not permitted"):
        Certificates(tmp_path / "tls")


def test_a_host_without_a_file_of_certificates_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "SYSTEM_FILE", tmp_path / "none.crt")
    with pytest.raises(UnsupportedError, match="there is no"):
        Certificates(tmp_path / "tls")
