"""The faults: each says what it breaks, and which gates have to turn red for it.

A fault is planted where it would happen: in what the server is sent, in what it answers, on the
line between, or in what the suite compares with. The checks themselves are not touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from validation import workload
from validation.load import plan
from validation.local import stack
from validation.milvus import loading, manifest, searching
from validation.selftest import plants
from validation.selftest.plants import ROWS, Plant, patched
from validation.verdict import Rule

UNPLANTED = {
    "checks.assertions": "an assertion that breaks is planted in the kit's own tests of the plugin",
    "recall.diskann": "the embedded server cannot build it",
}
"""Gates without a fault, and why."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One planted fault.

    Args:
        name: As in ``milvus-kit selftest --fault NAME``.
        story: What goes wrong, in a reader's words.
        turns_red: Whether a gate of this rule has to turn red; all others must not.
        plant: Plants it, yields the target to run the suite on, and takes it away again.
        may_turn_red: Whether a gate of this rule may turn red as well: it depends on the machine.
        lite: Whether it also concerns what only Milvus Lite can do here: keyword and hybrid search.
    """

    name: str
    story: str
    turns_red: Callable[[Rule], bool]
    plant: Plant
    may_turn_red: Callable[[Rule], bool] = lambda _: False
    lite: bool = False


def metrics(*names: str) -> Callable[[Rule], bool]:
    """Return whether a rule is of one of these metrics."""
    return lambda rule: rule.metric in names


def tails(*names: str) -> Callable[[Rule], bool]:
    """Return whether a rule is of the slowest answers of one of these metrics."""
    return lambda rule: rule.metric in names and rule.statistic in {"p99", "p99.9", "max"}


def medians(*names: str) -> Callable[[Rule], bool]:
    """Return whether a rule is of the usual answer of one of these metrics."""
    return lambda rule: rule.metric in names and rule.statistic == "p50"


def either(*rules: Callable[[Rule], bool]) -> Callable[[Rule], bool]:
    """Return whether one of these holds for a rule."""
    return lambda rule: any(one(rule) for one in rules)


_SERIAL, _OFFERED = "search.latency.serial", "search.latency.open_loop"
_RELEVANCE = ("ndcg@10", "mrr@10", "qrels_recall@10")

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "shuffled-ground-truth",
            "the exact neighbours that results are compared with belong to other queries",
            metrics("ann_overlap@10", "filtered_ann_overlap@10", "exact_search.misses"),
            patched(workload, "truth", plants.shuffled_truth),
        ),
        Fault(
            "dropped-rows",
            f"{ROWS} rows are acknowledged and not stored",
            metrics("data.rows_missing", "data.row_count_error"),
            patched(loading, "insert", plants.sent_otherwise(plants.without_rows)),
        ),
        Fault(
            "delayed-replies",
            "every 20th answer is 0.6 s late",
            tails(_SERIAL, _OFFERED),
            plants.stalling_line(every=20, seconds=0.6),
        ),
        Fault(
            "leaking-filter",
            "one result of a filtered search breaks its filter",
            metrics("filter.violations"),
            patched(searching, "search", plants.leaking_filter),
        ),
        Fault(
            "stale-row-count",
            f"the server counts {ROWS} rows too few",
            metrics("data.row_count_error"),
            patched(manifest, "count", plants.stale_count),
        ),
        Fault(
            "ignored-filter",
            "filtered searches answer as if there were no filter",
            metrics("filter.violations", "filtered_ann_overlap@10"),
            patched(searching, "search", plants.ignored_filter),
        ),
        Fault(
            "blind-search",
            f"exhaustive search misses a neighbour of {ROWS} queries",
            metrics("exact_search.misses"),
            patched(searching, "search", plants.blind_search),
        ),
        Fault(
            "foreign-rows",
            f"{ROWS} rows are stored that nobody sent",
            metrics("data.rows_unexpected", "data.row_count_error"),
            patched(loading, "insert", plants.sent_otherwise(plants.with_foreign_rows)),
        ),
        Fault(
            "changed-rows",
            f"one bit differs in {ROWS} stored vectors",
            metrics("data.rows_changed"),
            patched(loading, "insert", plants.sent_otherwise(plants.with_changed_rows)),
        ),
        Fault(
            "shuffled-judgements",
            "the relevance judgements belong to other queries",
            metrics(*_RELEVANCE),
            patched(workload, "corpus", plants.shuffled_judgements),
            lite=True,
        ),
        Fault(
            "slow-server",
            "every answer is 60 ms late",
            medians(_SERIAL),
            plants.stalling_line(every=1, seconds=0.06),
            may_turn_red=tails(_SERIAL, _OFFERED),
        ),
        Fault(
            "failing-searches",
            f"one search in {plants.FAILING_EVERY} fails",
            either(metrics("search.errors"), tails(_SERIAL, _OFFERED)),
            patched(plan, "search_plan", plants.failing_searches),
        ),
        Fault(
            "other-version",
            "another version answers than was declared",
            metrics("identity.mismatches"),
            plants.other_version,
        ),
        Fault(
            "empty-bucket",
            "the declared bucket and path hold nothing of Milvus",
            metrics("storage.persisted_ratio", "storage.index_objects"),
            plants.other_root,
        ),
        Fault(
            "forgetful-restart",
            f"{ROWS} rows are gone after a restart",
            metrics("restart.rows_lost"),
            patched(
                stack,
                "restart",
                plants.forgetful_restart("generated", lambda: f"id < {ROWS}"),
            ),
        ),
        Fault(
            "changed-answers",
            "passages that queries found are gone after a restart",
            metrics("restart.rows_lost", "restart.answers_changed"),
            patched(
                stack,
                "restart",
                plants.forgetful_restart("sample_data", plants.first_passages),
            ),
        ),
        Fault(
            "slow-restart",
            f"the server takes {plants.SLOW_SECONDS} s longer to come back",
            metrics("restart.seconds_to_answer"),
            patched(stack, "restart", plants.slow_restart),
        ),
    )
}
