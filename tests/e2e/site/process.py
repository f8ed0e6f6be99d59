"""A server outside the cluster, as long as it is needed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from validation.errors import MilvusKitError

_STOP_SECONDS = 20


@contextmanager
def serving(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server; its output is kept in a file."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(one) for one in command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(120)


def until(
    answers: Callable[[], object], process: subprocess.Popen[bytes], log: Path, seconds: float = 60
) -> None:
    """Wait until a server answers.

    Raises:
        MilvusKitError: It ended, or does not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            answers()
        except OSError as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            said = log.read_text(encoding="utf-8", errors="replace")[-1500:]
            raise MilvusKitError(
                f"a server does not answer: {error}\n{said}", where=str(log)
            ) from None
        return
