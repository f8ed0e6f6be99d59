"""A store that is made anew with nothing in it, in the plugin's own process: it is a folder.

The folder is named by MILVUS_KIT_RENEWED; what is in it are the buckets.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource

from infra.provider import Provider
from infra.storage.minio import resources
from infra.storage.minio.resources import BucketProvider


def folder() -> Path:
    return Path(os.environ["MILVUS_KIT_RENEWED"])


class ServerProvider(Provider):
    """A StatefulSet whose volume goes with it."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        for bucket in folder().iterdir():
            bucket.rmdir()
        return CreateResult("server", {**props, "uid": secrets.token_hex(4)})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        other = olds["shape"] != news["shape"]
        return DiffResult(
            changes=other, replaces=["shape"] if other else [], delete_before_replace=True
        )


class Server(Resource, name="RenewedServer"):
    uid: pulumi.Output[str]

    def __init__(self, shape: str) -> None:
        super().__init__(ServerProvider(), "server", {"shape": shape, "uid": None})


class _Admin:
    def make_bucket(self, bucket: str) -> None:
        (folder() / bucket).mkdir(exist_ok=True)


class FolderBucketProvider(BucketProvider):
    """Makes a bucket in the folder."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        _stand_in()
        return super().create(props)

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> Any:
        _stand_in()
        return super().update(id_, olds, news)

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        raise AssertionError(f"{id_} goes with its server; {len(props)} properties")


def _stand_in() -> None:
    setattr(resources, "admin", lambda _props: _Admin())  # noqa: B010  (its type is another)
