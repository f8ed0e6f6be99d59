"""An object damaged in the store after it was accepted: no checksum on the way sees that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from validation.drill.acts import Seen
from validation.errors import MeasurementError, MilvusKitError

if TYPE_CHECKING:  # these load a client of Milvus, which listing the faults does not need
    from validation.drill.bench import Bench
    from validation.drill.traffic import Traffic

_KIND = "index_files"
"""What Milvus 2.3 reads with the least care: a wrong bit in an insert log it notices, as a rule."""


@contextlib.contextmanager
def damaged_object(bench: Bench, traffic: Traffic) -> Iterator[Seen]:
    """Change one bit of the index file of ``static`` in the store, and in the end put it right.

    What was loaded of it meanwhile is taken out of memory then, so that recovery loads it anew.
    """
    seen, since = Seen(), len(bench.proxy.asked)
    client, bucket, key = _index_file(bench)
    good: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.put_object(Bucket=bucket, Key=key, Body=flipped(good))
    traffic.leave_static()  # what memory answers until it is released is not of the damaged file
    first = len(traffic.static.wrong)
    try:
        yield seen
        with contextlib.suppress(MilvusKitError):  # if it was not loaded, nothing is served
            traffic.static.ask_all()  # one bit shows in the answers to few queries
    finally:
        client.put_object(Bucket=bucket, Key=key, Body=good)
        traffic.leave_static()
        seen.served = slice(first, len(traffic.static.wrong))
        with contextlib.suppress(MilvusKitError):  # recovery shows what that leads to
            bench.release(bench.static)
        reads = [one for one in bench.proxy.asked[since:] if one.path.endswith(key)]
        seen.requests = sum(one.method == "GET" for one in reads)
        seen.evidence = {"object_damaged": key}


def _index_file(bench: Bench) -> tuple[Any, str, str]:
    """Return a client of the store itself, the bucket, and the key of the file."""
    from validation.s3.client.boto import connect  # noqa: PLC0415  (boto3 is slow to import)

    found = [one.key for one in bench.stored(bench.static)[1] if one.kind == _KIND]
    if not found:
        raise MeasurementError("Milvus keeps no index file of static in the store")
    return connect(bench.storage), bench.storage.bucket, found[0]


def flipped(body: bytes) -> bytes:
    """Return a body with one bit changed in the middle of it."""
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
