"""The proxy as its owner sees it: where to connect to, what is armed, what was done."""

from __future__ import annotations

import contextlib
import pickle
import struct
import subprocess
import threading
from types import TracebackType
from typing import IO, Self

from validation.errors import MeasurementError
from validation.load import process
from validation.selftest.wire import passing
from validation.selftest.wire.fault import WireFault
from validation.selftest.wire.script import Script, Struck

_END_SECONDS = 5.0


class WireProxy:
    """A proxy on loopback in a process of its own; use it as a context manager.

    Args:
        upstream: ``host:port`` of the Milvus behind, which is spoken to without TLS.

    Attributes:
        address: ``host:port`` to connect to.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._process = process.start(passing.__name__)
        source, sink = self._pipes()
        try:
            pickle.dump(self.upstream, sink)
            sink.flush()
            (port,) = passing.PORT.unpack(source.read(passing.PORT.size))
        except (OSError, struct.error):
            self.close()
            raise self._gone() from None
        self.address = f"127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def arm(self, *faults: WireFault) -> Struck:
        """Let these faults happen from now on, and no others.

        Args:
            faults: In the order in which they are done to a call; none for a proxy that is not
                seen.

        Returns:
            What was done of those that were armed before.
        """
        source, sink = self._pipes()
        with self._lock:
            try:
                pickle.dump(Script(faults), sink)
                sink.flush()
                return pickle.load(source)  # noqa: S301  (our own process wrote it)
            except (OSError, EOFError):
                raise self._gone() from None

    def close(self) -> None:
        """End the process; calls under way fail."""
        ending, self._process = self._process, None
        if ending is None:
            return
        for pipe in (ending.stdin, ending.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            ending.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            ending.kill()
            ending.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        mine = self._process
        if mine is None or mine.stdin is None or mine.stdout is None:
            raise self._gone()
        return mine.stdout, mine.stdin

    def _gone(self) -> MeasurementError:
        return MeasurementError(
            "the proxy that plants faults is not there any more",
            where=f"in front of {self.upstream}",
            remedy="try again; what it said last is on stderr",
        )
