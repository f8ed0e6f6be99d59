"""How much memory a run takes: this machine's, sampled while it goes on."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_MEMINFO = Path("/proc/meminfo")
_SECONDS = 2.0
_GIB = 2**30


def used_bytes(meminfo: Path = _MEMINFO) -> int:
    """Return the memory that is in use: all of it less what a new program could have."""
    lines = (line.split() for line in meminfo.read_text(encoding="utf-8").splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return (kib["MemTotal"] - kib["MemAvailable"]) * 1024


class MemoryWatch:
    """Samples the memory in use from a thread, and keeps the samples in a file.

    Args:
        file: Where the samples go: seconds since the start and bytes in use, by tabs.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.start = self.peak = used_bytes()
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self.file.write_text("seconds\tbytes\n", encoding="utf-8")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(120)

    def sentence(self) -> str:
        """Return the peak as a sentence."""
        before, more = self.start / _GIB, (self.peak - self.start) / _GIB
        return f"peak memory of the run: {more:.1f} GiB above the {before:.1f} GiB before it"

    def _sample(self) -> None:
        while True:
            used = used_bytes()
            self.peak = max(self.peak, used)
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.monotonic() - self._began:.0f}\t{used}\n")
            if self._stop.wait(_SECONDS):
                return
