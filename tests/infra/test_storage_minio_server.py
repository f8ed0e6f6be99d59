"""Buckets, users and policies on a real MinIO, over TLS with a certificate of the kit's own CA."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from typing import Any

import boto3
import httpx
import pytest
import stamina
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.secrets import x509
from infra.storage import policy
from infra.storage.minio import key as minio_key
from infra.storage.minio.admin import Reply
from infra.storage.minio.resources import BucketProvider, UserProvider, admin
from tests.local.s3_servers import minio_binary
from validation.errors import CredentialsError, OwnershipError, UnreachableError

ROOT, ROOT_SECRET = "minio-root", "planted-root-secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    command = minio_binary()
    folder = tmp_path_factory.mktemp("minio")
    authority = x509.authority("test")
    leaf = x509.issue(authority, "minio", ["object-store.ns.svc", "127.0.0.1"], client=False)
    certificates = folder / "certs"
    certificates.mkdir()
    (certificates / "public.crt").write_text(leaf.certificate)
    (certificates / "private.key").write_text(leaf.key)
    (folder / "ca.crt").write_text(authority.certificate)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(command, "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"),
            *("--certs-dir", str(certificates)),
        ],
        env={
            **os.environ,
            "MINIO_ROOT_USER": ROOT,
            "MINIO_ROOT_PASSWORD": ROOT_SECRET,
            "MINIO_BROWSER": "off",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, folder / "ca.crt")
        yield {
            "address": f"127.0.0.1:{port}",
            "port": port,
            "server_name": "object-store.ns.svc",
            "ca_pem": authority.certificate,
            "ca_file": str(folder / "ca.crt"),
            "region": "us-east-1",
            "root_access_key": ROOT,
            "root_secret_key": ROOT_SECRET,
        }
    finally:
        process.terminate()
        process.wait(timeout=20)


@stamina.retry(on=httpx.TransportError, attempts=100, timeout=30, wait_initial=0.1, wait_max=0.5)
def _wait(port: int, ca: object) -> None:
    trusted = ssl.create_default_context(cafile=str(ca))
    httpx.get(f"https://127.0.0.1:{port}/minio/health/ready", verify=trusted).raise_for_status()


def s3(server, access_key, secret_key):
    return boto3.client(
        "s3",
        endpoint_url=f"https://127.0.0.1:{server['port']}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        verify=server["ca_file"],
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def user_props(server, bucket="milvus", **changes):
    props = {
        "access_key": "MILVUSACCESSKEY",
        "secret_key": "planted-milvus-secret",
        "policy_name": "milvus",
        "bucket": bucket,
        "policy": policy.for_bucket(bucket),
    }
    return server | props | changes


@pytest.fixture
def bucket(server):
    props = server | {"bucket": "milvus"}
    BucketProvider().create(props)
    return props


@pytest.fixture
def user(server, bucket):
    result = UserProvider().create(user_props(server, bucket["bucket"]))
    yield result.outs or {}
    UserProvider().delete("MILVUSACCESSKEY", user_props(server))


@pytest.fixture
def client(server, user):
    return s3(server, user["access_key"], user["secret_key"])


def test_bucket_is_made_once_and_found(bucket):
    BucketProvider().create(bucket)
    assert BucketProvider().read("milvus", bucket).id == "milvus"
    assert BucketProvider().read("other", bucket).id == ""


def test_milvus_key_can_do_what_milvus_does(client):
    client.head_bucket(Bucket="milvus")
    client.put_object(Bucket="milvus", Key="files/a", Body=b"x" * 10)
    client.put_object(Bucket="milvus", Key="files/b", Body=b"y", IfNoneMatch="*")
    got = client.get_object(Bucket="milvus", Key="files/a", Range="bytes=2-4")["Body"].read()
    assert got == b"xxx"
    assert client.list_objects_v2(Bucket="milvus", Prefix="files/")["KeyCount"] == 2
    upload = client.create_multipart_upload(Bucket="milvus", Key="files/c")["UploadId"]
    client.upload_part(Bucket="milvus", Key="files/c", UploadId=upload, PartNumber=1, Body=b"z")
    client.abort_multipart_upload(Bucket="milvus", Key="files/c", UploadId=upload)
    objects = [{"Key": "files/a"}, {"Key": "files/b"}]
    client.delete_objects(Bucket="milvus", Delete={"Objects": objects})
    assert client.list_objects_v2(Bucket="milvus")["KeyCount"] == 0


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("create_bucket", {"Bucket": "another"}),
        ("delete_bucket", {"Bucket": "milvus"}),
        ("get_object", {"Bucket": "foreign", "Key": "a"}),
        ("put_object", {"Bucket": "foreign", "Key": "b", "Body": b""}),
        ("list_objects_v2", {"Bucket": "foreign"}),
        (
            "put_bucket_versioning",
            {"Bucket": "milvus", "VersioningConfiguration": {"Status": "Enabled"}},
        ),
        ("put_bucket_policy", {"Bucket": "milvus", "Policy": "{}"}),
    ],
)
def test_milvus_key_can_do_nothing_else(server, client, call, arguments):
    admin(server).make_bucket("foreign")
    s3(server, ROOT, ROOT_SECRET).put_object(Bucket="foreign", Key="a", Body=b"")
    with pytest.raises(ClientError) as caught:
        getattr(client, call)(**arguments)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def _uploads(client: Any) -> list[Any]:
    """Return what is left of the upload that was tried: MinIO tells one only by its whole key."""
    key = f"{minio_key.PREFIX}/planted"
    return client.list_multipart_uploads(Bucket="milvus", Prefix=key).get("Uploads", [])


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("action", [*policy.BUCKET_ACTIONS, *policy.OBJECT_ACTIONS])
def test_key_whose_policy_lacks_an_action_is_refused_by_its_name(server, action, monkeypatch):
    monkeypatch.setattr(minio_key.secrets, "token_hex", lambda _: "planted")
    lacking = policy.for_bucket("milvus")
    for statement in lacking["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != action]
    with pytest.raises(CredentialsError, match=f"may not {action}\n|may not {action}$") as caught:
        UserProvider().create(user_props(server, policy=lacking))
    assert "bucket milvus, policy milvus" in str(caught.value)
    root = s3(server, ROOT, ROOT_SECRET)
    assert root.list_objects_v2(Bucket="milvus", Prefix=minio_key.PREFIX)["KeyCount"] == 0
    assert _uploads(root) == []


@pytest.mark.usefixtures("bucket")
def test_a_server_that_fails_while_a_key_is_tried_keeps_nothing_of_it(server, monkeypatch):
    monkeypatch.setattr(minio_key.secrets, "token_hex", lambda _: "planted")
    asked: list[Any] = []

    class Failing:
        def ask(self, *_: Any) -> Reply:
            asked.append(_uploads(root))
            return Reply(503, b"")

    root, failing = s3(server, ROOT, ROOT_SECRET), Failing()
    with pytest.raises(UnreachableError, match="503"):
        minio_key.require_usable(admin(server), failing, "milvus", "milvus")  # type: ignore[arg-type]
    assert len(asked[0]) == 1
    assert _uploads(root) == []
    assert root.list_objects_v2(Bucket="milvus", Prefix=minio_key.PREFIX)["KeyCount"] == 0


@pytest.mark.usefixtures("bucket")
def test_key_for_another_bucket_is_refused_with_everything_it_may_not(server):
    with pytest.raises(CredentialsError) as caught:
        UserProvider().create(user_props(server, policy=policy.for_bucket("foreign")))
    every = [*policy.BUCKET_ACTIONS, *policy.OBJECT_ACTIONS]
    assert [action for action in every if action not in str(caught.value)] == []


def test_milvus_key_is_no_administrator(server, user):
    as_milvus = admin(
        server | {"root_access_key": user["access_key"], "root_secret_key": user["secret_key"]}
    )
    with pytest.raises(CredentialsError):
        as_milvus.put_user("MALLORY", "mallory-secret", "milvus")


def test_bucket_with_objects_is_not_deleted(client, bucket):
    client.put_object(Bucket="milvus", Key="kept", Body=b"1")
    with pytest.raises(OwnershipError, match="not empty"):
        BucketProvider().delete("milvus", bucket)
    client.delete_object(Bucket="milvus", Key="kept")
    BucketProvider().delete("milvus", bucket)
    BucketProvider().delete("milvus", bucket)
    assert BucketProvider().read("milvus", bucket).id == ""
    BucketProvider().create(bucket)


def test_drift_of_policy_and_user_is_seen_and_put_right(server, user):
    provider, wanted = UserProvider(), user_props(server)
    found = provider.read("MILVUSACCESSKEY", user).outs or {}
    assert not provider.diff("MILVUSACCESSKEY", found, wanted).changes
    admin(server).put_policy("milvus", policy.for_bucket("foreign"))
    found = provider.read("MILVUSACCESSKEY", user).outs or {}
    assert provider.diff("MILVUSACCESSKEY", found, wanted).changes
    provider.update("MILVUSACCESSKEY", found, wanted)
    found = provider.read("MILVUSACCESSKEY", user).outs or {}
    assert not provider.diff("MILVUSACCESSKEY", found, wanted).changes


def test_user_deleted_outside_is_read_as_gone(server, user):
    admin(server).delete_user(user["access_key"])
    assert UserProvider().read("MILVUSACCESSKEY", user).id == ""


def test_rotated_key_replaces_the_old_one(server, user):
    news = user_props(server, secret_key="planted-newer-secret")
    assert UserProvider().diff("MILVUSACCESSKEY", user, news).changes
    UserProvider().update("MILVUSACCESSKEY", user, news)
    s3(server, "MILVUSACCESSKEY", "planted-newer-secret").head_bucket(Bucket="milvus")
    with pytest.raises(ClientError):
        s3(server, "MILVUSACCESSKEY", user["secret_key"]).head_bucket(Bucket="milvus")


def test_wrong_root_key_is_named_and_not_shown(server):
    with pytest.raises(CredentialsError, match="root key") as caught:
        admin(server | {"root_secret_key": "planted-wrong-secret"}).make_bucket("x-bucket")
    assert "planted-wrong-secret" not in str(caught.value)


def test_certificate_of_another_authority_is_refused(server):
    other = x509.authority("other").certificate
    with pytest.raises(UnreachableError, match="certificate"):
        admin(server | {"ca_pem": other}).has_bucket("milvus")


def test_certificate_for_another_name_is_refused(server):
    with pytest.raises(UnreachableError, match="certificate"):
        admin(server | {"server_name": "elsewhere.ns.svc"}).has_bucket("milvus")


def test_client_does_not_show_its_key(server):
    assert ROOT_SECRET not in repr(admin(server))
