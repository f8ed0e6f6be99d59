"""Writes and reads through pyarrow's S3 file system, which is aws-sdk-cpp; run by itself.

It prints one JSON document: what became of a file of one byte, and of one in several parts.
"""

from __future__ import annotations

import json
import os
import sys

from pyarrow import fs  # pyright: ignore[reportMissingImports]

_SIZES = {"byte": 1, "parts": 24 << 20}


def main(endpoint: str) -> None:
    """Write and read each file on the store at host:port."""
    store = fs.S3FileSystem(
        access_key=os.environ["STORE_ACCESS"],
        secret_key=os.environ["STORE_SECRET"],
        endpoint_override=endpoint,
        scheme="http",
        region="us-east-1",
    )
    seen = {name: _round_trip(store, f"milvus/arrow/{name}", size) for name, size in _SIZES.items()}
    sys.stdout.write(json.dumps(seen))


def _round_trip(store: fs.S3FileSystem, path: str, size: int) -> str:
    """Return what went wrong; empty if the file came back as it was written."""
    body = (bytes(range(256)) * (1 + size // 256))[:size]
    try:
        with store.open_output_stream(path) as stream:
            stream.write(body)
        with store.open_input_file(path) as stream:
            found = stream.read()
    except OSError as error:
        return str(error)[:300]
    return "" if found == body else f"{len(found)} bytes came back, and not those written"


if __name__ == "__main__":
    main(sys.argv[1])
