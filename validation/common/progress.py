"""Progress on stderr: what is being done now, and how long each step took.

Each step is a line when it ends and a sign of life every few seconds while it runs: the same on a
terminal, in CI and in a file, so that what was seen can be read again.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.markup import escape

SIGN_OF_LIFE_SECONDS = 5.0


GOOD, BAD, OPEN = "[green]✓[/]", "[red]✗[/]", "[yellow]○[/]"


class Step:
    """A step while it runs: call it with a detail, such as ``40 % of 100,000 rows``."""

    def __init__(self) -> None:
        self.detail = ""
        self.mark = ""

    def __call__(self, detail: str) -> None:
        """Show a detail at the next sign of life."""
        self.detail = detail

    def ends(self, mark: str) -> None:
        """Say how it ended, where that is not whether it raised: `GOOD`, `BAD` or `OPEN`."""
        self.mark = mark


class Progress:
    """Shows steps and remembers how long they took.

    Args:
        stream: Where to write; stderr if left out.
        quiet: Show nothing, still remember the phases.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self.console = Console(
            file=stream or sys.stderr, highlight=False, quiet=quiet, soft_wrap=True
        )
        self.phases: list[tuple[str, datetime, float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show one step while it runs.

        Args:
            name: What is done, such as ``start Milvus``. Steps may nest and may run in threads.

        Yields:
            What shows a detail when it is called with one.
        """
        started, wall = time.monotonic(), datetime.now(UTC)
        step = Step()
        done = threading.Event()
        teller = threading.Thread(
            target=self._signs_of_life, args=(name, step, started, done), daemon=True
        )
        teller.start()
        mark = BAD
        try:
            yield step
            mark = step.mark or GOOD
        finally:
            done.set()
            teller.join()
            seconds = time.monotonic() - started
            with self._lock:
                self.phases.append((name, wall, seconds))
                self.console.print(f"{mark} {escape(name)} [dim]{seconds:.1f} s[/]")

    def say(self, text: str) -> None:
        """Show one line."""
        with self._lock:
            self.console.print(text)

    def _signs_of_life(self, name: str, step: Step, started: float, done: threading.Event) -> None:
        """Say every few seconds that a step still runs, so that a short one is a single line."""
        pause = SIGN_OF_LIFE_SECONDS
        while not done.wait(pause):
            pause = 2 * SIGN_OF_LIFE_SECONDS
            with self._lock:
                tail = f": {step.detail}" if step.detail else ""
                self.console.print(
                    f"[dim]… {escape(name + tail)} ({time.monotonic() - started:.0f} s)[/]"
                )
