"""GET throughput of the kit's meter beside a bare obstore loop, in the same run.

The promise: at least 0.9 of it, at 8 MiB with 16 requests under way and at 64 KiB with 64.
``python benchmarks/s3.py [ENDPOINT BUCKET]``; keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
Without arguments a MinIO of the kit's own is started on loopback.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import obstore
import stamina
from obstore.store import S3Store

from validation.local.minio import choose, end_container
from validation.local.ports import pick
from validation.progress import Progress
from validation.s3.client import connect
from validation.s3.fast_client import fast_store
from validation.s3.performance import Meter, Plan
from validation.s3.workspace import opened
from validation.target import SecretRef, Storage

CASES = ((8 << 20, 16, 256), (64 << 10, 64, 4_000))
ROUNDS = 6
"""Either is first in every other one: what else the host does weighs on both."""


def main(arguments: list[str]) -> int:
    """Measure both in turn and print the medians of their ratios."""
    if arguments:
        return _compare(_storage(*arguments))
    with _minio() as storage:
        connect(storage).create_bucket(Bucket=storage.bucket)
        return _compare(storage)


def _compare(storage: Storage) -> int:
    worst = 1.0
    with opened(storage) as space:
        meter, bare = Meter(space), fast_store(storage)
        for size, concurrency, requests in CASES:
            plan = Plan(requests=requests, seconds=60)
            meter.point("GET", size, concurrency, plan)  # writes the objects, warms both up
            keys = space.shared[f"stock {size}"]
            ours, reference = [], []
            for number in range(ROUNDS):
                for mine in (True, False) if number % 2 else (False, True):
                    if mine:
                        point = meter.point("GET", size, concurrency, plan)
                        ours.append(point.bytes_per_second)
                    else:
                        rate = asyncio.run(_bare(bare, keys, size, concurrency, requests))
                        reference.append(rate)
            ratio = statistics.median(a / b for a, b in zip(ours, reference, strict=True))
            worst = min(worst, ratio)
            print(
                f"GET {size >> 10} KiB at {concurrency}: {statistics.median(ours) / 1e6:,.0f} MB/s,"
                f" bare obstore {statistics.median(reference) / 1e6:,.0f} MB/s, ratio {ratio:.2f}"
            )
    return 0 if worst >= 0.9 else 1  # noqa: PLR2004  (the promise)


async def _bare(
    store: S3Store, keys: list[str], size: int, concurrency: int, requests: int
) -> float:
    """Return bytes a second of the shortest loop there is."""
    numbers = iter(range(requests))

    async def worker() -> None:
        for number in numbers:
            answer = await obstore.get_async(store, keys[number % len(keys)])
            await answer.bytes_async()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return requests * size / (time.perf_counter() - started)


def _storage(endpoint: str, bucket: str) -> Storage:
    return Storage(
        provider="s3",
        endpoint=endpoint,
        bucket=bucket,
        access_key=SecretRef(env="AWS_ACCESS_KEY_ID"),
        secret_key=SecretRef(env="AWS_SECRET_ACCESS_KEY"),
    )


@contextmanager
def _minio() -> Iterator[Storage]:
    """Run a MinIO of our own on loopback."""
    access, secret = "benchmark", secrets.token_hex(16)
    os.environ.update(AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret)
    with tempfile.TemporaryDirectory(prefix="milvus-kit-bench-") as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        server, port = choose(Progress(), folder), pick(("s3",))["s3"]
        if server.provider != "minio":
            sys.exit("no MinIO can be run here, and the speed of an emulator says nothing")
        environment = {**os.environ, **server.environment(access, secret)}
        endpoint = f"http://127.0.0.1:{port}"
        process = subprocess.Popen(
            server.command(folder, port),
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for attempt in stamina.retry_context(on=httpx.HTTPError, attempts=50, timeout=30):
                with attempt:
                    httpx.get(endpoint + server.health_path).raise_for_status()
            yield _storage(endpoint, "benchmark")
        finally:
            process.terminate()
            process.wait()
            end_container(server, port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
