"""The preflight against a real MinIO."""

from __future__ import annotations

import pytest
import s3_servers

from validation.s3.client import connect
from validation.s3.preflight import preflight
from validation.s3.workspace import Effort, Permissions
from validation.verdict import Outcome

FOREIGN = {"files/insert_log/1/2/3": b"a row", "other/thing": b"not ours"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with s3_servers.minio(tmp_path_factory.mktemp("minio")) as endpoint:
        storage = s3_servers.storage(endpoint, "minio")
        client = connect(storage)
        client.create_bucket(Bucket="milvus")
        for key, body in FOREIGN.items():
            client.put_object(Bucket="milvus", Key=key, Body=body)
        yield storage


@pytest.fixture(scope="module")
def profile(store):
    return preflight(store, permissions=Permissions(make_buckets=True), effort=Effort())


def objects(storage):
    client = connect(storage)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket)
    return {
        entry["Key"]: client.get_object(Bucket=storage.bucket, Key=entry["Key"])["Body"].read()
        for page in pages
        for entry in page.get("Contents", ())
    }


def test_minio_can_carry_milvus(profile):
    assert profile.verdict is Outcome.PASS, profile.reason
    assert [f.id for f in profile.findings if f.outcome is Outcome.FAIL] == []


def test_the_preflight_leaves_foreign_objects_and_nothing_else(store, profile):
    assert profile.leftovers == ()
    assert objects(store) == FOREIGN
    assert [b["Name"] for b in connect(store).list_buckets()["Buckets"]] == ["milvus"]
