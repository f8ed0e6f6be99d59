"""Searches without a pause while something is broken, each counted with its time."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from pymilvus import MilvusClient, MilvusException

NAME = "e2e_under_load"
ROWS, DIM = 2000, 32
_SEED = 7


class Searching:
    """A collection of its own, searched from a thread.

    Args:
        uri: Of Milvus.
        replicas: Copies in memory, on as many query nodes.
        access: What else a client needs: user, password, certificate.

    ``answered`` and ``failed`` hold the times of the searches, by ``time.monotonic``.
    """

    def __init__(self, uri: str, replicas: int = 1, **access: Any) -> None:
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.uri, self.access = uri, access
        self.client = MilvusClient(uri, **access)
        self.vectors = np.random.default_rng(_SEED).random((ROWS, DIM), dtype=np.float32)
        self.replicas = replicas
        self.answered: list[float] = []
        self.failed: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._search, daemon=True)

    def __enter__(self) -> Self:
        if self.client.has_collection(NAME):
            self.client.drop_collection(NAME)
        self.client.create_collection(NAME, dimension=DIM, metric_type="L2")
        rows = [{"id": n, "vector": vector} for n, vector in enumerate(self.vectors)]
        self.client.insert(NAME, rows)
        self.client.flush(NAME)
        self.client.release_collection(NAME)
        self.client.load_collection(NAME, replica_number=self.replicas)
        self._thread.start()
        self.answers_since(time.monotonic(), 60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(30)
        self.client.close()

    def answers_since(self, start: float, seconds: float) -> float:
        """Wait for ten right answers in a row; return how long after ``start`` they were there.

        Raises:
            TimeoutError: They are not, within the time.
        """
        while time.monotonic() < start + seconds:
            last = max([at for at in self.failed if at > start], default=start)
            since = [at for at in self.answered if at > last]
            if len(since) >= 10:
                return since[9] - start
            time.sleep(0.2)
        raise TimeoutError(f"no ten answers in a row within {seconds:.0f} s")

    def counted(self, start: float, seconds: float) -> tuple[int, int]:
        """Watch until so long after ``start``; return how many searches were right and wrong."""
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        answered, failed = (
            len([at for at in times if start < at <= start + seconds])
            for times in (list(self.answered), list(self.failed))
        )
        return answered, failed

    def longest_gap(self, start: float) -> float:
        """Return the longest time without a right answer since then."""
        times = [start, *(at for at in list(self.answered) if at > start)]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    def _search(self) -> None:
        client = MilvusClient(self.uri, **self.access)
        at = 0
        while not self._stop.wait(0.05):
            at = (at + 1) % ROWS
            try:
                found = client.search(NAME, [self.vectors[at].tolist()], limit=1, timeout=5)
                right = bool(found[0]) and found[0][0]["id"] == at
            except (MilvusException, grpc.RpcError, IndexError, ValueError):
                right = False
            (self.answered if right else self.failed).append(time.monotonic())
        client.close()
