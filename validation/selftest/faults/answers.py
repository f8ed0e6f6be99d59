"""Faults of answers to searches for correctness, with and without filters."""

from __future__ import annotations

from validation.selftest import plants
from validation.selftest.fault import Fault, metrics, on
from validation.selftest.plants import ROWS, patched
from validation.selftest.scene import ANSWERS
from validation.selftest.wire import conditions
from validation.selftest.wire.answers import (
    MissedFirst,
    MixedUp,
    NeverSent,
    Rearranged,
    backwards,
    fields_of_another_row,
    first_five,
    last_but_one_twice,
    last_two_exchanged,
    one_hit_more,
    scaled_scores,
)
from validation.selftest.wire.conditions import Filtered, Where
from validation.suite import workload

SEARCHES = ("Search", "HybridSearch")
_GENERATED, _CORPUS = "generated", "sample_data"
_LATER = conditions.Later("2025-02-01", "2025-02-15")
_BY_VECTOR = Where(field="vector")
_OVERLAP = metrics("ann_overlap@10", "filtered_ann_overlap@10")
_RELEVANCE = ("ndcg@10", "mrr@10", "qrels_recall@10")

FAULTS = (
    Fault(
        "wrong-scores",
        "all distances are scaled and shifted",
        metrics("answers.wrong_scores"),
        wire=(on(*SEARCHES, answer=scaled_scores),),
        scene=ANSWERS,
        lite=True,
    ),
    Fault(
        "reversed-order",
        "generated rows come farthest first, and the last two passages in the wrong order",
        metrics("answers.disordered"),
        wire=(
            on(*SEARCHES, when=Where(_GENERATED), answer=Rearranged(backwards)),
            on(*SEARCHES, when=Where(_CORPUS), answer=Rearranged(last_two_exchanged)),
        ),
        scene=ANSWERS,
        lite=True,
    ),
    Fault(
        "doubled-hits",
        "one answer of a hundred from HNSW or IVF has a row twice",
        metrics("answers.duplicates"),
        wire=(
            on(*SEARCHES, when=Where(approximate=True), answer=Rearranged(last_but_one_twice, 100)),
        ),
        scene=ANSWERS,
    ),
    Fault(
        "in-as-equals",
        "`language in (a, b)` is taken for `language == a`",
        metrics("exact_search.misses"),
        wire=(on("Search", when=_BY_VECTOR, ask=Filtered(conditions.in_as_equals)),),
        scene=ANSWERS,
        lite=True,
    ),
    Fault(
        "later-date",
        "`date >= day` is taken for a fortnight later",
        metrics("exact_search.misses"),
        wire=(
            on(
                "Search",
                when=_BY_VECTOR,
                ask=Filtered(_LATER),
            ),
        ),
        scene=ANSWERS,
        lite=True,
    ),
    Fault(
        "short-answers",
        "filtered answers about passages end after five hits",
        metrics("answers.incomplete"),
        wire=(on(*SEARCHES, when=Where(_CORPUS, filtered=True), answer=Rearranged(first_five)),),
        scene=ANSWERS,
        lite=True,
    ),
    Fault(
        "wrong-fields",
        "output fields are those of another row",
        metrics("answers.wrong_fields"),
        wire=(on(*SEARCHES, answer=fields_of_another_row),),
        scene=ANSWERS,
        lite=True,
    ),
    Fault(
        "ghost-hits",
        "the last hit of one answer of a hundred is a row that nobody sent",
        metrics("answers.unknown"),
        wire=(on(*SEARCHES, answer=NeverSent(100)),),
        scene=ANSWERS,
        may_change=_OVERLAP,
        lite=True,
    ),
    Fault(
        "foreign-answers",
        f"{ROWS} queries of a request get the answers to one another",
        metrics("answers.foreign", "answers.wrong_scores", "exact_search.misses"),
        wire=(on("Search", when=Where(_GENERATED), answer=MixedUp(ROWS)),),
        scene=ANSWERS,
        may_change=_OVERLAP,
    ),
    Fault(
        "blind-search",
        "exhaustive search misses a neighbour of one query in a hundred",
        metrics("exact_search.misses"),
        wire=(
            on(
                "Search",
                when=Where(_GENERATED, filtered=False, approximate=False),
                ask=one_hit_more,
                answer=MissedFirst(1),
            ),
        ),
        scene=ANSWERS,
        may_change=metrics("ann_overlap@10"),
    ),
    Fault(
        "leaking-filter",
        "three rows pass a filter that forbids them",
        metrics("filter.violations"),
        wire=(on("Search", ask=Filtered(conditions.Leaking("bucket < 100", "id < 3"))),),
        scene=ANSWERS,
    ),
    Fault(
        "ignored-filter",
        "filtered searches answer as if there were no filter",
        metrics("filter.violations", "filtered_ann_overlap@10"),
        wire=(on(*SEARCHES, ask=Filtered(conditions.without)),),
        scene=ANSWERS,
        may_change=metrics(*_RELEVANCE),
        lite=True,
    ),
    Fault(
        "shuffled-ground-truth",
        "the exact neighbours that results are compared with belong to other queries",
        metrics("ann_overlap@10", "filtered_ann_overlap@10", "exact_search.misses"),
        plant=patched(workload, "truth", plants.shuffled_truth),
        scene=ANSWERS,
    ),
    Fault(
        "shuffled-judgements",
        "the relevance judgements belong to other queries",
        metrics(*_RELEVANCE),
        plant=patched(workload, "corpus", plants.shuffled_judgements),
        scene=ANSWERS,
        lite=True,
    ),
)
