"""The claim families in the order in which they are shown, and what is said of each in a line."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from validation.verdicts.verdict import Outcome, Verdict

FAMILIES = {
    "identity": "Identity",
    "hosts": "Hosts",
    "security": "Security",
    "data": "Data",
    "loading": "Loading",
    "answers": "Answers",
    "recall": "Recall",
    "retrieval": "Retrieval quality",
    "mutations": "Changed rows",
    "filters": "Filters",
    "latency": "Latency",
    "load": "Sustained load",
    "living": "Living data",
    "segments": "Segments",
    "storage": "Storage",
    "lifecycle": "Lifecycle",
    "drill": "Drill",
    "upgrade": "Upgrade",
    "assertions": "Assertions",
    "site": "Site's own",
    "other": "Other",
}
"""The claim families in the order in which they are shown."""

_FAMILY_OF = {
    "identity.": "identity",
    "hosts.": "hosts",
    "security.": "security",
    "data.": "data",
    "segments.miscounted": "data",
    "segments.": "segments",
    "search.latency.first": "segments",
    "replicas.": "data",
    "loading.": "loading",
    "ann_overlap": "recall",
    "filtered_ann_overlap": "recall",
    "filter.": "answers",
    "exact_search.": "answers",
    "answers.": "answers",
    "mutations.": "mutations",
    "partitions.": "mutations",
    "iterator.": "mutations",
    "filters.": "filters",
    "ndcg": "retrieval",
    "mrr": "retrieval",
    "qrels_recall": "retrieval",
    "search.": "latency",
    "load.": "load",
    "history.": "living",
    "write.": "living",
    "ingest.": "living",
    "storage.": "storage",
    "restart.": "lifecycle",
    "drill.": "drill",
    "upgrade.": "upgrade",
    "check.": "assertions",
    "site.": "site",
}

_WORST_FIRST = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED, Outcome.PASS)
_SAID = {
    Outcome.FAIL: "failed",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.NOT_MEASURED: "not measured",
}


@dataclasses.dataclass(frozen=True)
class Family:
    """What became of one family's gates at one target.

    Args:
        title: Its name for readers.
        gates: Its gates, in the order of the rules.
    """

    title: str
    gates: Sequence[Verdict]

    @property
    def required(self) -> bool:
        """Whether the run's verdict depends on any of its gates."""
        return any(gate.required for gate in self.gates)

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of its required gates; of the advisory ones if there are no others."""
        deciding = {gate.outcome for gate in self.gates if gate.required is self.required}
        return next(one for one in _WORST_FIRST if one in deciding)

    @property
    def said(self) -> str:
        """How many gates passed, and what became of the others."""
        parts = []
        for required, title in ((True, ""), (False, "advisory: ")):
            counts = Counter(gate.outcome for gate in self.gates if gate.required is required)
            if counts:
                passed = f"{counts[Outcome.PASS]} of {counts.total()} passed"
                others = [f"{counts[one]} {_SAID[one]}" for one in _SAID if counts[one]]
                parts.append(title + ", ".join([passed, *others]))
        return "; ".join(parts)


def family(metric: str) -> str:
    """Return the claim family of a metric, a key of `FAMILIES`."""
    return next((name for start, name in _FAMILY_OF.items() if metric.startswith(start)), "other")


def families(gates: Iterable[Verdict]) -> list[Family]:
    """Return gates by family, in the order in which families are shown."""
    inside: dict[str, list[Verdict]] = {}
    for gate in gates:
        inside.setdefault(family(gate.rule.metric), []).append(gate)
    return [Family(title, inside[name]) for name, title in FAMILIES.items() if name in inside]
