"""One wording for all renderings: figures, intervals, rules and reasons as a reader sees them.

Whatever a server, a dataset or a user's test could have put into a text is shown with its control
characters made visible, so that no log line can repaint a terminal or turn a report around.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC
from typing import Any

from validation.report.families import family
from validation.report.results import Check, Results, State
from validation.verdicts.catalogue import CATALOGUE
from validation.verdicts.intervals import samples_needed
from validation.verdicts.judging import overall
from validation.verdicts.verdict import Observation, Outcome, Rule, Verdict

WORDS = {
    Outcome.PASS: "PASS",
    Outcome.FAIL: "FAIL",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
    Outcome.NOT_MEASURED: "NOT MEASURED",
}
SIGNS = {
    Outcome.PASS: "✓",
    Outcome.FAIL: "✗",
    Outcome.INCONCLUSIVE: "?",
    Outcome.NOT_MEASURED: "○",
}
USUAL_CONFIDENCE = 0.95
"""The confidence that the tables' headings name; a rule's own is said beside its interval."""

_NAMED_CHECKS = 3
_NEVER = {"drill.seconds_to_recover", "segments.seconds", "write.visible_after"}
"""What waits for no answer, but for a state: infinite time is a state that never came."""
_KEPT = {"\n", "\t"}


def claim(metric: str) -> str:
    """Return the promise that a metric tests, in a reader's words; empty for a site's own."""
    return CATALOGUE[metric].claim if metric in CATALOGUE else ""


def plain(text: object) -> str:
    """Return a text with control, format and unpaired surrogate characters made visible."""
    return "".join(
        char
        if char in _KEPT or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
        else f"\\u{ord(char):04x}"
        for char in str(text)
    )


def line(text: object) -> str:
    """Return a text as one line."""
    return " ".join(plain(text).split())


def number(value: float, *, digits: int = 4) -> str:
    """Return a number with the digits that matter, or all of a whole number's."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004  (a float still counts exactly)
        return f"{int(value):,}"
    magnitude = math.floor(math.log10(abs(value)))
    if not -4 <= magnitude < 15:  # noqa: PLR2004  (beyond this, zeros say less than a power)
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{max(0, digits - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def beside(value: float, threshold: float) -> str:
    """Return a number with as many digits as it takes to stand on its own side of a threshold.

    The threshold beside itself has every digit it was given.
    """
    side = (value > threshold, value < threshold)
    shown = number(value)
    for digits in range(5, 18):  # seventeen digits tell every float from its neighbours
        if not math.isfinite(value):
            break
        seen = float(shown.replace(",", ""))
        if (seen > threshold, seen < threshold) == side:
            break
        shown = number(value, digits=digits)
    return shown


def quantity(value: float, unit: str, *, threshold: float | None = None) -> str:
    """Return a number with its unit; a ratio has none to show, and infinite time is no answer."""
    if unit in {"ms", "s"} and value == math.inf:
        return "no answer"
    shown = number(value) if threshold is None else beside(value, threshold)
    return shown if unit == "ratio" else f"{shown} {line(unit)}"


def rule_text(rule: Rule) -> str:
    """Return a rule, e.g. ``p99 ≤ 50 ms`` or ``mean ≥ 0.95``."""
    sign = "≥" if rule.min is not None else "≤"
    shown = {"value": "", "sum": "", "proportion": "mean "}.get(
        rule.statistic, rule.statistic + " "
    )
    return f"{shown}{sign} {quantity(rule.threshold, rule.unit, threshold=rule.threshold)}"


def subject(verdict: Verdict) -> str:
    """Return what was judged, e.g. ``ann_overlap@10 (index HNSW)``."""
    return line(verdict.rule.metric) + labels(verdict)


def labels(verdict: Verdict, *, beyond_rule: bool = False) -> str:
    """Return a verdict's labels, e.g. `` (index HNSW)``, or nothing if there are none.

    Args:
        verdict: Whose labels.
        beyond_rule: Leave out what the rule itself asks for: the gate's name stands for that.
    """
    inside = ", ".join(
        f"{line(key)} {line(value)}"
        for key, value in sorted(verdict.labels.items())
        if not (beyond_rule and key in verdict.rule.where)
    )
    return f" ({inside})" if inside else ""


def observed(verdict: Verdict) -> str:
    """Return the figure, e.g. ``7.09 ms``; a dash where nothing was measured."""
    if verdict.observed is None:
        return "-"
    if verdict.rule.metric in _NEVER and verdict.observed == math.inf:
        return "never"
    return quantity(verdict.observed, verdict.rule.unit, threshold=verdict.rule.threshold)


def interval(verdict: Verdict) -> str:
    """Return the interval, e.g. ``[6.2, 8.74]``; empty for an exact figure or none at all."""
    low, high = verdict.low, verdict.high
    if low is None or high is None or verdict.method == "exact":
        return ""
    confidence = verdict.rule.confidence
    unusual = "" if confidence == USUAL_CONFIDENCE else f" ({confidence:.4g} confidence)"
    return f"[{_end(verdict, low)}, {_end(verdict, high)}]{unusual}"


def _end(verdict: Verdict, value: float) -> str:
    if math.isfinite(value):
        return beside(value, verdict.rule.threshold)
    if verdict.n < samples_needed(verdict.rule.statistic, confidence=verdict.rule.confidence):
        return "unbounded: n too small"
    if value > 0 and verdict.rule.unit in {"ms", "s"}:
        return "no answer"
    return number(value)


def why(verdict: Verdict) -> str:
    """Return what happened to a gate that did not pass: the reason, and the figures if any."""
    parts = [line(verdict.reason)] if verdict.reason else []
    if verdict.observed is not None:
        figures = f"{observed(verdict)} {interval(verdict)}".rstrip()
        parts.append(f"observed {figures}, the rule is {rule_text(verdict.rule)}")
    return "; ".join(parts)


def unmeasured(results: Results) -> list[str]:
    """Return what was not measured and is no gate's business, each with its reason.

    What a target does not even declare is left out.
    """
    judged = {
        (gate.rule.metric, gate.target, frozenset(gate.labels.items())) for gate in results.gates
    }
    lines = [
        f"{line(seen.title)} at {line(seen.target)}: {line(seen.not_measured)}"
        for seen in results.observations
        if seen.not_measured
        and not seen.undeclared
        and (seen.metric, seen.target, frozenset(seen.labels.items())) not in judged
    ]
    open_checks = {gate.check for gate in results.gates if gate.outcome is not Outcome.PASS}
    skipped: dict[tuple[str, str], list[str]] = {}
    for check in results.checks:
        if check.outcome == "skipped" and check.id not in open_checks:
            why = line(check.message) or "no reason was given"
            skipped.setdefault((line(check.target), why), []).append(line(check.id))
    for (target, why), ids in skipped.items():
        # Many checks that one reason left out are one line.
        named = ids if len(ids) <= _NAMED_CHECKS else [f"{len(ids)} checks"]
        lines += [f"{one}{f' at {target}' if target else ''}: {why}" for one in named]
    return lines


def answers(results: Results) -> list[str]:
    """Return what observations answer in a sentence, such as what binds a stack; each once."""
    said = [
        f"{line(seen.target)}: {line(seen.evidence['answer'])}"
        for seen in results.observations
        if isinstance(seen.evidence.get("answer"), str)
    ]
    return list(dict.fromkeys(said))


def attribution(results: Results) -> list[dict[str, str]]:
    """Return how much the store explains of loads and searches, as `validation.attribution` says.

    A share is between two bounds; beside it stands how they came about, or why there are none.
    """
    return [
        {
            "of": f"{line(seen.title)} at {line(seen.target)}",
            "share": _share(seen.evidence.get("low"), seen.evidence.get("high")),
            "bound": line(seen.evidence.get("bound", "-")),
            "why": line(seen.not_measured or seen.void or seen.evidence.get("arithmetic", "")),
        }
        for seen in results.observations
        if "answer" in seen.evidence
    ]


def _share(low: Any, high: Any) -> str:
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return "-"
    return f"{low * 100:.3g} % to {high * 100:.3g} %"


def faults(results: Results) -> list[tuple[Outcome, str, str]]:
    """Return what each fault of a drill came to: outcome, name, and what met it in a line."""
    found: dict[str, str] = {}
    for seen in results.observations:
        if family(seen.metric) == "drill" and "fault" in seen.labels:
            met = seen.evidence.get("requests_that_met_it")
            story = line(seen.evidence.get("story", ""))
            said = "not met" if met is None else f"met by {_plural(int(met), 'request')}"
            found.setdefault(seen.labels["fault"], f"{said}; {story}" if story else said)
    return [
        (overall(gate for gate in results.gates if gate.labels.get("fault") == name), name, said)
        for name, said in found.items()
    ]


def unruled(results: Results) -> list[str]:
    """Return what was observed and no rule asks for, with its samples' file."""
    judged = {
        (gate.rule.metric, gate.target, frozenset(gate.labels.items())) for gate in results.gates
    }
    return [
        f"{line(seen.title)} at {line(seen.target)}: {seen.n:,} samples, {line(seen.samples_file)}"
        for seen in results.observations
        if seen.n and (seen.metric, seen.target, frozenset(seen.labels.items())) not in judged
    ]


def standing(verdict: Verdict) -> str:
    """Return ``required`` or ``advisory``."""
    return "required" if verdict.required else "advisory"


def gate_line(verdict: Verdict) -> str:
    """Return a gate in one line: what, rule, observed, interval, n, reason and remedy."""
    parts = [
        f"{line(verdict.gate)}: {WORDS[verdict.outcome]}",
        f"{subject(verdict)} {rule_text(verdict.rule)}",
    ]
    if verdict.observed is not None:
        parts.append(f"observed {observed(verdict)} {interval(verdict)}".rstrip())
        parts[-1] += f", n = {verdict.n:,}"
    if verdict.reason:
        parts.append(line(verdict.reason))
    text = "; ".join(parts)
    return f"{text} -> {line(verdict.remedy)}" if verdict.remedy else text


def headline(results: Results) -> str:
    """Return what follows the verdict's word: why it is what it is, in one sentence."""
    required = [gate for gate in results.gates if gate.required]
    counts = {outcome: sum(gate.outcome is outcome for gate in required) for outcome in Outcome}
    passed = f"{counts[Outcome.PASS]} of {len(required)} required gates passed"
    parts: list[str] = []
    if results.state is not State.COMPLETE:
        parts.append(state_line(results))
    for outcome, said in (
        (Outcome.FAIL, "failed"),
        (Outcome.INCONCLUSIVE, "inconclusive"),
        (Outcome.NOT_MEASURED, "not measured"),
    ):
        names = dict.fromkeys(line(gate.gate) for gate in required if gate.outcome is outcome)
        if names:
            gates = _plural(counts[outcome], "required gate")
            parts.append(f"{gates} {said}: {', '.join(names)}")
    parts += _checks_said(results)
    if not required:
        parts.append("no required gate was judged, so nothing was proved")
    elif counts[Outcome.PASS] or not parts:
        parts.append(passed)
    return "; ".join(parts)


def failed_checks(results: Results) -> list[Check]:
    """Return the checks that failed by an assertion of their own, or broke off."""
    return [check for check in results.checks if check.outcome in {"failed", "error"}]


def _checks_said(results: Results) -> list[str]:
    """Return what failed among the checks themselves."""
    said = []
    for outcome, words in (("failed", "failed"), ("error", "broke off")):
        count = sum(check.outcome == outcome for check in failed_checks(results))
        if count:
            said.append(f"{_plural(count, 'check')} {words}")
    return said


def state_line(results: Results) -> str:
    """Return how a run that is not complete ended, and why."""
    words = {
        State.COMPLETE: "the run is complete",
        State.INTERRUPTED: "the run was interrupted",
        State.BROKEN: "the run broke off",
    }[results.state]
    return f"{words}: {line(results.reason)}" if results.reason else words


def duration(seconds: float) -> str:
    """Return a duration, e.g. ``0.42 s``, ``8.8 s``, ``2 min 05 s`` or ``1 h 02 min``."""
    if not math.isfinite(seconds):
        return "unknown"
    if round(seconds, 1) < 60:  # noqa: PLR2004  (a minute)
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  (an hour)
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(results: Results) -> str:
    """Return when the run started, to the second."""
    return results.started.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def label_values(seen: Observation) -> list[str]:
    """Return an observation's labels as short words."""
    return [label_value(key, line(value)) for key, value in sorted(seen.labels.items())]


def label_value(key: str, value: str) -> str:
    """Return one label as short words."""
    try:
        figure = float(value)
    except ValueError:
        return value
    return f"{figure * 100:.3g} %" if key == "selectivity" else f"{line(key)} {value}"
