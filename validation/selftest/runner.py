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
from validation.errors import ConfigurationError, MeasurementError
from validation.local.stack import EmbeddedStack
from validation.profiles import profile_named
from validation.progress import BAD, GOOD, Progress
from validation.report.results import Results
from validation.resources import find
from validation.runs import assemble
from validation.selftest.faults import FAULTS, Fault
from validation.session import LOCAL_RULES
from validation.suite import Suite
from validation.target import Target
from validation.verdict import Outcome

PROFILE = "selftest"
_FAIL = Outcome.FAIL


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one fault did.

    Args:
        fault: The fault.
        red: Gates that turned red.
        expected: Gates that were green before and had to.
        allowed: These, and gates of the fault that were not green before.
    """

    fault: Fault
    red: frozenset[str]
    expected: frozenset[str]
    allowed: frozenset[str]

    @property
    def caught(self) -> bool:
        """Whether exactly the right gates are red, and at least one."""
        return bool(self.expected) and self.expected <= self.red <= self.allowed

    def line(self) -> str:
        """Return it in one line."""
        if self.caught:
            return f"{self.fault.name}: red as it must be: {', '.join(sorted(self.red))}"
        parts = [f"{self.fault.name}: NOT as it must be"]
        for title, gates in (
            ("stayed green", self.expected - self.red),
            ("red for no reason", self.red - self.allowed),
        ):
            if gates:
                parts.append(f"{title}: {', '.join(sorted(gates))}")
        if not self.expected:
            parts.append("no rule in force is about it")
        return "; ".join(parts)


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
    rules = rules_file or find(LOCAL_RULES)
    rules_files.load(rules)
    with tempfile.TemporaryDirectory(prefix="milvus-kit-selftest-") as scratch:
        folder = Path(scratch)
        workload.prepare(profile_named(PROFILE))
        with EmbeddedStack(folder / "stack", progress=progress) as stack:
            bench = _Bench(folder, stack.target, rules, progress)
            clean = bench.clean()
            return [bench.plant(fault, clean) for fault in faults]


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Where suites are run one after the other."""

    folder: Path
    target: Target
    rules: Path
    progress: Progress

    def clean(self) -> Results:
        """Run the suite without a fault; nothing may be red."""
        with self.progress.step("the suite without a fault"):
            results = self._run(self.target, "clean")
        red = {gate.gate for gate in results.gates if gate.required and gate.outcome is _FAIL}
        if red:
            raise MeasurementError(
                f"without any fault these gates are red: {', '.join(sorted(red))}",
                where="selftest",
                remedy="run `milvus-kit try` and mend what it says first",
            )
        return results

    def plant(self, fault: Fault, clean: Results) -> Finding:
        """Run the suite with a fault and compare what is red with what has to be."""
        green = {gate.gate for gate in clean.gates if gate.outcome is Outcome.PASS}
        own = frozenset(rule.gate for rule in clean.rules if fault.turns_red(rule))
        with self.progress.step(f"fault {fault.name}: {fault.story}") as step:
            with fault.plant(self.target) as faulty:
                results = self._run(faulty, fault.name)
            red = frozenset(_red(results) - _red(clean))
            finding = Finding(fault, red, expected=own & green, allowed=own)
            step.ends(GOOD if finding.caught else BAD)
        self.progress.say(f"  {finding.line()}")
        return finding

    def _run(self, target: Target, name: str) -> Results:
        folder = self.folder / name
        folder.mkdir()
        target_file = folder / "target.yaml"
        targets.save(target, target_file)
        suite.run_here(Suite(target_file, self.rules, PROFILE, folder, quiet=True))
        return assemble(
            folder,
            rules_files.load(self.rules),
            rules_source=self.rules.name,
            started=datetime.now(UTC),
        )


def _named(names: Sequence[str]) -> list[Fault]:
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise ConfigurationError(
            "there is no such fault",
            where="--fault",
            seen=unknown[0],
            remedy=f"use one of {', '.join(FAULTS)}",
        )
    return [FAULTS[name] for name in names] if names else list(FAULTS.values())


def _red(results: Results) -> set[str]:
    return {gate.gate for gate in results.gates if gate.outcome is _FAIL}
