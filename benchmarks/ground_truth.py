"""How fast the exact ground truth is beside faiss's IndexFlat: same process, same cores, in turn.

    python benchmarks/ground_truth.py [ROWS] [DIM] [QUERIES]

Prints the seconds of every repeat and the ratio of the medians; 1 means as fast, 2 twice as fast.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np

from validation.common.host import cores
from validation.datasets.generated import generate
from validation.datasets.ground_truth import exact
from validation.datasets.nearest import unit

REPEATS = 7
K = 10


def main(rows: int = 100_000, dim: int = 128, queries: int = 1_000) -> None:
    """Measure and print."""
    faiss.omp_set_num_threads(cores())
    dataset = generate(rows, dim, queries=queries)
    asked = dataset.queries.vectors
    print(
        f"{rows:,} x {dim}, {queries:,} queries, k = {K}, {cores()} cores; seconds of each repeat"
    )
    for metric in ("L2", "IP", "COSINE"):
        index = faiss.IndexFlatL2(dim) if metric == "L2" else faiss.IndexFlatIP(dim)
        # faiss has no cosine: it gets vectors of length 1, which is not counted against it.
        index.add(unit(dataset.vectors) if metric == "COSINE" else dataset.vectors)
        wanted = unit(asked) if metric == "COSINE" else asked
        both: dict[str, Callable[[], object]] = {
            "kit": lambda metric=metric: exact(dataset.vectors, asked, K, metric),
            "faiss": lambda index=index, wanted=wanted: index.search(wanted, K),
        }
        seconds: dict[str, list[float]] = {name: [] for name in both}
        for name, measured in both.items():
            measured()  # warm
            seconds[name].clear()
        for _ in range(REPEATS):
            for name, measured in both.items():
                started = time.perf_counter()
                measured()
                seconds[name].append(time.perf_counter() - started)
        for name, taken in seconds.items():
            print(f"{metric:6} {name:6}", " ".join(f"{second:.3f}" for second in taken))
        ratio = statistics.median(seconds["faiss"]) / statistics.median(seconds["kit"])
        print(f"{metric:6} speed relative to faiss: {ratio:.2f}")
        ours = exact(dataset.vectors, asked, K, metric).rows
        theirs = index.search(wanted, K)[1]
        agree = np.mean([len(set(a) & set(b)) / K for a, b in zip(ours, theirs, strict=True)])
        print(f"{metric:6} neighbours in common with faiss (ties differ): {agree:.4f}")


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:4]))
