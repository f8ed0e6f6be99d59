"""Fetch the newest snapshot of etcd and make room for it; runs in a restore, in the kit's image.

What a member's volume holds already is moved aside, not removed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.milvus.dependencies.snapshot_upload import STAMP, connect, parser_of, snapshots


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch it; the S3 key comes from the usual AWS variables."""
    options = _options(arguments)
    client = connect(options)
    found = snapshots(client, options.bucket, options.prefix)
    if not found:
        print(f"s3://{options.bucket}/{options.prefix}/ holds no snapshot")  # noqa: T201  (the log)
        return 1
    taken, key = found[-1]
    client.download_file(options.bucket, key, str(options.file))
    print(f"fetched s3://{options.bucket}/{key}, of {taken.isoformat()}")  # noqa: T201  (the log)
    if options.data.exists():
        aside = options.data.with_name(f"before-{dt.datetime.now(dt.UTC):{STAMP}}Z")
        options.data.rename(aside)
        print(f"what was there is in {aside}")  # noqa: T201  (the log)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("snapshot_fetch", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the member's data")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
