"""One fault from beginning to end: a clean second, the fault, recovery, and the proof."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from typing import Any

import numpy as np

from validation.drill.acts import Seen
from validation.drill.bench import Bench, Collection
from validation.drill.faults import HOLD_SECONDS, Scripted
from validation.drill.traffic import K, Traffic, what_is_wrong
from validation.errors import MeasurementError, MilvusKitError
from validation.milvus import indexing, loading, manifest, overlap, searching
from validation.milvus.connection import connect

PATIENCE_SECONDS = 60.0
CLEAN_SECONDS = 1.0
_READY_SECONDS = 60.0
_SHORT = 5.0


@dataclasses.dataclass
class Met:
    """What became of one fault.

    Args:
        seconds_to_recover: From its end until everything worked again; ``inf`` if it never did.
        lost: Acknowledged rows that are missing or changed; None if that cannot be known.
        restarts: How often Milvus had to be started again.
        unexpected: Rows that were never sent or are there twice; None likewise.
        wrong: Of each answer, 1.0 if it was wrong, else 0.0.
        failed: Of each search and insert that had to succeed, 1.0 if it failed, else 0.0.
        overlaps: By collection, each query's share of exact neighbours after recovery.
        evidence: For a reader.
        unknown: Why something cannot be known.
    """

    seconds_to_recover: float = math.inf
    lost: float | None = None
    unexpected: float | None = None
    restarts: int = 0
    wrong: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    failed: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    overlaps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)
    unknown: str = ""

    @property
    def clean(self) -> bool:
        """Whether the next fault may use the same collections."""
        whole = not self.lost and not self.unexpected and not self.unknown
        right = not self.wrong.any() and all((one == 1).all() for one in self.overlaps.values())
        return whole and right and math.isfinite(self.seconds_to_recover)


def meet(bench: Bench, fault: Scripted) -> Met:
    """Let one fault happen while rows are written and searched, and see what is left.

    Raises:
        MeasurementError: No request of Milvus's met the fault, so nothing was seen.
        MilvusKitError: Milvus cannot even be connected to.
    """
    if fault.own_access:
        bench.take_own_access()
    met, live = Met(), bench.live
    endings = len(bench.endings)
    with connect(bench.target) as connection:
        traffic = Traffic(
            connection,
            live.name,
            bench.index,
            bench.dataset,
            first=live.sent,
            truth=live.truth(bench.dataset),
        )
        traffic.start()
        try:
            if not traffic.await_good(0.0, seconds=_READY_SECONDS):
                why = traffic.broken or "Milvus did not work"
                raise MeasurementError(f"{why} before the fault began")
            calm = traffic.count()
            bench.hold(CLEAN_SECONDS)
            met.failed = _failed(calm, traffic)
            seen, troubles = _suffer(bench, traffic, fault)
            ended = time.monotonic()
            met.seconds_to_recover = _recovery(bench, traffic, ended, troubles)
        finally:
            bench.proxy.script.disarm()
            traffic.stop()
            _account(live, traffic)
    if traffic.broken:
        raise MeasurementError(f"the drill's own traffic broke off: {traffic.broken}")
    met.restarts = len(bench.endings) - endings
    met.evidence = {
        "story": fault.story,
        "requests_that_met_it": seen.requests,
        **seen.evidence,
        "rows_acknowledged": int(live.acknowledged.sum()),
        "inserts": {"acknowledged": traffic.writer.done, "failed": dict(traffic.writer.failures)},
        "searches": {"answered": traffic.searcher.done, "failed": dict(traffic.searcher.failures)},
        "milvus_ended": bench.endings[endings:],
        "meanwhile": troubles,
    }
    if seen.seamless_from is not None:
        met.failed = np.concatenate([met.failed, _failed(seen.seamless_from, traffic)])
    if not seen.requests:
        raise MeasurementError(f"no request of Milvus's met the fault {fault.name}")
    _prove(bench, traffic, met)
    return met


def _failed(since: tuple[int, int], traffic: Traffic) -> np.ndarray:
    """Return of each search and insert since a count whether it failed."""
    done, failed = (now - then for now, then in zip(traffic.count(), since, strict=True))
    return np.concatenate([np.zeros(done), np.ones(failed)])


def _suffer(bench: Bench, traffic: Traffic, fault: Scripted) -> tuple[Seen, list[str]]:
    """Let the fault happen while Milvus has to write to the store and to read from it."""
    troubles: list[str] = []

    def flush() -> None:
        loading.flush(bench.connection, bench.live.name, seconds=HOLD_SECONDS)

    def load() -> None:
        connection, name = bench.connection, bench.static.name
        with connection.explained(f"release {name}"):
            connection.client.release_collection(name, timeout=int(HOLD_SECONDS))
        loading.load_for_search(connection, name, seconds=HOLD_SECONDS)

    def tried(doing: Any) -> None:
        try:
            doing()
        except MilvusKitError as error:
            troubles.append(f"{doing.__name__}: {error.what}")

    with fault.act(bench, traffic, HOLD_SECONDS) as seen:
        for doing in (flush, load):
            threading.Thread(target=tried, args=(doing,), daemon=True).start()
        bench.hold(HOLD_SECONDS)
    return seen, troubles


def _recovery(bench: Bench, traffic: Traffic, ended: float, troubles: list[str]) -> float:
    """Return the seconds until rows are written, indexed, loaded and searched again."""

    def left() -> float:
        return max(1.0, ended + PATIENCE_SECONDS - time.monotonic())

    while time.monotonic() < ended + PATIENCE_SECONDS:
        try:
            bench.keep_up()
            name = bench.static.name
            loading.load_for_search(bench.connection, name, seconds=min(left(), 3 * _SHORT))
            _ask(bench, bench.static, queries=1)
            loading.flush(bench.connection, bench.live.name, seconds=left())
            indexing.build(
                bench.connection, bench.live.name, bench.index, bench.dataset, seconds=left()
            )
        except MilvusKitError as error:
            troubles.append(f"recovery: {error.what}")
            time.sleep(0.5)
        else:
            if traffic.broken:
                break
            if traffic.good_since(ended):
                return time.monotonic() - ended
            time.sleep(0.1)
    return math.inf


def _account(live: Collection, traffic: Traffic) -> None:
    """Take over what was promised meanwhile."""
    live.sent = traffic.sent
    for first, end in traffic.acknowledged:
        live.acknowledged[first:end] = True


def _prove(bench: Bench, traffic: Traffic, met: Met) -> None:
    """Compare what is stored and answered now with what was promised."""
    wrong = list(traffic.wrong)
    examples = list(traffic.examples)
    try:
        _rows(bench, met)
        for kind, collection in (("live", bench.live), ("static", bench.static)):
            answers = _ask(bench, collection, queries=len(bench.dataset.queries))
            truth = collection.truth(bench.dataset)
            met.overlaps[kind] = overlap.ann_overlap(answers, truth, bench.dataset, K)
            said = [
                what_is_wrong(bench.dataset, at, answers, at, truth, rows=collection.sent)
                for at in range(len(answers))
            ]
            wrong += said
            examples += [f"{kind}, query {at}: {one}" for at, one in enumerate(said) if one][:5]
    except MilvusKitError as error:
        met.unknown = error.what
    met.wrong = np.array([float(bool(one)) for one in wrong])
    met.evidence["wrong_answers"] = examples


def _rows(bench: Bench, met: Met) -> None:
    """Compare the rows of both collections with those that were acknowledged."""
    differences = {}
    for kind, collection in (("live", bench.live), ("static", bench.static)):
        stored = manifest.stored(bench.connection, collection.name)
        # A row whose acknowledgement was lost may be there; if it is, it must be right.
        keys = np.asarray(stored.keys, dtype=np.int64)
        collection.present = collection.acknowledged.copy()
        collection.present[keys[(keys >= 0) & (keys < collection.sent)]] = True
        expected = manifest.sent(bench.dataset.taken(np.flatnonzero(collection.present)))
        found = manifest.compare(expected, stored)
        differences[kind] = found
        met.evidence[f"rows_{kind}"] = {**found.evidence, "examples": found.examples}
    met.lost = float(sum(one.missing + one.changed for one in differences.values()))
    met.unexpected = float(sum(one.unexpected for one in differences.values()))


def _ask(bench: Bench, collection: Collection, *, queries: int) -> searching.Answers:
    return searching.search(
        bench.connection,
        collection.name,
        bench.dataset.queries.vectors[:queries],
        k=K,
        params=bench.index.search,
        timeout=_SHORT * 4,
    )
