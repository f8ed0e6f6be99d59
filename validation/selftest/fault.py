"""What a planted fault is: what it breaks, and which gates have to turn red for it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from validation.runs.profiles import Profile
from validation.selftest.scene import Scene
from validation.selftest.wire.fault import WireFault
from validation.target import Target
from validation.verdicts.verdict import Rule

Wire = Callable[[Profile], WireFault]
"""Makes a fault on the wire for a suite of a profile's sizes."""

Plant = Callable[[Target, Profile], AbstractContextManager[Target]]
RuleTest = Callable[[Rule], bool]


def never(_: Rule) -> bool:
    """Return no: it is about no rule."""
    return False


@contextlib.contextmanager
def nothing(target: Target, _: Profile) -> Iterator[Target]:
    """Leave this process and the target as they are."""
    yield target


@dataclasses.dataclass(frozen=True)
class Fault:
    """One planted fault.

    Args:
        name: As in ``milvus-kit selftest --fault NAME``.
        story: What goes wrong, in a reader's words.
        turns_red: Whether a gate of this rule has to turn red; all others must not.
        voids: Whether a gate of this rule has to be undecided: what it judges says nothing of the
            server any more.
        scene: Which part of the suite it is run against.
        wire: What is done to the calls between the suite and the server.
        plant: For what does not go over the wire: plants it in this process, yields the target to
            run the suite on, and takes it away again.
        may_change: Whether a gate of this rule may be red or undecided as well: it is near its
            threshold, or depends on the machine.
        lite: Whether it is planted in front of Milvus Lite too.
    """

    name: str
    story: str
    turns_red: RuleTest
    _: dataclasses.KW_ONLY
    scene: Scene
    wire: tuple[Wire, ...] = ()
    plant: Plant = nothing
    voids: RuleTest = never
    may_change: RuleTest = never
    lite: bool = False


def on(*methods: str, **how: Any) -> Wire:
    """Return a fault of the calls of these methods; its arguments are those of `WireFault`."""
    return lambda _: WireFault(frozenset(methods), **how)


def metrics(*names: str) -> RuleTest:
    """Return whether a rule is of one of these metrics."""
    return lambda rule: rule.metric in names


def tails(*names: str) -> RuleTest:
    """Return whether a rule is of the slowest answers of one of these metrics."""
    return lambda rule: rule.metric in names and rule.statistic in {"p99", "p99.9", "max"}


def medians(*names: str) -> RuleTest:
    """Return whether a rule is of the usual answer of one of these metrics."""
    return lambda rule: rule.metric in names and rule.statistic == "p50"


def either(*rules: RuleTest) -> RuleTest:
    """Return whether one of these holds for a rule."""
    return lambda rule: any(one(rule) for one in rules)
