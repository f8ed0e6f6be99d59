"""Where a drill happens: an embedded stack behind a fault proxy, and two collections in it.

``live`` is written to and searched all the time. ``static`` is never written to: it is released and
loaded again during each fault, so that Milvus reads from the failing store.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from validation.common.progress import Progress
from validation.datasets.model import Dataset
from validation.drill.access import OwnAccess
from validation.drill.collection import Collection
from validation.drill.keys import Key
from validation.drill.memory import release
from validation.drill.watching import Reads, WatchedProxy
from validation.errors import MeasurementError, MilvusKitError
from validation.local import milvus, ports, supervisor
from validation.local.stack import EmbeddedStack
from validation.local.state import StoreAccess
from validation.milvus import loading, objects
from validation.milvus.connection import Connection, connect
from validation.milvus.indexes import IndexSpec
from validation.milvus.objects import Stored
from validation.milvus.ownership import collection_name, drop_ours
from validation.target import Storage, Target

BASE_ROWS = 3_000
INDEXES = {
    "live": IndexSpec("FLAT"),
    "static": IndexSpec("IVF_FLAT", {"nlist": 16}, {"nprobe": 16}),
}
"""Both are exact. Milvus writes no file of a FLAT index, and searches segments that have no index
yet by an approximate one of its own if the index is to be another: so ``live`` has FLAT, and
``static``, whose only segment is indexed before it is loaded, one all of whose clusters are
searched, to have an index file in the store."""
_BACK_SECONDS = 60.0
_LAST_WORDS = ("panic:", "fatal error:", "terminate called", "SIG")
"""How Go's and C++'s run times begin the line that says why they end."""
STALLED = (
    f"Milvus's lease of {milvus.LEASE_SECONDS} s in its own etcd ran out: this host stalled, and"
    " the store need have no part in it"
)


class Bench:
    """The servers and collections of a drill.

    Args:
        stack: Started; its Milvus reaches the store through the proxy.
        proxy: Between the two.
        dataset: Rows to write and queries.
    """

    def __init__(self, stack: EmbeddedStack, proxy: WatchedProxy, dataset: Dataset) -> None:
        self.stack, self.proxy, self.dataset = stack, proxy, dataset
        self._own: OwnAccess | None = None
        self._closing = contextlib.ExitStack()
        self.target: Target = stack.target
        self.connection: Connection = connect(self.target)
        self.endings: list[str] = []
        self._made = 0
        self._down, self._keeping = False, threading.Lock()
        self.live = self.static = Collection.of_first("", INDEXES["live"], 0, dataset)

    def renew(self) -> None:
        """Put fresh collections in place of those there are, with Milvus up again if it has ended.

        Raises:
            MilvusKitError: They cannot be made.
        """
        self.keep_up()
        for old in {self.live.name, self.static.name} - {""}:
            with contextlib.suppress(MilvusKitError):
                drop_ours(self.connection, old)
        self._made += 1
        with ThreadPoolExecutor(2) as pool:  # each waits for the server most of the time
            self.live, self.static = pool.map(self._fresh, ("live", "static"))

    def _fresh(self, kind: str) -> Collection:
        rows = np.arange(BASE_ROWS)
        base = self.dataset.taken(rows)
        name = collection_name("drill", kind, self._made)
        loading.load(self.connection, base, name=name, index=INDEXES[kind], seconds=_BACK_SECONDS)
        return Collection.of_first(name, INDEXES[kind], BASE_ROWS, self.dataset)

    def keep_up(self) -> None:
        """Start Milvus again if it has ended, as Kubernetes would."""
        with self._keeping:
            if self.stack.status().servers.get("milvus", False):
                return
            if not self._down:  # one ending, however many starts it takes
                self._down = True
                self.endings.append(last_words(self.stack.folder / "logs" / "milvus.log"))
            self._restart()

    def _restart(self, access: StoreAccess | None = None) -> None:
        self.stack.restart_milvus(access=access)
        self._down = False
        before, self.connection = self.connection, connect(self.target)
        before.close()

    @property
    def own(self) -> OwnAccess:
        """Milvus's own access to its store; see `take_own_access`.

        Raises:
            MeasurementError: It was not taken yet.
        """
        if self._own is None:
            raise MeasurementError("Milvus has no access of its own to its store yet")
        return self._own

    def take_own_access(self) -> None:
        """Let Milvus reach its store by TLS with a key of its own, from now on.

        Raises:
            MilvusKitError: Milvus does not come up so.
        """
        if self._own is not None:
            return
        host, port = self.proxy.upstream
        own = OwnAccess(self.stack, f"http://{host}:{port}", self._closing)
        self._restart(own.access())
        self._own, self.proxy = own, own.proxy
        for name in (self.live.name, self.static.name):
            loading.load_for_search(self.connection, name, seconds=_BACK_SECONDS)

    def replace_key(self) -> Key:
        """Give Milvus a new key, by a restart, and return the old one, still in force.

        Raises:
            UnsupportedError: The store's keys cannot be changed.
            MilvusKitError: Milvus does not come up with it.
        """
        old, self.own.key = self.own.key, self.own.keys.make()
        if old is None:
            raise MeasurementError("Milvus had no key of its own")
        self._restart(self.own.access())
        return old

    @property
    def collections(self) -> dict[str, Collection]:
        """Both, by what they are for."""
        return {"live": self.live, "static": self.static}

    def reads_of(self, collection: Collection) -> Reads:
        """Return what counts Milvus's reads of a collection's objects from now on.

        Raises:
            MilvusKitError: Milvus does not know it, or the store cannot be listed.
        """
        return Reads(self.proxy, *self.stored(collection))

    def stored(self, collection: Collection) -> tuple[int, list[Stored]]:
        """Return the number of a collection and its objects in the store.

        Raises:
            MilvusKitError: Milvus does not know it, or the store cannot be listed.
        """
        return objects.listed(self.connection, collection.name, self.storage)

    def release(self, collection: Collection) -> None:
        """Take a collection out of Milvus's memory.

        Raises:
            MilvusKitError: It is still there.
        """
        release(self.connection, collection.name)

    @property
    def storage(self) -> Storage:
        """The store itself, without the proxy."""
        if self.target.storage is None:
            raise MeasurementError("the drill's stack has no store")
        return self.target.storage

    def hold(self, seconds: float) -> None:
        """Let time pass, and keep Milvus up meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(MilvusKitError):  # it is tried again
                self.keep_up()
            time.sleep(min(0.2, max(0.0, left)))

    def close(self) -> None:
        """Close the connection, and the proxy of Milvus's own access."""
        self.connection.close()
        self._closing.close()


def last_words(log: Path) -> str:
    """Return the last line in a server's log that says why it ended."""
    said = nothing = "it ended without a word"
    lease = False
    with contextlib.suppress(OSError), log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith(supervisor.START_MARK):
                said, lease = nothing, False  # an earlier life's words are not why this one ended
            if line.startswith(_LAST_WORDS):
                said = line.strip()[:200]
            lease = lease or milvus.LEASE_LOST in line
    return STALLED if lease else said


@contextlib.contextmanager
def running(folder: Path, dataset: Dataset, progress: Progress) -> Iterator[Bench]:
    """Start a stack behind a proxy and make its collections; stop it in the end.

    Raises:
        MilvusKitError: A server does not come up, or a collection cannot be made.
    """
    s3 = ports.pick(("s3",))["s3"]
    with WatchedProxy(f"http://127.0.0.1:{s3}") as proxy:
        between = int(proxy.endpoint.rpartition(":")[2])
        stack = EmbeddedStack(
            folder, progress=progress, ports={"s3": s3}, store_port=between, name="drill"
        )
        with stack, contextlib.closing(Bench(stack, proxy, dataset)) as bench:
            with progress.step("make the collections"):
                bench.renew()
            yield bench
