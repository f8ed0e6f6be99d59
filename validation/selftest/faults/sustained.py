"""Faults that the search of the highest rate has to notice: no trial with one of them may hold."""

from __future__ import annotations

from validation.selftest.fault import Fault, metrics, on
from validation.selftest.faults.load import client_stall, coordinated_omission
from validation.selftest.scene import SUSTAINED
from validation.selftest.wire.answers import (
    AnothersAnswer,
    Rearranged,
    backwards,
    failed,
    last_but_one_twice,
    scaled_scores,
)
from validation.selftest.wire.conditions import Where
from validation.selftest.wire.stalls import Stalls

_UNDER_LOAD = Where(load=True)
_RATE = metrics("load.sustained_rate")
_STALLS = Stalls(1.0, 0.5)
"""Every trial, which lasts a second, meets one."""
_STORIES = {
    "another-s-answer": "every tenth search is answered as another one",
    "doubled-hits": "every answer has one hit twice",
    "reversed-order": "answers come farthest first",
    "wrong-scores": "distances are scaled and shifted",
    "failing-searches": "one search in twenty fails",
    "server-stall": f"the server answers nothing for {_STALLS.seconds:g} s, every second",
}
_WIRE = {
    "another-s-answer": on("Search", when=_UNDER_LOAD, every=10, ask=AnothersAnswer()),
    "doubled-hits": on("Search", when=_UNDER_LOAD, answer=Rearranged(last_but_one_twice)),
    "reversed-order": on("Search", when=_UNDER_LOAD, answer=Rearranged(backwards)),
    "wrong-scores": on("Search", when=_UNDER_LOAD, answer=scaled_scores),
    "failing-searches": on("Search", when=_UNDER_LOAD, every=20, answer=failed),
    "server-stall": on("Search", when=_UNDER_LOAD, seconds=_STALLS),
}

FAULTS = (
    *(
        Fault(f"sustained-{name}", story, _RATE, wire=(_WIRE[name],), scene=SUSTAINED)
        for name, story in _STORIES.items()
    ),
    client_stall(
        "sustained-client-stall",
        f"the client stands still for {_STALLS.seconds:g} s, every second",
        _STALLS,
        scene=SUSTAINED,
        voids=_RATE,
    ),
    coordinated_omission(
        "sustained-coordinated-omission",
        _STALLS,
        scene=SUSTAINED,
        voids=_RATE,
    ),
)
