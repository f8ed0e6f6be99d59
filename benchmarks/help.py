"""How long `milvus-kit --help` takes, beside an interpreter that does nothing.

The promise: under 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMAND = Path(sys.executable).with_name("milvus-kit")
REPEATS = 15


def main() -> int:
    """Run both in turn and print the medians and their ratio."""
    help_, nothing = [], []
    for _ in range(REPEATS):
        help_.append(_seconds([str(COMMAND), "--help"]))
        nothing.append(_seconds([sys.executable, "-c", "pass"]))
    ours, bare = statistics.median(help_), statistics.median(nothing)
    print(f"milvus-kit --help: {ours:.3f} s, {ours / bare:.1f} times a bare interpreter")
    return 0


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
