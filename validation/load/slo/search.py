"""The highest rate that a server sustains: found by trials, several times, with an interval.

A **trial** offers searches at one rate for some time and says whether every rule held. A **round**
looks for the highest rate of a grid at which a trial holds, by bisection, from nothing but its own
trials. The rounds are the statistical unit: each is one sample of the rate, and its median has the
distribution-free interval of order statistics. Six rounds are the fewest whose extremes are a 95 %
interval of the median (1 - 2 / 2^6 = 0.969). Their number is fixed before the first: nothing is
stopped early because it looks good.

A single trial may be wrong, by a burst or a lull. That moves a round's rate; it does not move the
median of the rounds far, and the interval shows it.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable
from typing import Any

STEP = 1.05
"""From each rate of the grid to the next: a rate is found to within this factor."""

ROUNDS = 6
HIGHEST, LOWEST = 100_000.0, 10.0
"""Searches a second beyond which nothing is looked for."""

TRIES_AGAIN = 1
"""How often a trial that its client spoilt is made anew: what spoilt it may have been passing."""
_FIRST_STRIDE = 4


class Held(enum.Enum):
    """Whether the rules held at a rate."""

    YES = "held"
    NO = "broke"
    OPEN = "open"
    """The client was the limit: the server was not offered the rate, or its part is not known."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one trial found.

    Args:
        rate: Searches a second that were offered.
        held: Whether the rules held.
        why: What did not hold, or why it is open; empty if all held.
        figures: Plain facts for a reader and a chart.
        dead: Whether nothing at all was answered.
    """

    rate: float
    held: Held
    why: str = ""
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)
    dead: bool = False


@dataclasses.dataclass(frozen=True)
class Round:
    """One search.

    Args:
        rate: The highest rate that held; 0 if none did.
        why: What broke at the next rate of the grid.
        open: Why the true rate may be higher than this: the client's limit, or the grid's end;
            empty if it is the server's.
    """

    rate: float
    why: str
    open: str = ""


def search(
    trial: Callable[[float, int], Trial], *, about: float, rounds: int = ROUNDS
) -> tuple[list[Round], list[Trial]]:
    """Look for the highest rate that holds, several times.

    Args:
        trial: Makes one at a rate; its second argument is the number of the trial, from 0 on.
        about: Where the first round begins, in searches a second; each later one begins where the
            one before it ended. It costs trials where it is far off, and changes nothing else.
        rounds: How often.

    Returns:
        The rounds, fewer where the client spoils them, and all trials in their order. A server
        that answers nothing any more, at the lowest rate neither, sustains none: it died under
        the load, whatever held before.
    """
    made: list[Trial] = []

    def at(step: int) -> Trial:
        seen = _tried(trial, about * STEP**step, made)
        if seen.dead and (step == lowest or _tried(trial, about * STEP**lowest, made).dead):
            raise _GoneError(seen.why)
        return seen

    lowest = math.ceil(math.log(LOWEST / about, STEP))
    highest = math.floor(math.log(HIGHEST / about, STEP))
    found: list[Round] = []
    begin = min(max(0, lowest), highest)
    for _ in range(rounds):
        try:
            good, bad = _bracket(at, begin, lowest, highest)
        except _GoneError as error:
            return [Round(0.0, f"the server answers nothing any more: {error}")] * rounds, made
        found.append(_round(good, bad))
        if found[-1].open and good is None:
            break  # nothing can be told of the server from here; more of it would tell no more
        begin = lowest if good is None else round(math.log(good.rate / about, STEP))
    return found, made


def hold(
    trial: Callable[[float, int], Trial], rate: float, *, rounds: int = ROUNDS
) -> tuple[list[Round], list[Trial]]:
    """Offer one rate several times: a round's rate is this one, or 0 where it did not hold."""
    made: list[Trial] = []
    found: list[Round] = []
    for _ in range(rounds):
        seen = _tried(trial, rate, made)
        held = seen.held is Held.YES
        found.append(
            Round(rate if held else 0.0, seen.why, seen.why if seen.held is Held.OPEN else "")
        )
    return found, made


def _tried(trial: Callable[[float, int], Trial], rate: float, made: list[Trial]) -> Trial:
    """Make a trial, and once more if its client spoilt it."""
    for _ in range(1 + TRIES_AGAIN):
        made.append(trial(rate, len(made)))
        if made[-1].held is not Held.OPEN:
            break
    return made[-1]


class _GoneError(Exception):
    """Nothing is answered any more."""


def _bracket(
    at: Callable[[int], Trial], step: int, lowest: int, highest: int
) -> tuple[Trial | None, Trial | None]:
    """Return two neighbours of the grid, of which the lower one holds and the higher one does not.

    Strides double until both sides are known; then the bracket is halved. There is no lower one
    if the lowest rate does not hold, or if the client spoilt two rates, one after the other, before
    any held; and no higher one if the highest does.
    """
    good: tuple[int, Trial] | None = None
    bad: tuple[int, Trial] | None = None
    stride = _FIRST_STRIDE
    while good is None or bad is None or bad[0] - good[0] > 1:
        if good and bad:
            step = (good[0] + bad[0]) // 2
        seen = at(step)
        if seen.held is Held.YES:
            good = step, seen
            if step == highest:
                break
            step = min(step + stride, highest)
        else:
            lower_is_no_use = good is None and bad and bad[1].held is seen.held is Held.OPEN
            bad = step, seen
            if step == lowest or lower_is_no_use:
                break
            step = max(step - stride, lowest)
        stride *= 2
    return good and good[1], bad and bad[1]


def _round(good: Trial | None, bad: Trial | None) -> Round:
    """Return what the end of a bracketing says."""
    rate = good.rate if good else 0.0
    if bad is None:
        return Round(rate, "", f"nothing above {HIGHEST:g}/s is looked for")
    return Round(rate, bad.why, bad.why if bad.held is Held.OPEN else "")
