"""What Milvus has to do with its store while a fault is held: write ``live``, read ``static``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from validation.drill.bench import Bench
from validation.drill.faults import HOLD_SECONDS
from validation.drill.memory import release, told
from validation.drill.traffic import Traffic
from validation.errors import MilvusKitError
from validation.milvus import loading
from validation.milvus.connection import Connection

_AGAIN_SECONDS = 0.5
_JOIN_SECONDS = 30.0


class Exercise:
    """Lets ``live`` be flushed and ``static`` be released and loaded, side by side.

    Neither outlives it, however it ends: they have a connection of their own, which minds no
    restart of Milvus, and closing it ends what they wait for.

    Args:
        connection: Of its own; closed in the end.
        bench: The servers and collections.
        traffic: Its searcher must not ask ``static`` while that is not loaded.

    Attributes:
        troubles: What went wrong meanwhile, for a reader.
        reads: Counts the reads of ``static`` once it is released.
    """

    def __init__(self, connection: Connection, bench: Bench, traffic: Traffic) -> None:
        self._connection, self._bench, self._traffic = connection, bench, traffic
        self._over, self._released = threading.Event(), False
        self._seen = (0, 0)
        self.troubles: list[str] = []
        self.reads = bench.reads_of(bench.static)
        self._threads = [
            threading.Thread(target=self._tried, args=(what, doing), daemon=True)
            for what, doing in (("flush live", self._write), ("load static", self._read))
        ]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seen = self.reads.count()
        self._over.set()
        self._connection.close()
        for one in self._threads:
            one.join(_JOIN_SECONDS)

    def evidence(self) -> dict[str, object]:
        """Return what came of it, for a reader."""
        return {
            "static_released": self._released,
            "reads_of_static": self._seen[0],
            "reads_of_static_that_met_it": self._seen[1],
            "meanwhile": self.troubles,
        }

    def unmet(self, *, reads: bool, armed: bool) -> str:
        """Return why ``static`` does not prove that the fault was met; empty if it does.

        Args:
            reads: Whether the fault concerns what Milvus reads, so that it must have come to read
                ``static`` from the store meanwhile.
            armed: Whether the proxy does something to reads: one of them must have met that, then.
        """
        if not self._released:
            said = "; ".join(dict.fromkeys(self.troubles)) or "it takes too long"
            return f"static was not released while the fault was held: {said}"
        count, met = self._seen if self._over.is_set() else self.reads.count()
        if reads and not count:
            return "static was not read from the store while the fault was held"
        if reads and armed and not met:
            return "no read of static met the fault"
        return ""

    def _write(self) -> None:
        loading.flush(self._connection, self._bench.live.name, seconds=HOLD_SECONDS)

    def _read(self) -> None:
        name = self._bench.static.name
        self._traffic.leave_static()
        while not self._over.is_set():
            try:
                release(self._connection, name)
            except MilvusKitError as error:
                self.troubles.append(f"release static: {told(error)}")
                self._over.wait(_AGAIN_SECONDS)
            else:
                break
        else:
            return
        self.reads.begin()
        self._released = True
        loading.load_for_search(self._connection, name, seconds=HOLD_SECONDS)
        self._traffic.ask_static()

    def _tried(self, what: str, doing: Callable[[], None]) -> None:
        try:
            doing()
        except Exception as error:  # noqa: BLE001  (whatever a client makes of a closed connection)
            said = told(error) if isinstance(error, MilvusKitError) else repr(error)
            ended = self._over.is_set()
            self.troubles.append(f"{what}: {'not done when the fault ended' if ended else said}")
