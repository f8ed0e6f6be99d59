"""Faults that searches under load have to notice: late, failing, wrong; a client held up."""

from __future__ import annotations

from typing import Any

from validation.load import loops, workers
from validation.selftest import plants
from validation.selftest.fault import Fault, either, medians, metrics, never, on, tails
from validation.selftest.held_up import LOOPS
from validation.selftest.plants import patched
from validation.selftest.scene import LOAD
from validation.selftest.wire.answers import (
    AnothersAnswer,
    RateLimited,
    Rearranged,
    backwards,
    failed,
    first_everywhere,
    scaled_scores,
)
from validation.selftest.wire.conditions import Where
from validation.selftest.wire.stalls import Stalls

_FAILING_EVERY = 20
_SERIAL, _OFFERED = "search.latency.serial", "search.latency.open_loop"
_UNDER_LOAD = Where(load=True)
_TIMES = metrics(_SERIAL, _OFFERED)
"""Void where an answer is wrong."""
_FIGURES = metrics(_SERIAL, _OFFERED, "search.errors")
"""Void where the client was the limit."""
_SHORT, _LONG = Stalls(0.3, 0.15), Stalls(4.0, 1.5)
_REFUSED = Stalls(4.0, 1.2)


def client_stall(name: str, story: str, stalls: Stalls, **more: Any) -> Fault:
    """Return the fault of a client that stands still; the rest of a `Fault` is to be given."""
    plant = patched(workers, "_worker", plants.standing_still(stalls))
    return Fault(name, story, never, plant=plant, **more)


def coordinated_omission(name: str, stalls: Stalls, **more: Any) -> Fault:
    """Return the fault of a client that lets a stalling server decide when it sends."""
    return Fault(
        name,
        "the client sends nothing while the server stalls, and counts from when it did send",
        never,
        wire=(on("Search", when=_UNDER_LOAD, seconds=stalls),),
        plant=plants.together(
            patched(workers, "_worker", plants.standing_still(stalls)),
            patched(loops, "_samples", plants.counted_from_sending),
        ),
        **more,
    )


FAULTS = (
    Fault(
        "delayed-replies",
        "every 20th answer is 0.6 s late",
        tails(_SERIAL, _OFFERED),
        wire=(on("Search", when=_UNDER_LOAD, every=20, seconds=0.6),),
        scene=LOAD,
    ),
    Fault(
        "slow-server",
        "every answer is 60 ms late",
        medians(_SERIAL),
        wire=(on("Search", when=_UNDER_LOAD, seconds=0.06),),
        scene=LOAD,
        may_change=tails(_SERIAL, _OFFERED),
    ),
    Fault(
        "failing-searches",
        f"one search in {_FAILING_EVERY} fails",
        either(metrics("search.errors"), tails(_SERIAL, _OFFERED)),
        wire=(on("Search", when=_UNDER_LOAD, every=_FAILING_EVERY, answer=failed),),
        scene=LOAD,
    ),
    Fault(
        "one-row-ten-times",
        "every search under load answers by one row, ten times",
        metrics("answers.duplicates", "ann_overlap@10"),
        wire=(on("Search", when=_UNDER_LOAD, answer=Rearranged(first_everywhere)),),
        scene=LOAD,
        voids=_TIMES,
    ),
    Fault(
        "another-s-answer",
        "every tenth search under load is answered as another one",
        metrics("answers.foreign", "answers.wrong_scores"),
        wire=(on("Search", when=_UNDER_LOAD, every=10, ask=AnothersAnswer()),),
        scene=LOAD,
        voids=_TIMES,
        may_change=metrics("ann_overlap@10"),
    ),
    Fault(
        "wrong-scores-under-load",
        "distances are scaled and shifted in searches under load alone",
        metrics("answers.wrong_scores"),
        wire=(on("Search", when=_UNDER_LOAD, answer=scaled_scores),),
        scene=LOAD,
        voids=_TIMES,
    ),
    Fault(
        "reversed-under-load",
        "answers under load come farthest first",
        metrics("answers.disordered"),
        wire=(on("Search", when=_UNDER_LOAD, answer=Rearranged(backwards)),),
        scene=LOAD,
        voids=_TIMES,
    ),
    Fault(
        "server-stall",
        f"the server answers nothing for {_LONG.seconds:g} s, every {_LONG.every:g} s",
        tails(_OFFERED),
        wire=(on("Search", when=_UNDER_LOAD, seconds=_LONG),),
        scene=LOAD,
        may_change=tails(_SERIAL),  # one search after the other: only one of them meets a stall
    ),
    Fault(
        "limited-rate",
        f"the server limits the rate and refuses searches for {_REFUSED.seconds:g} s, every"
        f" {_REFUSED.every:g} s; none fails, since clients wait and ask again",
        tails(_OFFERED),
        wire=(on("Search", when=_UNDER_LOAD, answer=RateLimited(_REFUSED)),),
        scene=LOAD,
        may_change=tails(_SERIAL),
    ),
    client_stall(
        "client-stall",
        f"the client stands still for {_SHORT.seconds:g} s, every {_SHORT.every:g} s",
        _SHORT,
        scene=LOAD,
        voids=_FIGURES,
    ),
    coordinated_omission(
        "coordinated-omission",
        _LONG,
        scene=LOAD,
        voids=metrics(_OFFERED, "search.errors"),
        may_change=metrics(_SERIAL),
    ),
    Fault(
        "starved-client",
        f"{LOOPS} busy loops share the client's core",
        never,
        plant=plants.starved,
        scene=LOAD,
        voids=_FIGURES,
    ),
)
