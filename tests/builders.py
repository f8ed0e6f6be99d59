"""Believable runs for the tests of reports: what a recorder would have kept, without a server.

The observations go through the real recorder, rules and judgement; only the figures are made up,
with fixed seeds and fixed times, so that two builds are the same to the byte.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from validation.report.results import Check, Host, Phase, Results, State
from validation.report.store import write_results
from validation.runs.folder import judged, publish
from validation.runs.profiles import PROFILES
from validation.runs.recorder import Recorder
from validation.target import Milvus, Storage, Target, Wal
from validation.verdicts import rules as rules_file
from validation.verdicts.catalogue import CHECK_METRIC
from validation.verdicts.verdict import Outcome, Rule

START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
PROFILE = PROFILES["smoke"]

RULES: dict[str, dict[str, Any]] = {
    "identity": {"metric": "identity.mismatches", "max": 0, "unit": "mismatches"},
    "data.complete": {"metric": "data.rows_missing", "max": 0, "unit": "rows"},
    "data.unchanged": {"metric": "data.rows_changed", "max": 0, "unit": "rows"},
    "recall.flat": {
        "metric": "ann_overlap@10",
        "where": {"index": "FLAT"},
        "min": 0.99,
        "unit": "ratio",
    },
    "recall.hnsw": {
        "metric": "ann_overlap@10",
        "where": {"index": "HNSW"},
        "min": 0.95,
        "unit": "ratio",
    },
    "recall.ivf": {
        "metric": "ann_overlap@10",
        "where": {"index": "IVF_FLAT"},
        "min": 0.97,
        "unit": "ratio",
        "required": False,
    },
    "recall.diskann": {
        "metric": "ann_overlap@10",
        "where": {"index": "DISKANN"},
        "min": 0.9,
        "unit": "ratio",
        "required": False,
    },
    "recall.filtered": {"metric": "filtered_ann_overlap@10", "min": 0.9, "unit": "ratio"},
    "filter.holds": {"metric": "filter.violations", "max": 0, "unit": "rows"},
    "retrieval.ndcg": {"metric": "ndcg@10", "min": 0.5, "unit": "ratio", "required": False},
    "latency.serial": {
        "metric": "search.latency.serial",
        "where": {"target": "local"},
        "statistic": "p99",
        "max": 50,
        "unit": "ms",
    },
    "latency.open-loop": {
        "metric": "search.latency.open_loop",
        "statistic": "p99",
        "max": 80,
        "unit": "ms",
    },
    "latency.serial.fast": {
        "metric": "search.latency.serial",
        "where": {"target": "local"},
        "statistic": "p50",
        "max": 1,
        "unit": "ms",
        "required": False,
    },
    "storage.persisted": {"metric": "storage.persisted_ratio", "min": 0.9, "unit": "ratio"},
    "restart.answers": {
        "metric": "restart.seconds_to_answer",
        "max": 60,
        "unit": "s",
    },
    "site.tickets": {
        "metric": "site.tickets_found",
        "where": {"target": "local"},
        "min": 3,
        "unit": "tickets",
        "required": False,
    },
}


def parsed_rules() -> list[Rule]:
    document = {"schema": rules_file.SCHEMA, "rules": RULES}
    return rules_file.parse(document, source="tests")


def targets() -> tuple[Target, Target]:
    full = Target(
        name="local",
        description="the embedded stack on this host",
        milvus=Milvus(uri="http://127.0.0.1:19530", version="2.3.5", wal=Wal.ROCKSMQ),
        storage=Storage(provider="minio", endpoint="http://127.0.0.1:9000", bucket="milvus"),
        notes=("Milvus and MinIO share this host with the client.",),
    )
    lite = Target(
        name="local-lite",
        description="Milvus Lite, for keyword and hybrid search",
        milvus=Milvus(uri="/tmp/lite.db", deployment="lite", version="3.2.2"),
    )
    return full, lite


def overlaps(mean: float, n: int = PROFILE.queries, seed: int = 1) -> np.ndarray:
    """Shares of ten neighbours found, float64, shape (n,)."""
    return np.random.default_rng(seed).binomial(10, mean, n) / 10


def latencies(median: float, n: int = 500, seed: int = 2, failed: int = 0) -> np.ndarray:
    """Milliseconds with a long tail, float64, shape (n,); failed requests are infinite."""
    values = np.random.default_rng(seed).lognormal(np.log(median), 0.35, n)
    values[:failed] = np.inf
    return values


def build(
    folder: Path,
    *,
    hnsw: float = 0.985,
    missing_rows: int = 0,
    serial_ms: float = 3.0,
    failed_searches: int = 0,
    saturated: bool = False,
    state: State = State.COMPLETE,
    reason: str = "",
    extra_checks: tuple[Check, ...] = (),
    hostile: str = "",
) -> Results:
    """Write a run's folder and return its results.

    With the defaults every required gate passes and the advisory ones show the other outcomes.

    Args:
        folder: The run's folder; it is created.
        hnsw: Mean overlap of the HNSW index.
        missing_rows: Rows that were acknowledged and cannot be read back.
        serial_ms: Median latency of serial searches.
        failed_searches: Open-loop searches without an answer.
        saturated: Whether the client was the bottleneck under load.
        state: How the run ended.
        reason: Why it is not complete.
        extra_checks: Further outcomes of tests.
        hostile: Text put wherever a server or a user could put it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = parsed_rules()
    full, lite = (Recorder(folder, target, PROFILE, wanted) for target in targets())
    _observe_full(full, hnsw, missing_rows, serial_ms, failed_searches, saturated, hostile)
    _observe_lite(lite)
    own = _checks(hostile) + extra_checks
    for one in (full, lite):
        mine = [check for check in own if check.target == one.target.name]
        one.observe(CHECK_METRIC, [float(check.outcome == "failed") for check in mine])
    recorders = (full, lite)
    observed = [
        pair for one in recorders for pair in zip(one.part.observations, one.samples, strict=True)
    ]
    results = Results(
        run="20260314-092653-local",
        kit_version="0.1.0",
        state=state,
        reason=reason,
        started=START,
        finished=START + timedelta(seconds=61.4),
        profile=PROFILE.name,
        parameters=PROFILE.model_dump(mode="json"),
        host=Host(
            system="Linux 6.1 x86_64",
            python="3.11.2",
            cpu="Imaginary CPU @ 2.50GHz",
            cores=2,
            memory_bytes=24 * 2**30,
        ),
        targets=tuple(one.part.target for one in recorders),
        servers={
            "local": {
                "version": "v2.3.5" + hostile,
                "deployment": "standalone",
                "indexes": ["HNSW"],
            },
            "local-lite": {"version": "3.2.2", "sparse": True},
        },
        datasets=(
            {
                "name": "generated",
                "rows": 5000,
                "dim": 128,
                "metric": "L2",
                "queries": 400,
                "seed": 20240501,
                "fingerprint": "9b74c9897bac770f",
            },
            {
                "name": "handbook" + hostile,
                "rows": 412,
                "dim": 384,
                "metric": "COSINE",
                "queries": 126,
                "fingerprint": "1c9e2f0a77d01b5e",
            },
        ),
        phases=_phases(),
        checks=own,
        observations=tuple(seen for seen, _ in observed),
        verdict=Outcome.INCONCLUSIVE,
    )
    results = judged(results, folder, wanted, rules_source="stacks/local.slo.yaml")
    write_results(folder, results)
    return results


def build_again(folder: Path, number: int, *, rendered: bool = True, **changes: Any) -> Results:
    """Write a run that began ``number`` days after the first one, and return its results.

    Args:
        folder: The run's folder; it is created, and its name is the run's.
        number: Days since `START`.
        rendered: Whether it is published, with its page; that takes most of the time.
        changes: As of `build`.
    """
    results = build(folder, **changes)
    started = START + timedelta(days=number)
    took = results.finished - results.started
    results = results.model_copy(
        update={"run": folder.name, "started": started, "finished": started + took}
    )
    if rendered:
        publish(results, folder)
    else:
        write_results(folder, results)
    return results


def _observe_full(  # noqa: PLR0917  (one row of figures)
    recorder: Recorder,
    hnsw: float,
    missing_rows: int,
    serial_ms: float,
    failed_searches: int,
    saturated: bool,
    hostile: str,
) -> None:
    recorder.observe("identity.mismatches", [0], check="checks/test_identity.py::test_declared")
    recorder.observe(
        "data.rows_missing",
        [missing_rows],
        evidence={"first missing": list(range(min(missing_rows, 5))), "server": "ok" + hostile},
        check="checks/test_data.py::test_complete",
    )
    recorder.observe("data.rows_changed", [0], check="checks/test_data.py::test_unchanged")
    for seed, (index, mean) in enumerate({"FLAT": 1.0, "IVF_FLAT": 0.965, "HNSW": hnsw}.items()):
        recorder.observe(
            "ann_overlap@10",
            overlaps(mean, seed=seed),
            labels={"index": index},
            evidence={"ef": 64},
            check=f"checks/test_recall.py::test_neighbours[{index}]",
        )
    recorder.observe(
        "ann_overlap@10",
        labels={"index": "DISKANN"},
        not_measured="the server did not build the index within 2 s" + hostile,
        check="checks/test_recall.py::test_neighbours[DISKANN]",
    )
    for seed, selectivity in enumerate((0.5, 0.1, 0.01)):
        recorder.observe(
            "filtered_ann_overlap@10",
            overlaps(0.99 - 0.02 * seed, seed=10 + seed),
            labels={"selectivity": selectivity, "index": "HNSW"},
            check="checks/test_recall.py::test_filtered",
        )
    recorder.observe("filter.violations", [0], check="checks/test_recall.py::test_filtered")
    recorder.observe(
        "search.latency.serial",
        latencies(serial_ms),
        check="checks/test_latency.py::test_serial",
    )
    recorder.observe(
        "search.latency.open_loop",
        latencies(serial_ms * 1.6, seed=3, failed=failed_searches),
        labels={"rate": 50},
        void="the client was saturated: 31 % of sends were late" if saturated else None,
        evidence={"offered": 50, "achieved": 49.98, "late sends": 0.002},
        check="checks/test_latency.py::test_open_loop",
    )
    recorder.observe("storage.persisted_ratio", [1.07], check="checks/test_storage.py::test_kept")
    recorder.observe(
        "restart.seconds_to_answer", [9.3], check="checks/test_lifecycle.py::test_restart"
    )
    recorder.observe(
        "site.tickets_found",
        [2],
        unit="tickets",
        labels={"who": hostile or "support"},
        check="site/test_tickets.py::test_found",
    )


def _observe_lite(recorder: Recorder) -> None:
    for seed, (mode, mean) in enumerate({"vector": 0.72, "bm25": 0.64, "hybrid": 0.81}.items()):
        generator = np.random.default_rng(20 + seed)
        for metric, share in (("ndcg@10", mean), ("mrr@10", mean + 0.05)):
            recorder.observe(
                metric,
                generator.beta(6 * share, 6 * (1 - share), 126),
                labels={"method": mode},
                check=f"checks/test_retrieval.py::test_ranking[{mode}]",
            )


def _checks(hostile: str) -> tuple[Check, ...]:
    full = [
        ("checks/test_identity.py::test_declared", "passed", 0.2, ""),
        ("checks/test_data.py::test_complete", "passed", 1.1, ""),
        ("checks/test_recall.py::test_neighbours[HNSW]", "passed", 2.4, ""),
        (
            "checks/test_recall.py::test_neighbours[DISKANN]",
            "skipped",
            2.0,
            "the server did not build the index within 2 s" + hostile,
        ),
        ("checks/test_latency.py::test_open_loop", "passed", 10.3, ""),
    ]
    lite = [("checks/test_retrieval.py::test_ranking[hybrid]", "passed", 1.4, "")]
    return tuple(
        Check.model_validate(
            {
                "id": name,
                "outcome": outcome,
                "seconds": seconds,
                "message": message,
                "target": target,
            }
        )
        for target, rows in (("local", full), ("local-lite", lite))
        for name, outcome, seconds, message in rows
    )


def _phases() -> tuple[Phase, ...]:
    rows = [
        ("start Milvus and S3", 0.0, 8.8, ""),
        ("load", 8.8, 6.1, "local"),
        ("build indexes", 14.9, 9.7, "local"),
        ("exact ground truth", 8.8, 4.2, ""),
        ("search", 24.6, 17.0, "local"),
        ("keyword and hybrid", 24.9, 8.2, "local-lite"),
        ("restart", 41.6, 11.9, "local"),
        ("stop", 53.5, 3.2, ""),
    ]
    return tuple(
        Phase(name=name, started=START + timedelta(seconds=at), seconds=seconds, target=target)
        for name, at, seconds, target in rows
    )
