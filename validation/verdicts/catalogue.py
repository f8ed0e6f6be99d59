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

    @property
    def span(self) -> tuple[float, float]:
        """What a sample can be at least and at most."""
        return 0.0, self.highest


def span_of(name: str) -> tuple[float, float]:
    """Return what a metric's sample can be at least and at most; a site's own can be anything."""
    known = CATALOGUE.get(name)
    return known.span if known else (-math.inf, math.inf)


def _count(name: str, unit: str, claim: str, remedy: str) -> Metric:
    """Return a metric that counts things that should not be there."""
    return Metric(name, unit, "lower", ("sum",), claim, remedy)


def _share(name: str, claim: str, remedy: str) -> Metric:
    """Return a metric whose samples lie in [0, 1] and should be near 1."""
    return Metric(name, "ratio", "higher", ("proportion", "mean"), claim, remedy, highest=1.0)


def _latency(name: str, claim: str, remedy: str) -> Metric:
    """Return a latency. A failed request counts as infinitely slow."""
    return Metric(name, "ms", "lower", (*PERCENTILES, "mean", "max"), claim, remedy)


def _slowdown(name: str, claim: str, remedy: str) -> Metric:
    """Return a ratio of times that is only known to lie between two bounds."""
    return Metric(name, "ratio", "lower", ("bounds",), claim, remedy)


def _bounded_share(name: str, claim: str, remedy: str) -> Metric:
    """Return a share that is only known to lie between two bounds, and should be small."""
    return Metric(name, "ratio", "lower", ("bounds",), claim, remedy, highest=1.0)


_RETRIEVAL_REMEDY = (
    "compare the embedding model, analyzer and index parameters with those of the baseline run"
)
_RESTART_REMEDY = (
    "read Milvus's log around the restart; check the log's and the bucket's durability"
)

_WRONG_ANSWER = "the evidence names a query to repeat; do not go live"

_FILTERS = (
    "the evidence names filter, way of asking and keys; where they are wrong only once the field is"
    " indexed, drop that index; look for a newer patch release; see docs/filters.md"
)
_MUTATED = (
    "look the keys of the evidence up; compare deltas and segments in the log of the data nodes; "
    "do not go live"
)

_ALL = (
    _count(
        "identity.mismatches",
        "mismatches",
        "What answers is of the version that was declared.",
        "correct the declaration, or find out what was deployed instead",
    ),
    _count(
        "identity.drift",
        "differences",
        "What runs in the cluster is what was declared, field by field.",
        "`pulumi up --refresh` puts it back; find out who changed it",
    ),
    _count(
        "hosts.unfit",
        "reasons",
        "The machines have what Milvus needs: kernel settings, limits, CPU, NVMe, GPUs.",
        "the evidence names machine, setting and what to set; docs/hosts.md lists them all",
    ),
    Metric(
        "hosts.clock_off",
        "ms",
        "lower",
        ("max",),
        "The machines' clocks agree with each other's.",
        "let chrony or systemd-timesyncd set the clock of each machine",
    ),
    _count(
        "hosts.store_lost",
        "connections",
        "No connection from the machines to the store loses a packet.",
        "look at the errors of interfaces and switch ports on the way (`ip -s link`)",
    ),
    _count(
        "hosts.store_mtu",
        "paths",
        "The largest packets that the machines send get to the store in one piece.",
        "set the same MTU on all interfaces and switches on the way; jumbo frames need all of them",
    ),
    _count(
        "security.certificate_flaws",
        "flaws",
        "A certificate is signed by whom the target trusts, names the endpoint, and is valid now.",
        "the evidence says which; renew the certificate, or correct the target's CA or server name",
    ),
    Metric(
        "security.certificate_days_left",
        "days",
        "higher",
        ("value",),
        "A certificate is valid for long enough to be renewed in time.",
        "renew it; `pulumi up` renews those that the kit signs",
    ),
    _count(
        "security.protocol_flaws",
        "flaws",
        "TLS 1.1 and older and broken ciphers are refused.",
        "upgrade Milvus or the store, or put an ingress that refuses them in front",
    ),
    _count(
        "security.let_in",
        "strangers",
        "Nobody is let in without a user's password, with the well-known one, or without TLS.",
        "switch on authentication (common.security.authorizationEnabled), change root's password",
    ),
    _count(
        "security.management_open",
        "paths",
        "Port 9091 serves nobody unknown more than health and metrics.",
        "let a NetworkPolicy keep the port to the monitoring; upgrade Milvus; see docs/security.md",
    ),
    _count(
        "security.vulnerabilities",
        "vulnerabilities",
        "The version that answers has no published vulnerability that needs no password.",
        "upgrade to the first version that the evidence names",
    ),
    _count(
        "security.rights_exceeded",
        "acts",
        "Who may read one collection can do nothing else.",
        "look at the grants of the role public, and for a newer patch release",
    ),
    _count(
        "security.store_key_excess",
        "acts",
        "The key that Milvus has for its store is of no use beyond its bucket.",
        "give Milvus a key of its own with the policy of infra/storage/policy.py",
    ),
    _count(
        "security.secrets_found",
        "places",
        "No secret stands in a log, a configuration, a run's files or a process's arguments.",
        "change the secret that the evidence names, then find out who wrote it there",
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
    _count(
        "segments.miscounted",
        "rows",
        "The segments that are stored have together the rows that were acknowledged.",
        "compare `num_rows` of the segments with count(*); look in the data coordinator's log for a"
        " segment that was dropped or flushed by half; do not go live",
    ),
    _count(
        "replicas.miscounted",
        "rows",
        "Each replica's query nodes hold the segments of all rows.",
        "look in the query coordinator's log for a segment that does not load; searches in the"
        " replica miss its rows",
    ),
    Metric(
        "loading.rate",
        "rows/s",
        "higher",
        ("value",),
        "Insert keeps up with the ingest that was promised.",
        "look at the log's latency, batch size and the data nodes' CPU; where Milvus itself limits"
        " inserts, at quotaAndLimits.dml.insertRate",
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
    _share(
        "filtered_ann_overlap@10",
        "Filtered search finds the exact nearest neighbours among the rows that match.",
        "raise the search width (ef, nprobe); on Milvus, though not on Milvus Lite, also index the"
        " scalar field",
    ),
    _count(
        "exact_search.misses",
        "neighbours",
        "Exhaustive search, filtered or not, leaves out no row that is nearer than its last hit.",
        "compare loaded segments with stored ones; a segment that is not loaded is not searched",
    ),
    _count(
        "filter.violations",
        "rows",
        "No result breaks its filter.",
        "a result outside its filter is a correctness or access-control defect: do not go live",
    ),
    _count(
        "answers.incomplete",
        "hits",
        "An answer has as many hits as were asked for, if so many rows match.",
        "compare loaded segments with stored ones; for approximate indexes under a narrow filter, "
        "raise the search width",
    ),
    _count(
        "answers.duplicates",
        "hits",
        "No row is in an answer twice.",
        "look for a segment that two query nodes serve at once; " + _WRONG_ANSWER,
    ),
    _count(
        "answers.unknown",
        "hits",
        "No row is found that was never sent or is deleted.",
        "look for a second writer, or deletes that a compaction lost; " + _WRONG_ANSWER,
    ),
    _count(
        "answers.disordered",
        "hits",
        "Better hits come first, by the answer's own scores.",
        "look at what is between client and query nodes: the proxy merges what they answer",
    ),
    _count(
        "answers.wrong_scores",
        "hits",
        "A hit's score is the exact distance of that row to that query.",
        "compare the metric type and the stored vectors with those that were sent; "
        + _WRONG_ANSWER,
    ),
    _count(
        "answers.wrong_fields",
        "hits",
        "The output fields of a hit are those of its row.",
        "query the row that the evidence names by its primary key and compare; " + _WRONG_ANSWER,
    ),
    _count(
        "answers.foreign",
        "answers",
        "The answer to a query is its own, not that of another one.",
        "look at what is between client and server: replies are mixed up; " + _WRONG_ANSWER,
    ),
    _count(
        "mutations.rows_back",
        "rows",
        "What was deleted, or in a partition that was dropped, does not come back.",
        _MUTATED,
    ),
    _count(
        "mutations.rows_stale",
        "rows",
        "A row has the content that was sent last.",
        _MUTATED,
    ),
    _count(
        "mutations.rows_missing",
        "rows",
        "Deletes and upserts take away no row but those they name.",
        _MUTATED,
    ),
    _count(
        "mutations.rows_doubled",
        "rows",
        "An upsert takes the place of a row, and does not stand beside it.",
        _MUTATED,
    ),
    _count(
        "mutations.miscounted",
        "rows",
        "The server counts the rows that are there after deletes and upserts.",
        _MUTATED,
    ),
    _count(
        "partitions.miscounted",
        "rows",
        "The server counts the rows of one partition.",
        "count again with `partition_names`; some servers count all rows whatever is named",
    ),
    _count(
        "partitions.rows_astray",
        "hits",
        "A search in a partition finds rows of that partition alone.",
        "a partition that keeps tenants apart is access control: do not go live",
    ),
    _count(
        "iterator.rows_missing",
        "rows",
        "An iterator returns every row.",
        "read by ranges of the primary key until it does; compare with `count(*)`",
    ),
    _count(
        "iterator.rows_unexpected",
        "rows",
        "An iterator returns each row once, and none that is not there.",
        "read by ranges of the primary key until it does; compare with `count(*)`",
    ),
    _count(
        "filters.rows_missing",
        "rows",
        "Every row that satisfies a filter comes back, whatever type the filter is about.",
        _FILTERS,
    ),
    _count(
        "filters.rows_unexpected",
        "rows",
        "No row comes back that does not satisfy the filter.",
        _FILTERS,
    ),
    _share("ndcg@10", "Good passages are ranked first (graded relevance).", _RETRIEVAL_REMEDY),
    _share("mrr@10", "The first relevant passage comes early.", _RETRIEVAL_REMEDY),
    _share("qrels_recall@10", "Judged-relevant passages are found.", _RETRIEVAL_REMEDY),
    Metric(
        "load.sustained_rate",
        "searches/s",
        "higher",
        ("p50",),
        "So many searches a second are answered while every rule for searches holds.",
        "the evidence says which rule broke first: add query nodes or replicas if it is latency or "
        "the queue, revisit the index if it is recall",
    ),
    _count(
        "history.lost",
        "rows",
        "No acknowledged row is lost while others are written and read.",
        "look for the key in Milvus's data node log and in the bucket; do not go live",
    ),
    _count(
        "history.stale",
        "rows",
        "A read sees the newest state of a row that its consistency level promises.",
        "the evidence names key and read; see docs/living.md for what versions are known to do",
    ),
    _count(
        "history.resurrected",
        "rows",
        "A deleted row is not seen again.",
        "look for the delete in Milvus's log and for compactions since; do not go live",
    ),
    _count(
        "history.duplicates",
        "rows",
        "No answer holds a key twice.",
        "compare the segments that hold the key; an upsert may have been applied by half",
    ),
    _count(
        "history.wrong_values",
        "rows",
        "A row read while others are written has the fields that were written with it.",
        "test the S3 store's integrity (`milvus-kit preflight`); do not go live",
    ),
    _count(
        "history.phantoms",
        "rows",
        "No row is seen that was never written, was refused, or was not sent yet.",
        "look for a second writer; else for a write that was refused and applied all the same",
    ),
    _count(
        "history.miscounted",
        "counts",
        "count(*) is a number of rows that there may have been.",
        "compare count(*) with a scan of all rows, when nothing is written",
    ),
    Metric(
        "write.longest_gap",
        "s",
        "lower",
        ("value",),
        "Writes are never refused for long.",
        "read the log's messages of that time: a fenced channel refuses writes for a while",
    ),
    _latency(
        "write.latency",
        "Inserts, upserts and deletes are acknowledged in time while rows are read.",
        "look at the log's own latency: Milvus acknowledges what its log has stored",
    ),
    _latency(
        "write.visible_after",
        "A row that was acknowledged is seen soon, by each consistency level.",
        "Bounded and Eventually may lag by `common.gracefulTime`; beyond it, look at the lag of the"
        " query nodes behind the log",
    ),
    _share(
        "ingest.recall",
        "While rows come in, searches find the exact neighbours of what is there at their time.",
        "compare growing and sealed segments in memory; a query node may lag behind the log",
    ),
    Metric(
        "segments.seconds",
        "s",
        "lower",
        ("value",),
        "Segments are sealed, flushed, indexed, compacted and loaded in time.",
        "look at the data and index nodes' CPU, and the queue of builds and compactions",
    ),
    _slowdown(
        "segments.slowdown",
        "Searches take about as long as in quiet while segments grow, are flushed and compacted.",
        "growing segments are searched without an index: flush more often, add query nodes; keep"
        " index building and compaction on nodes of their own",
    ),
    _share(
        "segments.recall",
        "Searches find the rows that are there, whatever becomes of their segments meanwhile.",
        "the evidence names the stage; compare the segments in memory with those that are stored",
    ),
    _count(
        "segments.searches_failed",
        "searches",
        "No search fails while segments change hands.",
        "read the first error in the evidence, and the query coordinator's log of that time",
    ),
    _latency(
        "search.latency.first",
        "The first search after a load is answered in time: what is loaded is in memory.",
        "if it reads the store, look for `mmap`, lazy load and a cache that is too small",
    ),
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
    _count(
        "storage.objects_missing",
        "objects",
        "The bucket holds the logs and index files of every segment that Milvus names.",
        "see who may delete in the bucket besides Milvus (lifecycle rules, clean-up jobs); restore"
        " the object before the segment is loaded again",
    ),
    _count(
        "storage.objects_unnamed",
        "objects",
        "The bucket holds nothing of a collection but of segments that Milvus names, or named.",
        "look in the data coordinator's log for a flush or compaction that broke off; Milvus"
        " collects such objects in time (dataCoord.gc.missingTolerance)",
    ),
    Metric(
        "storage.growth",
        "ratio",
        "lower",
        ("value",),
        "What the bucket holds of a collection is not many times what its segments name.",
        "see that garbage is collected (dataCoord.gc), and that nobody else writes there",
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
    _count(
        "upgrade.differences",
        "differences",
        "Nothing that the database held is lost, changed, back again or not served any more.",
        "read `milvus-kit manifest diff` of the two manifests; go back before anything is written",
    ),
    _count(
        "upgrade.wrong_answers",
        "answers",
        "Every answer after is right as a whole.",
        "run `milvus-kit validate` on it; do not go live",
    ),
    _count(
        "upgrade.requests_failed",
        "requests",
        "No request fails after, of those that did not fail before.",
        "read Milvus's proxy log",
    ),
    _bounded_share(
        "upgrade.recall_loss",
        "Searches find as many of their exact neighbours as before.",
        "compare indexes and search parameters of both versions; build the index anew",
    ),
    _slowdown(
        "upgrade.slowdown",
        "Searches, writes, flush and load take no longer than before, but for the margin.",
        "read the release notes for changed defaults; compare the configuration that is running",
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
