"""What a search of the highest rate has found: samples for the gate, and why they may be void."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from validation.load.plans.model import STANDARD, LoadPlan
from validation.load.slo.background import Background
from validation.load.slo.calibration import Calibration
from validation.load.slo.search import LOWEST, Held, Round, Trial
from validation.load.slo.trial import RECALL
from validation.verdicts.judging import BEHIND
from validation.verdicts.verdict import Rule


@dataclasses.dataclass(frozen=True)
class Finding:
    """One search of the highest rate.

    Args:
        rounds: What each found.
        trials: All, in their order.
        client: What it could have sent.
        beside: What went on meanwhile.
        closed_loop_rate: Searches a second of the closed loop that said where to look first.
        plan: What was asked.
    """

    rounds: Sequence[Round]
    trials: Sequence[Trial]
    client: Calibration
    beside: Background
    closed_loop_rate: float
    plan: LoadPlan = STANDARD

    @property
    def rates(self) -> list[float]:
        """The samples: the rate of each round."""
        return [one.rate for one in self.rounds]

    def why_void(self, least: float) -> str:
        """Return why the rates must not be judged; empty if they may.

        Args:
            least: What the rule asks for.
        """
        if self.trials and self.trials[-1].dead:
            return (
                ""  # the server is gone, which is no fault of the client's nor of what ran beside
            )
        if self.beside.failure:
            return f"loading beside it ended: {self.beside.failure}"
        opened = next((one.open for one in self.rounds if one.open), "")
        if opened:
            return f"the client may be the limit: {opened}"
        only = self.plan.rate
        if only is not None and all(self.rates) and least > only:
            return f"{only:g}/s alone was offered, and the rule asks for more"
        if only is None and least < LOWEST and not all(self.rates):
            return f"no rate from {LOWEST:g}/s on held, and lower ones are not looked for"
        # A rate that is too low has failed, whatever else might have been sent.
        missing = self._missing() if max(self.rates) >= least else ""
        return missing or self.client.why_void(max(self.rates) / self.plan.searched)

    def _missing(self) -> str:
        """Return that a kind of the mix was never answered where the rules held; empty if all."""
        held = [one.figures["kinds"] for one in self.trials if one.held is Held.YES]
        for kind in self.plan.mix if held else ():
            sent = sum(one[kind]["requests"] for one in held)
            if not sent:
                return f"of {kind} none was sent in a trial that held: give it a higher weight"
            if sent == sum(one[kind]["failed"] for one in held):
                return f"of {kind} none of {sent} was answered in a trial that held"
        return ""

    def _judged(self, rules: Sequence[Rule]) -> dict[str, list[str]]:
        """Return which rules a trial was held against; one for recall, of which kinds it was not.

        Hybrid searches have no recall here, nor has a kind to which nothing was to be found.
        """
        kinds = [one.figures.get("kinds", {}) for one in self.trials]
        without = [
            name
            for name in self.plan.searches
            if not any("recall" in one.get(name, {}) for one in kinds)
        ]
        for_recall = [one.gate for one in rules if one.metric == RECALL]
        none = len(without) == len(self.plan.searches)
        return {
            "rules": [one.gate for one in rules if not (none and one.metric == RECALL)],
            "not_judged": [f"{gate} of {name}" for gate in for_recall for name in without],
        }

    def evidence(self, rules: Sequence[Rule]) -> dict[str, Any]:
        """Return what a report shows.

        Args:
            rules: Those of a trial.
        """
        return {
            **self._judged(rules),
            "limits": [one.why for one in self.rounds],
            "closed_loop_rate": round(self.closed_loop_rate, 1),
            **self.client.evidence(),
            "loaded_beside": self.beside.times,
            "trials": [
                {"rate": round(one.rate, 1), "held": one.held.value, "why": one.why, **one.figures}
                for one in self.trials
            ],
            BEHIND: next((one.why for one in self.rounds if one.why), ""),
        }
