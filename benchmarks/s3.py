"""What the kit promises of itself on S3: exits with 1 where a promise is broken.

- The checks of a preflight take less than 45 s against MinIO on loopback.
- GET and PUT of 8 MiB with 16 requests under way, and GET of 64 KiB with 64, reach 0.95 of what a
  bare obstore loop reaches right before or after: the median of such pairs.
- Memory grows by no more than concurrency times `fast_client.PART`, and the one body that is
  written, for 8 MiB with 16 requests under way and 64 MiB with 4.

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

from validation.common.progress import Progress
from validation.local.minio import choose, end_container
from validation.local.ports import pick
from validation.s3.client.boto import connect
from validation.s3.preflight.run import preflight
from validation.s3.speed.fast_client import PART, fast_store
from validation.s3.speed.performance import Meter, Plan
from validation.s3.workspace import opened
from validation.target import SecretRef, Storage
from validation.verdicts.verdict import Outcome

CONFORMANCE_SECONDS = 45
RATIO = 0.95
CASES = (("GET", 8 << 20, 16, 256), ("PUT", 8 << 20, 16, 64), ("GET", 64 << 10, 64, 4_000))
ROUNDS = 10
"""Either is first in every other one: what else the host does weighs on both."""
MEMORY_CASES = ((8 << 20, 16), (64 << 20, 4))


def main(arguments: list[str]) -> int:
    """Measure all, or the memory of one case in a process of its own."""
    if arguments[:1] == ["memory"]:
        endpoint, bucket, size, concurrency = arguments[1:]
        print(_grown(_storage(endpoint, bucket), int(size), int(concurrency)))
        return 0
    if arguments:
        return _all(_storage(*arguments))
    with _minio() as storage:
        connect(storage).create_bucket(Bucket=storage.bucket)
        return _all(storage)


def _all(storage: Storage) -> int:
    kept = [_conformance(storage), _throughput(storage)]
    kept += [_memory(storage, size, concurrency) for size, concurrency in MEMORY_CASES]
    return 0 if all(kept) else 1


def _conformance(storage: Storage) -> bool:
    profile = preflight(storage)
    share = profile.seconds / CONFORMANCE_SECONDS
    counted = f"{len(profile.findings)} checks ({profile.verdict})"
    print(f"{counted}: {share:.2f} of {CONFORMANCE_SECONDS} s")
    return share <= 1 and profile.verdict is not Outcome.INCONCLUSIVE  # that would be a short cut


def _throughput(storage: Storage) -> bool:
    worst = 1.0
    with opened(storage) as space:
        meter, bare = Meter(space), fast_store(storage)
        for case in CASES:
            operation, size, concurrency, requests = case
            plan = Plan(requests=requests, seconds=60, memory=16 * size)
            meter.point("GET", size, concurrency, plan)  # writes the objects, warms both up
            keys = space.shared[f"stock {size}"]
            ours, reference = [], []
            for number in range(ROUNDS):
                for mine in (True, False) if number % 2 else (False, True):
                    if mine:
                        point = meter.point(operation, size, concurrency, plan)
                        ours.append(point.bytes_per_second)
                    else:
                        reference.append(asyncio.run(_bare(bare, keys, case)))
            ratio = statistics.median(a / b for a, b in zip(ours, reference, strict=True))
            worst = min(worst, ratio)
            print(
                f"{operation} {size >> 10} KiB at {concurrency}: ratio {ratio:.2f}, the median of"
                f" {ROUNDS} pairs: {statistics.median(ours) / 1e6:,.0f} MB/s, bare obstore"
                f" {statistics.median(reference) / 1e6:,.0f} MB/s"
            )
    return worst >= RATIO


def _memory(storage: Storage, size: int, concurrency: int) -> bool:
    """Compare the growth of a process of its own with what is promised."""
    case = ("memory", storage.endpoint, storage.bucket, str(size), str(concurrency))
    done = subprocess.run(
        [sys.executable, __file__, *case], check=True, stdout=subprocess.PIPE, text=True
    )
    grown, bound = int(done.stdout), concurrency * PART + size
    print(
        f"GET {size >> 20} MiB at {concurrency}: memory grows by {grown / 2**20:,.0f} MiB,"
        f" {grown / bound:.2f} of {concurrency} x {PART >> 20} MiB and one body"
    )
    return grown <= bound


def _grown(storage: Storage, size: int, concurrency: int) -> int:
    """Return by how many bytes this process grows at most when objects are written and read."""
    with opened(storage) as space:
        meter = Meter(space)
        meter.point("GET", 1, 1, Plan(requests=8))  # what is loaded with the first request
        before = _status("VmRSS")
        meter.point("GET", size, concurrency, Plan(requests=128, seconds=60, memory=16 * size))
        return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


async def _bare(store: S3Store, keys: list[str], case: tuple[str, int, int, int]) -> float:
    """Return bytes a second of the shortest loop there is."""
    operation, size, concurrency, requests = case
    numbers, body = iter(range(requests)), os.urandom(size if operation == "PUT" else 0)

    async def worker() -> None:
        for number in numbers:
            key = keys[number % len(keys)]
            if operation == "PUT":
                await obstore.put_async(store, f"{key} bare", body, use_multipart=False)
            else:
                await (await obstore.get_async(store, key)).bytes_async()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    seconds = time.perf_counter() - started
    if operation == "PUT":
        await obstore.delete_async(store, [f"{key} bare" for key in keys[:requests]])
    return requests * size / seconds


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
