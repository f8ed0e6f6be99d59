"""The catalogue of metrics: what a check may observe and what a rule may judge.

A metric fixes the unit, which direction is better, how raw samples become one figure, what the
figure is a claim about, and what to do when it is not good enough. A rule that names no metric of
this catalogue is an error, so a misspelt gate can't silently judge nothing. A site's own checks
observe metrics whose names start with ``site.``; those carry their unit themselves.
"""

from __future__ import annotations

import dataclasses
import math

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")


@dataclasses.dataclass(frozen=True)
class Metric:
    """One thing that can be measured.

    Args:
        name: The name used in rules and results.
        unit: The unit of every sample and threshold.
        better: Which side of a threshold is good.
        statistics: How samples may be summarised; the first is the default.
        claim: The promise this metric tests, in a reader's words.
        remedy: What to look at when the promise does not hold.
        highest: The largest sample there can be. The smallest is 0: nothing here can be negative.
    """

    name: str
    unit: str
    better: str
    statistics: tuple[str, ...]
    claim: str
    remedy: str
    highest: float = math.inf


def _count(name: str, unit: str, claim: str, remedy: str) -> Metric:
    """Return a metric that counts things that should not be there."""
    return Metric(name, unit, "lower", ("sum",), claim, remedy)


def _share(name: str, claim: str, remedy: str) -> Metric:
    """Return a metric whose samples lie in [0, 1] and should be near 1."""
    return Metric(name, "ratio", "higher", ("proportion", "mean"), claim, remedy, highest=1.0)


def _latency(name: str, claim: str, remedy: str) -> Metric:
    """Return a latency. A failed request counts as infinitely slow."""
    return Metric(name, "ms", "lower", (*PERCENTILES, "mean", "max"), claim, remedy)


def _bounded_share(name: str, claim: str, remedy: str) -> Metric:
    """Return a share that is only known to lie between two bounds, and should be small."""
    return Metric(name, "ratio", "lower", ("bounds",), claim, remedy, highest=1.0)


_RETRIEVAL_REMEDY = (
    "compare the embedding model, analyzer and index parameters with those of the baseline run"
)
_RESTART_REMEDY = (
    "read Milvus's log around the restart; check the log's and the bucket's durability"
)

_ALL = (
    _count(
        "identity.mismatches",
        "mismatches",
        "What answers is of the version that was declared.",
        "correct the declaration, or find out what was deployed instead",
    ),
    _count(
        "data.row_count_error",
        "rows",
        "The server counts as many rows as were acknowledged.",
        "flush and count again with strong consistency; look for failed or doubled batches",
    ),
    _count(
        "data.rows_missing",
        "rows",
        "Every acknowledged row can be read back.",
        "look in Milvus's data node log and the S3 store for failed writes; do not go live",
    ),
    _count(
        "data.rows_unexpected",
        "rows",
        "Nothing is stored that was not sent.",
        "look for a second writer, or a batch that was sent twice",
    ),
    _count(
        "data.rows_changed",
        "rows",
        "What is read back is bit for bit what was sent.",
        "test the S3 store's integrity (`milvus-kit preflight`); do not go live",
    ),
    Metric(
        "loading.rate",
        "rows/s",
        "higher",
        ("value",),
        "Insert keeps up with the ingest that was promised.",
        "look at the log's latency, batch size and the data nodes' CPU",
    ),
    Metric(
        "loading.index_seconds",
        "s",
        "lower",
        ("value",),
        "An index is built within the time that was promised.",
        "give the index nodes more CPU, or choose a cheaper index",
    ),
    _share(
        "ann_overlap@10",
        "Approximate search finds the exact nearest neighbours.",
        "raise the search width (ef, nprobe), rebuild the index, or check that all segments load",
    ),
    _count(
        "exact_search.misses",
        "neighbours",
        "Exhaustive search misses no neighbour: every row that is stored is searched.",
        "compare loaded segments with stored ones; a segment that is not loaded is not searched",
    ),
    _share(
        "filtered_ann_overlap@10",
        "Filtered search finds the exact nearest neighbours among the rows that match.",
        "raise the search width, or index the scalar field",
    ),
    _count(
        "filter.violations",
        "rows",
        "No result breaks its filter.",
        "a result outside its filter is a correctness or access-control defect: do not go live",
    ),
    _share("ndcg@10", "Good passages are ranked first (graded relevance).", _RETRIEVAL_REMEDY),
    _share("mrr@10", "The first relevant passage comes early.", _RETRIEVAL_REMEDY),
    _share("qrels_recall@10", "Judged-relevant passages are found.", _RETRIEVAL_REMEDY),
    _latency(
        "search.latency.serial",
        "One search after the other is fast.",
        "look at CPU, cache and segment count of the query nodes",
    ),
    _latency(
        "search.latency.open_loop",
        "Latency stays predictable at the offered rate, waiting included.",
        "lower the offered rate, add query nodes or replicas, or look for background work",
    ),
    Metric(
        "search.errors",
        "ratio",
        "lower",
        ("proportion",),
        "Searches under load are answered, completely.",
        "read the error codes in the evidence and Milvus's proxy log",
        highest=1.0,
    ),
    _count(
        "storage.rules_broken",
        "rules",
        "The S3 store keeps the rules that Milvus relies on.",
        "`milvus-kit preflight` says for each rule which part of Milvus needs it and what to set",
    ),
    Metric(
        "storage.persisted_ratio",
        "ratio",
        "higher",
        ("value",),
        "The rows are really in the S3 bucket: bytes stored over raw bytes sent.",
        "check bucket, root path and flush; a server with local storage does not test the store",
    ),
    Metric(
        "storage.index_objects",
        "objects",
        "higher",
        ("value",),
        "Index files are really in the S3 bucket.",
        "check that the index was built after flush and that storage is remote",
    ),
    _bounded_share(
        "storage.share_of_cold_load",
        "Loading a collection from the bucket does not wait for the store for most of its time.",
        "compare the store's throughput with what it promises (docs/attribution.md)",
    ),
    _bounded_share(
        "storage.share_of_slow_search",
        "The slowest searches do not wait for the store for most of their time.",
        "give the query nodes memory for what they serve, or a faster store (docs/attribution.md)",
    ),
    Metric(
        "restart.seconds_to_answer",
        "s",
        "lower",
        ("value",),
        "After a restart the server answers searches again in time.",
        _RESTART_REMEDY,
    ),
    _count(
        "restart.rows_lost",
        "rows",
        "A restart loses, adds and changes no row: the manifest is the same.",
        _RESTART_REMEDY,
    ),
    _count(
        "restart.answers_changed",
        "queries",
        "The same queries have the same answers after a restart.",
        _RESTART_REMEDY,
    ),
    _count(
        "drill.rows_lost",
        "rows",
        "No row acknowledged while the store fails is lost, changed or beyond reach after.",
        "find in the evidence which keys are missing and when they were flushed; do not go live",
    ),
    _count(
        "drill.rows_unexpected",
        "rows",
        "Nothing is stored twice, or unsent, because the store failed.",
        "look in Milvus's data node log for a flush that was tried again after it had succeeded",
    ),
    _count(
        "drill.wrong_answers",
        "answers",
        "A search is answered rightly or not at all while the store fails, and rightly after.",
        "repeat the query that the evidence names; compare loaded segments with stored ones",
    ),
    _count(
        "drill.damage_served",
        "answers",
        "An object that is damaged in the store is refused, and no wrong answer served from it.",
        "let the store scrub its objects: this Milvus does not notice every bit that is wrong",
    ),
    _count(
        "drill.requests_failed",
        "requests",
        "While the store is well no search or insert fails, nor once Milvus has a new key.",
        "if it happens without a fault too, the host is overloaded; else read Milvus's proxy log",
    ),
    _count(
        "drill.server_restarts",
        "restarts",
        "Milvus does not end because the store failed.",
        "see that something starts it again at once; its last words are in the evidence",
    ),
    Metric(
        "drill.seconds_to_recover",
        "s",
        "lower",
        ("value",),
        "Once the store is well again, Milvus writes, loads and searches again in time.",
        "repeat the step that failed by hand; if a restart of Milvus mends it, alert on that",
    ),
)

CATALOGUE: dict[str, Metric] = {metric.name: metric for metric in _ALL}

SITE_PREFIX = "site."
CHECK_METRIC = "check.assertion"
"""A test of the suite that asserts without a gate: one sample, 0 held or 1 broken."""

CATALOGUE[CHECK_METRIC] = _count(
    CHECK_METRIC,
    "failures",
    "Every plain assertion in the checks holds.",
    "read the assertion in the report",
)
