"""The proof: what is in the store now, and what is answered from it, against what was promised.

Both collections are taken out of memory and loaded again first. Without that, what was lost from
the store would go unnoticed as long as the query nodes remember it.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from validation.answers.checking import check, told
from validation.drill.bench import Bench
from validation.drill.collection import Collection
from validation.drill.recovery import ask, load_from_store
from validation.errors import MilvusKitError
from validation.milvus import manifest


@dataclasses.dataclass
class Proof:
    """What was found of one collection.

    Args:
        acknowledged: How many rows were.
        lost: Acknowledged rows that are missing, changed, or uncounted; None if nobody knows.
        unexpected: Rows that were never sent or are there twice; None likewise.
        overlaps: Each query's share of exact neighbours.
        wrong: Of each answer, what was wrong with it; empty if nothing was.
        reads: How many reads of its objects it took to load it.
        unloadable: Why it cannot be loaded from the store any more; empty if it can.
        unknown: Why something cannot be known; empty if all is.
        evidence: For a reader.
    """

    acknowledged: int
    lost: float | None = None
    unexpected: float | None = None
    overlaps: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    wrong: list[str] = dataclasses.field(default_factory=list)
    reads: int = 0
    unloadable: str = ""
    unknown: str = ""
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)

    def why_lost(self) -> str:
        """Return in words which rows are lost; empty if none are."""
        if not self.lost:
            return ""
        if self.unloadable:
            return f"none of {self.acknowledged:,} acknowledged rows can be read: {self.unknown}"
        said = ("missing", "changed", "not_counted")
        parts = [f"{self.evidence.get(one, 0):,} {one.replace('_', ' ')}" for one in said]
        return f"of {self.acknowledged:,} acknowledged rows {', '.join(parts)}"

    def why_unexpected(self) -> str:
        """Return in words which rows should not be there; empty if none are."""
        if not self.unexpected:
            return ""
        return (
            f"{self.evidence['rows_counted']:,} rows are counted, {self.evidence['rows_read']:,} "
            f"returned, {self.evidence['unexpected']:,} of them unexpected"
        )


def prove(bench: Bench, *, recovered: bool) -> dict[str, Proof]:
    """Load both collections from the store and return what was found of each.

    Args:
        bench: The servers and collections; no traffic goes on any more.
        recovered: Whether Milvus works again. If it does, rows that it cannot load from a store
            that is well, however often it is asked to, are lost. If it does not, nobody knows.
    """
    with ThreadPoolExecutor(len(bench.collections)) as pool:  # each waits for the server
        reloaded = pool.map(lambda one: _reloaded(bench, one), bench.collections.values())
        proofs = dict(zip(bench.collections, reloaded, strict=True))
    for kind, proof in proofs.items():
        collection = bench.collections[kind]
        if proof.unloadable and recovered:
            proof.lost = float(proof.acknowledged)
        if not proof.unknown:
            try:
                _rows(bench, collection, proof)
                _answers(bench, collection, kind, proof)
            except MilvusKitError as error:
                proof.unknown = error.what
    return proofs


def _reloaded(bench: Bench, collection: Collection) -> Proof:
    """Load a collection from the store, and make sure that it came from there."""
    proof = Proof(int(collection.acknowledged.sum()))
    try:
        reads = bench.reads_of(collection)
        proof.unloadable = load_from_store(bench, collection, reads)
    except MilvusKitError as error:
        proof.unknown = error.what
        return proof
    proof.reads = reads.count()[0]
    if proof.unloadable:
        proof.unknown = f"it cannot be loaded from the store: {proof.unloadable}"
    elif not proof.reads:
        proof.unknown = "it was loaded without one read from the store, so this proves nothing"
    return proof


def _rows(bench: Bench, collection: Collection, proof: Proof) -> None:
    """Compare the rows of a collection with those that were acknowledged."""
    stored = manifest.stored(bench.connection, collection.name)
    # A row whose acknowledgement was lost may be there; if it is, it must be right.
    keys = np.asarray(stored.keys, dtype=np.int64)
    collection.present = collection.acknowledged.copy()
    collection.present[keys[(keys >= 0) & (keys < collection.sent)]] = True
    expected = manifest.sent(bench.dataset.taken(np.flatnonzero(collection.present)))
    found = manifest.compare(expected, stored)
    # Reading merges rows of one key: that one is there twice shows in what the server counts.
    extra = stored.counted - stored.count
    proof.lost = float(found.missing + found.changed + max(0, -extra))
    proof.unexpected = float(found.unexpected + max(0, extra))
    proof.evidence = {
        "rows_acknowledged": proof.acknowledged,
        "reads_to_load_it": proof.reads,
        **found.evidence,
        "missing": found.missing,
        "changed": found.changed,
        "not_counted": max(0, -extra),
        "unexpected": found.unexpected,
        "examples": found.examples,
    }


def _answers(bench: Bench, collection: Collection, kind: str, proof: Proof) -> None:
    """Compare the answers to all queries with the exact ones."""
    answers = ask(bench, collection, queries=len(bench.dataset.queries))
    found = check(answers, collection.expected(bench.dataset))
    proof.overlaps = found.overlap
    proof.wrong = [
        f"after recovery, {kind}, query {at}: {told(found, at)}" if wrong else ""
        for at, wrong in enumerate(found.wrong.tolist())
    ]
