"""How often a client voids its own measurement: starved by busy loops, and left alone.

    python benchmarks/starved_client.py [RUNS]

Beside the embedded server, which shares the host's cores. On a quiet host of two cores it has to
be RUNS of RUNS with six busy loops on the client's core, and 0 of RUNS without.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from validation.datasets.generated import generate
from validation.load.loops import open_loop, serial
from validation.load.plan import Plan, search_plan
from validation.load.samples import Samples
from validation.local.stack import EmbeddedStack
from validation.milvus import loading
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.milvus.ownership import drop_ours
from validation.selftest.held_up import LOOPS, busy_loops

ROWS, DIM, RUNS = 20_000, 128, 20


def main() -> None:
    """Print both counts, and the shares of p50 and p99 that were the client's own."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedStack(Path(folder) / "data") as stack,
        prepared(stack) as plan,
    ):
        for name, core in (("left alone", None), (f"{LOOPS} busy loops", 0)):
            for loop in (one_after_the_other, at_a_rate):
                found = []
                for _ in range(runs):
                    with busy_loops(core) if core is not None else contextlib.nullcontext():
                        found.append(loop(plan))
                print(f"{name}, {loop.__name__}: {told(found)}")


def one_after_the_other(plan: Plan) -> Samples:
    """Search as the check of serial latency does."""
    return serial(plan, n=400, warmup=20)


def at_a_rate(plan: Plan) -> Samples:
    """Search as the check of latency at the offered rate does."""
    return open_loop(plan, rate=100, seconds=5, warmup=20)


def told(found: list[Samples]) -> str:
    """Return how many runs were void, and the range of the client's own shares."""
    void = sum(samples.void is not None for samples in found)
    parts = [f"void {void} of {len(found)}"]
    for quantile in ("p50", "p99"):
        shares = [one.evidence().get(f"client_share_of_{quantile}", float("nan")) for one in found]
        parts.append(f"own share of {quantile} {min(shares):.2f} to {max(shares):.2f}")
    return "; ".join(parts)


@contextlib.contextmanager
def prepared(stack: EmbeddedStack) -> Iterator[Plan]:
    """Yield searches in a loaded collection."""
    dataset, index = generate(ROWS, DIM, queries=400), index_named("HNSW", ROWS)
    with connect(stack.target) as connection:
        name = loading.load(connection, dataset, name="mk_starved", index=index, run="bench").name
        yield search_plan(connection, name, dataset.queries.vectors, params=index.search)
        drop_ours(connection, name)


if __name__ == "__main__":
    main()
