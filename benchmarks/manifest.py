"""How long a manifest takes beside a bare pymilvus query iterator over the same rows, in turn.

    python benchmarks/manifest.py [ROWS] [DIM] [REPEATS]

Starts an embedded stack. Prints the seconds of every repeat, the ratio of the medians (1.2 is
promised; below 1 the manifest is the faster one), and the most memory that making one took.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from validation.common.progress import Progress
from validation.datasets.generated import generate
from validation.local.stack import EmbeddedStack
from validation.milvus import loading
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.target import load
from validation.upgrade import making

NAME, BATCH = "mk_bench_manifest", 16_384
_MEMORY = "most memory of the process: "


def main(rows: int = 200_000, dim: int = 128, repeats: int = 3) -> None:
    """Measure on a stack of its own and print."""
    with (
        tempfile.TemporaryDirectory(prefix="milvus-kit-bench-") as folder,
        EmbeddedStack(Path(folder) / "stack") as stack,
    ):
        with connect(stack.target) as connection:
            dataset = generate(rows, dim, queries=1)
            loading.load(connection, dataset, name=NAME, index=index_named("FLAT"), run="bench")
        del dataset
        file = str(stack.status().target_file)
        print(f"{rows:,} x {dim} and scalars; seconds of each repeat")
        seconds: dict[str, list[float]] = {"manifest": [], "iterator": []}
        for repeat in range(repeats + 1):
            for name in (*seconds,) if repeat % 2 else (*reversed(seconds),):
                done = subprocess.run(
                    [sys.executable, __file__, name, file, f"{folder}/{repeat}"],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                taken, memory = done.stdout.split()
                if repeat:  # the first of each only warms up
                    seconds[name].append(float(taken))
                    print(f"  {name}: {float(taken):.2f} s, {_MEMORY}{int(memory) >> 10} MiB")
    ratio = statistics.median(seconds["manifest"]) / statistics.median(seconds["iterator"])
    print(f"time relative to a bare pymilvus query iterator: {ratio:.2f}")


def measure(what: str, target: str, folder: str) -> None:
    """Read every row in one of the two ways; print its seconds and this process's memory in KiB."""
    with connect(load(Path(target))) as connection:
        started = time.perf_counter()
        if what == "manifest":
            making.make(connection, Path(folder), Progress(quiet=True))
        else:
            pages = connection.client.query_iterator(NAME, batch_size=BATCH, output_fields=["*"])
            while pages.next():
                pass
        taken = time.perf_counter() - started
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (memory,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    print(taken, memory)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        measure(*sys.argv[1:4])
    else:
        main(*(int(number) for number in sys.argv[1:4]))
