"""Faults of rows that come in: seen late, not found, refused or acknowledged late."""

from __future__ import annotations

from validation.selftest.fault import Fault, medians, metrics, on, tails
from validation.selftest.scene import INGEST
from validation.selftest.wire import ingest
from validation.selftest.wire.answers import Rearranged, failed, first_five
from validation.selftest.wire.conditions import Where
from validation.selftest.wire.fault import WireFault

_WRITES = ("Insert", "Upsert", "Delete")
_LATE, _REFUSED, _HELD = 11.0, 17.0, 1.5

FAULTS = (
    Fault(
        "seen-late",
        f"a row is seen {_LATE:g} s after it was acknowledged",
        metrics("write.visible_after"),
        wire=(lambda _: WireFault(frozenset({"Query"}), answer=ingest.SeenLate(_LATE)),),
        scene=INGEST,
    ),
    Fault(
        "refused-writes",
        f"every write is refused for {_REFUSED:g} s",
        metrics("write.longest_gap"),
        wire=(
            lambda _: WireFault(
                frozenset(_WRITES), when=ingest.ForAWhile(2.0, _REFUSED), answer=failed
            ),
        ),
        scene=INGEST,
    ),
    Fault(
        "slow-writes",
        f"every write takes {_HELD:g} s longer",
        medians("write.latency"),
        wire=(on(*_WRITES, when=ingest.of_a_write, seconds=_HELD),),
        scene=INGEST,
        may_change=tails("write.latency"),
    ),
    Fault(
        "blind-beside-writes",
        "searches find half of what there is while rows come in",
        metrics("ingest.recall"),
        wire=(on("Search", when=Where("ingest"), answer=Rearranged(first_five)),),
        scene=INGEST,
    ),
)
