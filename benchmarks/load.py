"""The load engine against the ways that it stands beside, each figure as a ratio in one run.

    python benchmarks/load.py [PAIRS]

- Client CPU a search, 8 under way: the engine's, the replies' checks included, to pymilvus's in 8
  threads and to prepared bytes over grpc.aio, on one embedded server. A B A B, medians of pairs.
- Searches a second on one client core, and send-time error at half of that, against a null server
  of grpc-go (`tests/null_server`, built if Go is here) on another core.
- Send-time error beside the embedded server, to that of a bare loop of sleeps at the same moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from validation.datasets.generated import generate
from validation.datasets.model import Dataset
from validation.load.arrivals import schedule
from validation.load.engine import Engine
from validation.load.loops import closed_loop, open_loop
from validation.load.plan import SEARCH, Plan, search_plan
from validation.load.record import Feed
from validation.local.stack import EmbeddedStack
from validation.milvus import loading
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import index_named
from validation.milvus.ownership import drop_ours
from validation.milvus.schema import VECTOR
from validation.milvus.wire import Endpoint

ROWS, DIM, QUERIES, EF, UNDER_WAY, PAIRS = 100_000, 128, 1_000, 64, 8, 3
SEARCHES, OFFERED, OFFERED_SECONDS, WANTED = 2_000, 500, 4, 15_000
NULL_SOURCE = Path(__file__).resolve().parent.parent / "tests" / "null_server"


def main() -> None:
    """Print every ratio."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    dataset, index = generate(ROWS, DIM, queries=QUERIES), index_named("HNSW", ROWS)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedStack(Path(folder) / "data") as stack,
        connect(stack.target) as connection,
    ):
        name = loading.load(connection, dataset, name="mk_bench", index=index, run="bench").name
        plan = search_plan(connection, name, dataset.queries.vectors, params={"ef": EF})
        try:
            with Engine(plan) as engine:
                reply = engine.run(Feed(np.arange(1))).replies[0]
            client_cpu(connection, name, dataset, plan, pairs)
            beside_the_server(plan, pairs)
        finally:
            drop_ours(connection, name)
    against_nothing(plan, reply, pairs)


def client_cpu(connection: Connection, name: str, dataset: Dataset, plan: Plan, pairs: int) -> None:
    """Compare what a search costs the client, and how many there are in a second."""
    vectors = dataset.queries.vectors
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "pymilvus, 8 threads": lambda: with_pymilvus(connection, name, vectors),
        "grpc.aio, 8 under way": lambda: asyncio.run(with_aio(plan)),
    }
    for other, ask in ways.items():
        found = [(with_engine(plan), ask()) for _ in range(pairs)]
        cpu = statistics.median(ours[0] / theirs[0] for ours, theirs in found)
        rate = statistics.median(ours[1] / theirs[1] for ours, theirs in found)
        ours, theirs = found[-1]
        print(
            f"engine / {other}: client CPU a search {cpu:.3f}, searches a second {rate:.2f} "
            f"({ours[0] * 1e6:.0f} / {theirs[0] * 1e6:.0f} us, {ours[1]:.0f} / {theirs[1]:.0f} /s)"
        )


def with_engine(plan: Plan) -> tuple[float, float]:
    """Search with the engine and return CPU seconds a search, checks included, and a rate."""
    began = time.process_time()
    samples = closed_loop(plan, n=SEARCHES, under_way=UNDER_WAY, warmup=100)
    assert not samples.failed.any(), samples.errors  # noqa: S101
    # This process's part (starting the worker, reading what it brought) counts too.
    cpu = time.process_time() - began + sum(use.cpu for use in samples.uses)
    return cpu / SEARCHES, samples.n / samples.seconds


def with_pymilvus(connection: Connection, name: str, vectors: np.ndarray) -> tuple[float, float]:
    """Search with pymilvus in threads."""

    def ask(number: int) -> None:
        found = connection.client.search(
            name,
            data=[vectors[number % len(vectors)]],
            anns_field=VECTOR,
            limit=10,
            search_params={"params": {"ef": EF}},
            consistency_level="Bounded",
        )
        assert len(found[0]) == 10  # noqa: S101, PLR2004

    with ThreadPoolExecutor(UNDER_WAY) as pool:
        list(pool.map(ask, range(100)))
        began, cpu = time.perf_counter(), time.process_time()
        list(pool.map(ask, range(SEARCHES)))
        return (time.process_time() - cpu) / SEARCHES, SEARCHES / (time.perf_counter() - began)


async def with_aio(plan: Plan) -> tuple[float, float]:
    """Send the same bytes over grpc.aio, the replies not looked at."""
    async with grpc.aio.insecure_channel(plan.endpoint.address) as channel:
        method: Any = channel.unary_unary(SEARCH)
        metadata, numbers = plan.endpoint.metadata(), iter(range(SEARCHES + 100))

        async def ask(until: int) -> None:
            for number in numbers:
                await method(plan.requests[number % len(plan.requests)], metadata=metadata)
                if number + UNDER_WAY >= until:
                    return

        await asyncio.gather(*(ask(100) for _ in range(UNDER_WAY)))
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(ask(SEARCHES + 200) for _ in range(UNDER_WAY)))
        return (time.process_time() - cpu) / SEARCHES, SEARCHES / (time.perf_counter() - began)


def beside_the_server(plan: Plan, pairs: int) -> None:
    """Compare how late requests are sent with how late a bare sleep ends, at the same moments."""
    ratios = []
    for at in range(pairs):
        ours = open_loop(plan, rate=OFFERED, seconds=OFFERED_SECONDS, seed=at).lag_ms
        bare = slept(schedule(OFFERED, OFFERED_SECONDS, seed=at), plan)
        p50, p99 = np.percentile(ours, (50, 99))
        ratios.append(p99 / np.percentile(bare, 99))
        print(f"  send-time error beside the server: p50 {p50:.3f} ms, p99 {p99:.3f} ms")
    print(f"engine / bare sleeps under the same load: p99 {statistics.median(ratios):.2f}")


def slept(due: np.ndarray, plan: Plan) -> np.ndarray:
    """Sleep until each moment while another process offers the same load; how late it ended, ms."""
    code = (
        "import ctypes, pickle, sys, time; ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)\n"
        "due, start, late = pickle.load(sys.stdin.buffer), time.monotonic() + 1.5, []\n"
        "for at in due:\n"
        "    time.sleep(max(0, start + at - time.monotonic()))\n"
        "    late.append((time.monotonic() - start - at) * 1e3)\n"
        "pickle.dump(late, sys.stdout.buffer)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(process.communicate, pickle.dumps(due.tolist()))
        open_loop(plan, rate=OFFERED, seconds=OFFERED_SECONDS + 2, seed=99)
        return np.array(pickle.loads(told.result()[0]))  # noqa: S301


def against_nothing(plan: Plan, reply: bytes, pairs: int) -> None:
    """Print what one client core can do where the server costs next to nothing."""
    if shutil.which("go") is None or len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004
        print("null server: not measured, it takes Go and two cores")
        return
    one, other, *_ = sorted(os.sched_getaffinity(0))
    with null_server(other, reply) as address:
        asked = dataclasses.replace(plan, endpoint=Endpoint("null server", address))
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {one})
        try:
            samples = [closed_loop(asked, n=30_000, under_way=32) for _ in range(pairs)]
            rate = statistics.median(one.n / one.seconds for one in samples)
            print(f"null server: {rate:.0f} /s on a core, of {WANTED:,}: {rate / WANTED:.2f}")
            late = open_loop(asked, rate=WANTED / 2, seconds=2).lag_ms
        finally:
            os.sched_setaffinity(0, before)
        p50, p99 = np.percentile(late, (50, 99))
        print(f"  at half of 15,000: send-time error p50 {p50:.3f} ms, p99 {p99:.3f} ms (of 0.3)")


@contextlib.contextmanager
def null_server(core: int, reply: bytes) -> Iterator[str]:
    """Yield the address of a server on one core that answers everything with the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source = shutil.copytree(NULL_SOURCE, Path(folder) / "source")
        program = Path(folder) / "null"
        subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
        process = subprocess.Popen(
            ["taskset", "-c", str(core), program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
            process.stdin.write(reply)
            process.stdin.close()
            yield process.stdout.readline().decode().strip()
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
