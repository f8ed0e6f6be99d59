"""Runs the suite clean and then against each planted fault, and compares which gates are red."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from validation import rules as rules_files
from validation import suite, workload
from validation import target as targets
from validation.errors import MeasurementError
from validation.local.lite import NAME as LITE
from validation.local.lite import lite_target
from validation.local.stack import EmbeddedStack
from validation.naming import require_known
from validation.profiles import profile_named
from validation.progress import BAD, GOOD, Progress
from validation.report.results import Results, State
from validation.resources import find
from validation.runs import assemble
from validation.selftest.faults import FAULTS, UNPLANTED, Fault
from validation.session import LITE_FAMILIES, LOCAL_RULES, TRY_FAMILIES
from validation.suite import Suite
from validation.target import Target
from validation.verdict import Outcome, Rule

PROFILE = "selftest"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one fault did.

    Args:
        fault: The fault.
        red: Gates that turned red.
        expected: Gates that had to.
        allowed: Gates that might.
        lost: Other gates that were green and were not measured any more, or why the run broke off.
    """

    fault: Fault
    red: frozenset[str]
    expected: frozenset[str]
    allowed: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()

    @property
    def caught(self) -> bool:
        """Whether exactly the right gates are red, at least one, and nothing else was lost."""
        exactly = self.expected <= self.red <= self.expected | self.allowed
        return bool(self.expected) and exactly and not self.lost

    def line(self) -> str:
        """Return it in one line."""
        if self.caught:
            return f"{self.fault.name}: red as it must be: {', '.join(sorted(self.red))}"
        parts = [f"{self.fault.name}: NOT as it must be"]
        for title, gates in (
            ("stayed green", self.expected - self.red),
            ("red for no reason", self.red - self.expected - self.allowed),
            ("lost", self.lost),
        ):
            if gates:
                parts.append(f"{title}: {', '.join(sorted(gates))}")
        if not self.expected:
            parts.append("no rule in force is about it")
        return "; ".join(parts)


def compare(fault: Fault, clean: Results, faulty: Results) -> Finding:
    """Return what a fault did to the gates.

    Args:
        fault: The fault.
        clean: The run without it, every required gate of which is green.
        faulty: The run with it.
    """
    own = {
        rule.gate
        for rule in clean.rules
        if fault.turns_red(rule) and (fault.lite or rule.where.get("target") != LITE)
    }
    green, red = _gates(clean, Outcome.PASS), _gates(faulty, Outcome.FAIL)
    lost = {
        gate.gate
        for gate in faulty.gates
        if gate.outcome is Outcome.NOT_MEASURED
        and gate.gate in green
        and (fault.lite or gate.target != LITE)
    }
    if faulty.state is not State.COMPLETE:
        lost.add(f"the run broke off: {faulty.reason}")
    return Finding(
        fault,
        frozenset(red - _gates(clean, Outcome.FAIL)),
        expected=frozenset(own & green),
        allowed=frozenset(rule.gate for rule in clean.rules if fault.may_turn_red(rule)),
        lost=frozenset(lost),
    )


def without_a_fault(rules: Sequence[Rule]) -> list[str]:
    """Return the required gates that no fault turns red and no reason excuses."""
    return [
        rule.gate
        for rule in rules
        if rule.required
        and rule.gate not in UNPLANTED
        and not any(fault.turns_red(rule) for fault in FAULTS.values())
    ]


def run(names: Sequence[str], *, rules_file: Path | None, progress: Progress) -> list[Finding]:
    """Run the suite clean and with each fault, on an embedded stack of its own.

    Args:
        names: Faults to plant; all if empty.
        rules_file: Rules to judge by; those of `milvus-kit try` if left out.
        progress: Shows where it is.

    Raises:
        ConfigurationError: There is no such fault.
        MeasurementError: The clean run is red already, so that nothing can be told.
    """
    faults = _named(names)
    rules_file = rules_file or find(LOCAL_RULES)
    rules = rules_files.load(rules_file)
    for gate in without_a_fault(rules):
        progress.say(f"  no fault is planted for {gate}")
    with tempfile.TemporaryDirectory(prefix="milvus-kit-selftest-") as scratch:
        folder = Path(scratch)
        workload.prepare(profile_named(PROFILE))
        with EmbeddedStack(folder / "stack", progress=progress) as stack:
            bench = _Bench(folder, stack.target, rules, rules_file, progress)
            clean = bench.clean(lite=any(fault.lite for fault in faults))
            return [bench.plant(fault, clean) for fault in faults]


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Where suites are run one after the other."""

    folder: Path
    target: Target
    rules: Sequence[Rule]
    rules_file: Path
    progress: Progress

    def clean(self, *, lite: bool) -> Results:
        """Run the suite without a fault; every required gate has to be green.

        A busy machine may keep a latency from being told; then it is tried once more.
        """
        dull: list[str] = []
        for attempt in ("clean", "clean again"):
            with self.progress.step("the suite without a fault"):
                results = self._run(self.target, attempt, lite=lite)
            dull = [
                gate.gate
                for gate in results.gates
                if gate.required
                and gate.outcome is not Outcome.PASS
                and (lite or gate.rule.where.get("target") != LITE)
            ]
            if not dull:
                return results
        raise MeasurementError(
            f"without any fault these gates are not green: {', '.join(dull)}",
            where="selftest",
            remedy="run `milvus-kit try` and mend what it says first",
        )

    def plant(self, fault: Fault, clean: Results) -> Finding:
        """Run the suite with a fault and compare what is red with what has to be."""
        with self.progress.step(f"fault {fault.name}: {fault.story}") as step:
            with fault.plant(self.target) as faulty:
                results = self._run(faulty, fault.name, lite=fault.lite)
            finding = compare(fault, clean, results)
            step.ends(GOOD if finding.caught else BAD)
        self.progress.say(f"  {finding.line()}")
        return finding

    def _run(self, target: Target, name: str, *, lite: bool) -> Results:
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir()
        asked = Suite(
            folder / "target.yaml",
            self.rules_file,
            PROFILE,
            folder,
            families=TRY_FAMILIES,
            quiet=True,
        )
        targets.save(target, asked.target_file)
        suite.run_here(asked)
        if lite:
            second = dataclasses.replace(
                asked, target_file=folder / "lite.yaml", families=LITE_FAMILIES
            )
            targets.save(lite_target(folder), second.target_file)
            suite.run_here(second)
        return assemble(
            folder,
            self.rules,
            rules_source=self.rules_file.name,
            started=datetime.now(UTC),
        )


def _named(names: Sequence[str]) -> list[Fault]:
    require_known(names, FAULTS, what="fault", option="--fault")
    return [FAULTS[name] for name in names] if names else list(FAULTS.values())


def _gates(results: Results, outcome: Outcome) -> set[str]:
    """Return the gates of an outcome; a gate with several verdicts is as bad as its worst."""
    worst = {gate.gate for gate in results.gates if gate.outcome is Outcome.FAIL}
    found = {gate.gate for gate in results.gates if gate.outcome is outcome}
    return found if outcome is Outcome.FAIL else found - worst
