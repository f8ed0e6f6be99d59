"""minio-go, Milvus's and Woodpecker's client, where it sends more than Woodpecker's log does."""

from __future__ import annotations

import contextlib
from pathlib import Path

import botocore.exceptions as boto
from pydantic import BaseModel, ConfigDict

from tests.stores.log_owners import Owner
from validation.s3.client.boto import connect
from validation.target import Storage


class GoRun(BaseModel):
    """What became of bodies that minio-go writes in parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overwrote: bool
    """Whether 40 MiB, on condition that the key is absent, took the place of what was there."""
    condition: str
    """How such a write was answered; empty if it succeeded."""
    trailers: str
    """What went wrong with parts that have checksums in trailers; empty if nothing."""


def run_go(storage: Storage, folder: Path) -> GoRun:
    """Let it write on a store whose bucket is there."""
    s3, key, trailed = connect(storage), "go/another's", "go/trailed"

    def read(name: str) -> bytes | None:
        with contextlib.suppress(boto.ClientError, boto.BotoCoreError):
            return s3.get_object(Bucket=storage.bucket, Key=name)["Body"].read()
        return None

    with contextlib.suppress(boto.ClientError, boto.BotoCoreError):
        s3.put_object(Bucket=storage.bucket, Key=key, Body=b"another's")
    client = Owner("go", storage, "", folder)
    try:
        condition = client.ask("overwrite", key=key).get("error", "")
        trailers = client.ask("trail", key=trailed).get("error", "")
    finally:
        client.close()
    overwrote = read(key) not in {None, b"another's"}
    if not trailers and read(trailed) != b"0123456789abcde\n" * ((40 << 20) // 16):
        trailers = "what was stored is not what was written"
    return GoRun(overwrote=overwrote, condition=condition, trailers=trailers)
