"""One module of the kit in a process of its own, spoken to over its pipes, gone at the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import validation

_ROOT = str(Path(validation.__file__).resolve().parent.parent)


def start(module: str) -> subprocess.Popen[bytes]:
    """Start a module's `main` in a process; whoever starts it ends it.

    Args:
        module: Its full name. What it is told goes through the pipe, never through argv.
    """
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", f"import {module} as one; one.main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # It finds the kit wherever it stands.
        env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *inherited])},
        # Ctrl-C reaches this process alone, which then ends the other.
        start_new_session=True,
    )


@contextlib.contextmanager
def running(module: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module's `main` in a process that is killed when the block ends; see `start`."""
    process = start(module)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for one in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe(one).close()


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe of a process that was started with both."""
    if stream is None:
        raise ValueError("a process without pipes")
    return stream
