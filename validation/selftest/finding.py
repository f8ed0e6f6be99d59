"""What planted faults did to the gates, compared with what they had to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from validation.report.results import Results, State
from validation.selftest.fault import Fault, RuleTest
from validation.selftest.wire.script import Struck
from validation.verdicts.verdict import Outcome

Gates = frozenset[str]
_NONE: Gates = frozenset()


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one fault did on one server, or several faults at once.

    Only gates that are green without a fault count.

    Args:
        faults: Names of those that were planted.
        target: Name of the server's target.
        red: Gates that turned red.
        open: Gates that are neither green nor red any more.
        wanted_red: Gates that had to turn red.
        wanted_open: Gates that had to be undecided: what they judge is void.
        allowed: Gates that may be either.
        unsure: Gates that had to change and were undecided without a fault already.
        idle: Faults that met no call: they were not planted, and prove nothing.
        broken: Why the run, or a fault itself, broke off.
        met: How many calls were changed or held back.
        seconds: How long the run took.
    """

    faults: tuple[str, ...]
    target: str
    red: Gates = _NONE
    open: Gates = _NONE
    wanted_red: Gates = _NONE
    wanted_open: Gates = _NONE
    allowed: Gates = _NONE
    unsure: Gates = _NONE
    idle: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    met: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The faults, and where they were planted."""
        return f"{' + '.join(self.faults)} on {self.target}"

    @property
    def missed(self) -> Gates:
        """Gates that had to change and are green all the same."""
        return (self.wanted_red | self.wanted_open) - self.red - self.open

    @property
    def strays(self) -> Gates:
        """Gates that are red for no reason."""
        return self.red - self.wanted_red - self.allowed

    @property
    def undecided(self) -> Gates:
        """Gates that are undecided and should not be."""
        return self.open - self.wanted_open - self.allowed

    @property
    def noticed(self) -> bool:
        """Whether all gates that had to change did, at least one."""
        wanted = self.wanted_red | self.wanted_open
        right = self.wanted_red <= self.red and self.wanted_open <= self.open
        return bool(wanted) and right and not self.idle and not self.broken

    @property
    def caught(self) -> bool:
        """Whether it was noticed by its own gates and no other: the right cause is named."""
        return self.noticed and not (self.strays or self.undecided or self.unsure)

    @property
    def busy(self) -> bool:
        """Whether it would be caught, but for gates that this machine was too busy to decide."""
        wrong = self.missed or self.strays or self.idle or self.broken
        return not wrong and bool(self.unsure | self.undecided)

    def line(self) -> str:
        """Return it in one line."""
        if self.caught:
            gates = [("red", self.red), ("void", self.open)]
            said = "; ".join(f"{word}: {_listed(which)}" for word, which in gates if which)
            return f"{self.name}: as it must be: {said}"
        parts = [f"{self.name}: NOT as it must be"]
        parts += [
            f"{title}: {_listed(gates)}"
            for title, gates in (
                ("stayed green", self.missed),
                ("red for no reason", self.strays),
                ("not decided any more", self.undecided),
                ("not decided without a fault either", self.unsure),
                ("met no call", self.idle),
                ("broke off", self.broken),
            )
            if gates
        ]
        if not self.wanted_red | self.wanted_open | self.unsure:
            parts.append("no rule in force is about it")
        return "; ".join(parts)


def compare(
    faults: Sequence[Fault],
    clean: Results,
    faulty: Results,
    *,
    target: str,
    struck: Struck | None = None,
) -> Finding:
    """Return what faults did to the gates of one server.

    Args:
        faults: Those that were planted together.
        clean: The same checks without them, every required gate of which is green.
        faulty: The run with them.
        target: The server's target.
        struck: What was done on the wire.
    """
    before, after = _verdicts(clean, target), _verdicts(faulty, target)
    green = {gate for gate, _ in before} - {
        gate for (gate, _), outcome in before.items() if outcome is not Outcome.PASS
    }
    opened = {
        key[0]
        for key in before
        if key[0] in green and after.get(key) not in {Outcome.PASS, Outcome.FAIL}
    }
    red = {gate for (gate, _), outcome in after.items() if outcome is Outcome.FAIL} & green
    rules = {gate.gate: gate.rule for gate in clean.gates}

    def those(*tests: Callable[[Fault], RuleTest], among: Iterable[str] = green) -> Gates:
        wanted = [test(fault) for fault in faults for test in tests]
        return frozenset(gate for gate in among if any(one(rules[gate]) for one in wanted))

    done = struck or Struck()
    broken = [f"the fault itself failed: {what}" for what in done.failed]
    if faulty.state is not State.COMPLETE:
        broken.append(f"the run broke off: {faulty.reason}")
    wanted_open = those(lambda fault: fault.voids)
    dull = {gate for (gate, _), outcome in before.items() if outcome is Outcome.INCONCLUSIVE}
    return Finding(
        tuple(fault.name for fault in faults),
        target,
        red=frozenset(red),
        open=frozenset(opened - red),  # red for one observation is red
        wanted_red=those(lambda fault: fault.turns_red) - wanted_open,  # what is void is not red
        wanted_open=wanted_open,
        allowed=those(lambda fault: fault.may_change),
        unsure=those(lambda fault: fault.turns_red, lambda fault: fault.voids, among=dull),
        idle=tuple(name for name, times in done.times.items() if not times),
        broken=tuple(broken),
        met=sum(done.times.values()),
        seconds=(faulty.finished - faulty.started).total_seconds(),
    )


def _verdicts(results: Results, target: str) -> dict[tuple[str, str], Outcome]:
    """Return how each gate stands on one server, for each of its observations."""
    found: dict[tuple[str, str], Outcome] = {}
    for gate in results.gates:
        if gate.target == target and gate.outcome is not Outcome.NOT_MEASURED:
            key = (gate.gate, str(sorted(gate.labels.items())))
            worse = found.get(key, Outcome.PASS)
            found[key] = gate.outcome if worse is Outcome.PASS else worse
    return found


def _listed(what: Iterable[str]) -> str:
    return ", ".join(sorted(what))
