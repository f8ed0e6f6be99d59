"""From a fault's end until everything works again, as an operator would go about it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

from validation.answers.model import Answers
from validation.drill.bench import Bench
from validation.drill.collection import FIELDS, Collection, K
from validation.drill.memory import told
from validation.drill.traffic import Traffic
from validation.drill.watching import Reads
from validation.errors import MeasurementError, MilvusKitError
from validation.milvus import indexing, loading, searching

PATIENCE_SECONDS = 60.0
LOAD_SECONDS = 15.0
SEARCH_SECONDS = 20.0
_GOOD_SECONDS = 5.0
_AGAIN_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Recovery:
    """How long it took.

    Args:
        seconds: From the fault's end until everything worked again; ``inf`` if it never did.
        failing: The step that failed to the last, and how; empty if everything worked.
        troubles: Each failure on the way.
    """

    seconds: float
    failing: str
    troubles: list[str]


def recover(bench: Bench, traffic: Traffic, ended: float) -> Recovery:
    """Return how long it takes until rows are written, indexed, loaded and searched again.

    Whatever fails is tried again from the start until patience ends. The writer is stopped on the
    way: what is flushed then is all there is, so that all of it can be read from the store.

    Args:
        bench: The servers and collections.
        traffic: Goes on meanwhile.
        ended: When the fault was over.
    """
    failing, troubles = "", []
    while not traffic.broken and time.monotonic() < ended + PATIENCE_SECONDS:
        for what, doing in _steps(bench, traffic, ended):
            try:
                doing()
            except MilvusKitError as error:
                failing = f"{what}: {told(error)}"
                troubles.append(failing)
                time.sleep(_AGAIN_SECONDS)
                break
        else:
            return Recovery(time.monotonic() - ended, "", troubles)
    return Recovery(math.inf, failing or traffic.broken, troubles)


def _steps(
    bench: Bench, traffic: Traffic, ended: float
) -> tuple[tuple[str, Callable[[], object]], ...]:
    live, static = bench.live, bench.static

    def left() -> float:
        return max(1.0, ended + PATIENCE_SECONDS - time.monotonic())

    def load(collection: Collection) -> None:
        seconds = min(left(), LOAD_SECONDS)
        loading.load_for_search(bench.connection, collection.name, seconds=seconds)

    def work() -> None:
        traffic.ask_static()
        if not traffic.await_good(ended, seconds=min(left(), _GOOD_SECONDS)):
            raise MeasurementError(traffic.waiting_since(ended))
        traffic.stop_writing()

    def index() -> None:
        indexing.build(bench.connection, live.name, live.index, bench.dataset, seconds=left())

    def search() -> None:
        ask(bench, live, queries=1)

    return (
        ("start Milvus again", bench.keep_up),
        ("load static", lambda: load(static)),
        ("load live", lambda: load(live)),
        ("write and search", work),
        ("flush live", lambda: loading.flush(bench.connection, live.name, seconds=left())),
        ("index live", index),
        ("search live", search),
    )


def load_from_store(bench: Bench, collection: Collection, reads: Reads) -> str:
    """Take a collection out of memory and load it again; return why that cannot be done.

    It is tried until patience ends, on a Milvus that is started again if it ends.

    Args:
        bench: The servers and collections.
        collection: One of them.
        reads: Begins to count once it is out of memory.
    """
    end, failing = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < end:
        try:
            bench.keep_up()
            bench.release(collection)
            reads.begin()
            loading.load_for_search(bench.connection, collection.name, seconds=LOAD_SECONDS)
        except MilvusKitError as error:
            failing = told(error)
            time.sleep(_AGAIN_SECONDS)
        else:
            return ""
    return failing


def ask(bench: Bench, collection: Collection, *, queries: int) -> Answers:
    """Ask the first queries of a collection."""
    return searching.search(
        bench.connection,
        collection.name,
        bench.dataset.queries.vectors[:queries],
        k=K,
        params=collection.index.search,
        fields=FIELDS,
        timeout=SEARCH_SECONDS,
    )
