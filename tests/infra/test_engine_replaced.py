"""What lives in a server's volume is put there again when the server is made anew."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pulumi
import pytest
from engine_stack import engine_stack

from infra.storage.minio import resources
from tests.infra.renewed_server import FolderBucketProvider, Server

# A program that an engine has given up leaves a coroutine of the SDK's behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).parents[2]


class Wanted:
    """What the program declares; the test changes it."""

    shape = "first"


def declare() -> None:
    server = Server(Wanted.shape)
    resources.MinioBucket(
        "bucket",
        {"server_uid": server.uid},
        "milvus",
        pulumi.ResourceOptions(depends_on=[server], deleted_with=server),
    )


def test_a_bucket_of_a_server_that_was_replaced_is_there_again(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "BucketProvider", FolderBucketProvider)
    environment, folder = engine
    here = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "infra")])
    more = {"MILVUS_KIT_RENEWED": str(tmp_path), "PYTHONPATH": here}
    stack = engine_stack("renewed", declare, environment | more, folder)
    stack.up()
    assert [path.name for path in tmp_path.iterdir()] == ["milvus"]
    Wanted.shape = "second"
    stack.up()
    assert [path.name for path in tmp_path.iterdir()] == ["milvus"]
    assert set((stack.up().summary.resource_changes or {}).keys()) == {"same"}
    stack.destroy()  # where the provider's delete would fail
    gc.collect()
