"""Profiles of further implementations: they say where these really differ from MinIO."""

from __future__ import annotations

import subprocess

import pytest
import s3_servers

from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Effort, Permissions
from validation.target import SecretRef
from validation.verdicts.verdict import Outcome

pytestmark = pytest.mark.slow
LIGHT = Effort(
    listed_keys=40,
    page=15,
    large_bytes=2 << 20,
    racers=8,
    races=4,
    versioned_races=2,
    consistency_rounds=16,
    retention_seconds=2,
)


def profile_of(endpoint, provider, **more):
    storage = s3_servers.storage(endpoint, provider, **more)
    connect(s3_servers.storage(endpoint)).create_bucket(Bucket="milvus")
    return preflight(storage, permissions=Permissions(make_buckets=True), effort=LIGHT)


def broken(profile):
    return {one.id for one in profile.findings if one.outcome is Outcome.FAIL}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with s3_servers.versitygw(tmp_path_factory.mktemp("versitygw")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def versitygw(gateway):
    return profile_of(gateway, "s3")


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with s3_servers.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield profile_of(endpoint, "emulator")


@pytest.fixture(scope="module")
def minio(tmp_path_factory):
    with s3_servers.minio(tmp_path_factory.mktemp("minio")) as endpoint:
        yield profile_of(endpoint, "minio")


MINIO = {"objects.key-slashes", "multipart.repeated-completion"}
"""It refuses a//b as a name, and forgets an upload with its completion."""
VERSITYGW = {
    "objects.key-slashes",
    "objects.beside-folder",
    "integrity.content-encoding",
    "integrity.go-parts",
    "conditional.large-block",
}
"""Its keys are paths of a file system: a//b is a/b, and no file can bear a folder's name. It tells
readers that what it stored is aws-chunked, and takes minio-go's LF for part of a checksum."""
MOTO = {
    "access.anonymous",
    "access.unknown-key",
    "access.wrong-secret",
    "access.presigned-expired",
    "access.presigned-tampered",
    "addressing.clock-skew",
    "integrity.content-md5",
    "integrity.crc32",
    "integrity.crc32c",
    "integrity.crc64nvme",
    "integrity.sha1",
    "integrity.sha256",
    "integrity.signed-payload",
    "integrity.tampered-chunk",
    "integrity.wrong-trailer",
    "conditional.large-block",
}
MOTO_BY_CHANCE = {
    "conditional.race",
    "conditional.multipart-race",
    "conditional.mixed-race",
    "conditional.fence-race",
    "conditional.versioned",
    "consistency.list-after-write",
    "consistency.list-after-delete",
}
"""It locks nothing: now and then two writers win, and a listing under writes is answered 500."""


def test_each_profile_says_exactly_where_its_store_differs(minio, versitygw, moto):
    assert broken(minio) == MINIO
    assert broken(versitygw) == VERSITYGW
    assert broken(moto) - MOTO_BY_CHANCE == MOTO


def test_minio_and_versitygw_can_carry_milvus_and_its_log_and_moto_cannot(minio, versitygw, moto):
    profiles = (minio, versitygw, moto)
    verdicts = [(one.verdict, one.decisions.woodpecker) for one in profiles]
    assert verdicts == [(Outcome.PASS, "safe"), (Outcome.PASS, "safe"), (Outcome.FAIL, "unsafe")]
    assert moto.decisions.stack["milvus-kit:log"]["mode"] == "service"
    assert "integrity.signed-payload" in moto.decisions.wal.reason


def test_versitygw_is_strict_about_the_region(versitygw):
    assert versitygw.finding("addressing.region").evidence["strict"] is True


def test_versitygw_without_a_versioning_folder_is_said_to_have_none(versitygw):
    finding = versitygw.finding("conditional.versioned")
    assert finding.outcome is Outcome.NOT_MEASURED
    assert "VersioningNotConfigured" in finding.reason


def test_moto_refuses_a_conditional_write_on_an_existing_key(moto):
    for rule in ("detection", "multipart", "if-match", "fence", "after-delete"):
        assert moto.finding(f"conditional.{rule}").outcome is Outcome.PASS


def test_a_key_confined_to_its_bucket_is_told_from_one_that_is_not(gateway, versitygw):
    del versitygw  # it made the bucket
    tenant = Keys("tenant-key", "tenant-secret-key")
    binary = s3_servers.versitygw_binary()
    admin = [binary, "admin", "--access", s3_servers.ACCESS, "--secret", s3_servers.SECRET]
    admin += ["--endpoint-url", gateway]
    user = ["create-user", "--access", tenant.access, "--secret", tenant.secret, "--role", "user"]
    subprocess.run([*admin, *user], check=True, capture_output=True)
    root = connect(s3_servers.storage(gateway))
    root.create_bucket(Bucket="theirs")
    change = ["change-bucket-owner", "--bucket", "theirs", "--owner", tenant.access]
    subprocess.run([*admin, *change], check=True, capture_output=True)
    verdicts, everyone = {}, Keys(s3_servers.ACCESS, s3_servers.SECRET)
    for keys in (tenant, everyone):
        storage = s3_servers.storage(
            gateway,
            bucket="theirs",
            access_key=SecretRef.model_validate({"value": keys.access}),
            secret_key=SecretRef.model_validate({"value": keys.secret}),
        )
        permissions = Permissions(other_bucket="milvus", outsider=everyone)
        profile = preflight(storage, permissions=permissions, effort=LIGHT)
        verdicts[keys.access] = profile.finding("access.other-bucket").outcome
    assert verdicts == {tenant.access: Outcome.PASS, s3_servers.ACCESS: Outcome.FAIL}
