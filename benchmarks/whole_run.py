"""How long `milvus-kit try` takes to its verdict, phase by phase, and how much memory it needs.

The promise, on two cores with everything installed: a verdict within 75 s, under 4 GiB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from validation.report.store import read_results

COMMAND = Path(sys.executable).with_name("milvus-kit")
PROMISED_SECONDS = 75
PROMISED_BYTES = 4 << 30


def main() -> int:
    """Run it once and print the figures."""
    with tempfile.TemporaryDirectory(prefix="milvus-kit-bench-") as runs:
        started = time.monotonic()
        running = subprocess.Popen([COMMAND, "try", "--runs", runs])
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(running, peak), daemon=True)
        watcher.start()
        code = running.wait()
        seconds = time.monotonic() - started
        watcher.join()
        results = read_results(Path(runs) / "latest")
        print(f"\nverdict: {results.verdict.value} (exit {code})")
        for phase in results.phases:
            print(f"  {phase.seconds:6.1f} s  {phase.target:10} {phase.name}")
        for check in results.checks:
            print(f"  {check.seconds:6.1f} s  {check.target:10} check {check.title}")
        print(f"whole run: {seconds:.1f} s, {seconds / PROMISED_SECONDS:.2f} of what is promised")
        print(f"peak memory: {peak[0] / 2**20:.0f} MiB, {peak[0] / PROMISED_BYTES:.2f} of it")
    return 0


def _watch(running: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Sum the proportional memory of the command and everything it started."""
    root = psutil.Process(running.pid)
    while running.poll() is None:
        total = 0
        for one in [root, *_below(root)]:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total)
        time.sleep(0.5)


def _below(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


if __name__ == "__main__":
    sys.exit(main())
