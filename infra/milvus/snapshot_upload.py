"""Upload a snapshot of etcd and remove the oldest; runs in the CronJob, in the kit's image.

Names sort by time, so the newest is the last. Only objects that this program named are ever
removed, and only after the new one is known to be there in full.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

NAME = re.compile(r"etcd-\d{8}T\d{6}Z\.db$")


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload, verify, prune; the S3 key comes from the usual AWS variables."""
    options = _options(arguments)
    client = boto3.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region,
        verify=options.ca or True,
        config=Config(
            s3={"addressing_style": options.addressing},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 5, "mode": "standard"},
        ),
    )
    key = upload(client, options.bucket, options.prefix, options.file)
    removed = prune(client, options.bucket, options.prefix, options.keep)
    print(f"uploaded s3://{options.bucket}/{key}, removed {len(removed)}")  # noqa: T201  (the log)
    return 0


def upload(client: Any, bucket: str, prefix: str, file: Path) -> str:
    """Upload one snapshot and return its key.

    Raises:
        RuntimeError: The store reports another size than the file has.
    """
    now = dt.datetime.now(dt.UTC)
    key = f"{prefix}/etcd-{now:%Y%m%dT%H%M%SZ}.db"
    client.upload_file(str(file), bucket, key)
    stored = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
    size = file.stat().st_size
    if stored != size:
        raise RuntimeError(f"s3://{bucket}/{key}: {stored} bytes stored, {size} sent")
    return key


def prune(client: Any, bucket: str, prefix: str, keep: int) -> list[str]:
    """Remove all but the newest snapshots and return their keys."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    found = sorted(
        item["Key"]
        for page in pages
        for item in page.get("Contents", [])
        if NAME.search(item["Key"].removeprefix(f"{prefix}/"))
    )
    old = found[:-keep] if keep else []
    for key in old:
        client.delete_object(Bucket=bucket, Key=key)
    return old


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="snapshot_upload", description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    for name in ("endpoint", "region", "bucket", "prefix"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--addressing", choices=("path", "virtual"), default="path")
    parser.add_argument("--ca", help="file with the private CA")
    parser.add_argument("--keep", type=int, required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
