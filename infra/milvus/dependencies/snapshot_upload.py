"""Upload a snapshot of etcd and remove the old ones; runs in the CronJob, in the kit's image.

A name tells when its snapshot was taken. Only objects that this program named are ever removed,
and only after the new one is known to be there in full.
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

NAME = re.compile(r"etcd-(\d{8}T\d{6})Z\.db")
STAMP = "%Y%m%dT%H%M%S"


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload, verify, prune; the S3 key comes from the usual AWS variables."""
    options = _options(arguments)
    client = connect(options)
    key = upload(client, options.bucket, options.prefix, options.file)
    oldest = dt.datetime.now(dt.UTC) - dt.timedelta(hours=options.hours)
    removed = prune(client, options.bucket, options.prefix, oldest)
    print(f"uploaded s3://{options.bucket}/{key}, removed {len(removed)}")  # noqa: T201  (the log)
    return 0


def upload(client: Any, bucket: str, prefix: str, file: Path) -> str:
    """Upload one snapshot and return its key.

    Raises:
        RuntimeError: The store reports another size than the file has.
    """
    now = dt.datetime.now(dt.UTC)
    key = f"{prefix}/etcd-{now:{STAMP}}Z.db"
    client.upload_file(str(file), bucket, key)
    stored = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
    size = file.stat().st_size
    if stored != size:
        raise RuntimeError(f"s3://{bucket}/{key}: {stored} bytes stored, {size} sent")
    return key


def prune(client: Any, bucket: str, prefix: str, oldest: dt.datetime) -> list[str]:
    """Remove the snapshots that were taken earlier than that and return their keys."""
    old = [key for taken, key in snapshots(client, bucket, prefix) if taken < oldest]
    for key in old:
        client.delete_object(Bucket=bucket, Key=key)
    return old


def snapshots(client: Any, bucket: str, prefix: str) -> list[tuple[dt.datetime, str]]:
    """Return the snapshots, each with its time, the newest last."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return sorted(
        (taken, item["Key"])
        for page in pages
        for item in page.get("Contents", [])
        if (taken := _taken(item["Key"].removeprefix(f"{prefix}/")))
    )


def _taken(name: str) -> dt.datetime | None:
    match = NAME.fullmatch(name)
    return dt.datetime.strptime(match[1], STAMP).replace(tzinfo=dt.UTC) if match else None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("snapshot_upload", __doc__)
    parser.add_argument("--hours", type=int, required=True)
    return parser.parse_args(arguments)


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return what reads where the file and the store are."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--file", type=Path, required=True)
    for option in ("endpoint", "region", "bucket", "prefix"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--addressing", choices=("path", "virtual"), default="path")
    parser.add_argument("--ca", help="file with the private CA")
    return parser


def connect(options: argparse.Namespace) -> Any:
    """Return a client of the store."""
    return boto3.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region,
        verify=options.ca or True,
        config=Config(
            s3={"addressing_style": options.addressing},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 5, "mode": "standard"},
            proxies={},
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
