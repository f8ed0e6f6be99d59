"""Faults of rows: not stored, stored otherwise, counted wrong."""

from __future__ import annotations

from validation.runs.profiles import Profile
from validation.selftest import plants
from validation.selftest.fault import Fault, Wire, metrics, on
from validation.selftest.plants import ROWS
from validation.selftest.scene import DATA
from validation.selftest.wire import segments, stored
from validation.selftest.wire.conditions import Where
from validation.selftest.wire.fault import WireFault


def _inserts(make: type[stored.NotStored | stored.NeverSent | stored.Changed]) -> Wire:
    """Return a fault of the inserts of a few generated rows that no search finds."""

    def wire(profile: Profile) -> WireFault:
        strike = make(plants.unsought_keys(profile))
        return WireFault(
            frozenset({"Insert"}),
            when=Where("generated"),
            ask=strike.ask,
            answer=getattr(strike, "answer", None),
        )

    return wire


_SEGMENTS = ("segments.miscounted", "replicas.miscounted")

FAULTS = (
    Fault(
        "dropped-rows",
        f"{ROWS} rows are acknowledged and not stored",
        metrics("data.rows_missing", "data.row_count_error", "iterator.rows_missing", *_SEGMENTS),
        wire=(_inserts(stored.NotStored),),
        scene=DATA,
        lite=True,
    ),
    Fault(
        "foreign-rows",
        f"{ROWS} rows are stored that nobody sent",
        metrics(
            "data.rows_unexpected", "data.row_count_error", "iterator.rows_unexpected", *_SEGMENTS
        ),
        wire=(_inserts(stored.NeverSent),),
        scene=DATA,
        lite=True,
    ),
    Fault(
        "changed-rows",
        f"one bit differs in {ROWS} stored vectors",
        metrics("data.rows_changed"),
        wire=(_inserts(stored.Changed),),
        scene=DATA,
        lite=True,
    ),
    Fault(
        "stale-row-count",
        f"the server counts {ROWS} rows too few",
        metrics("data.row_count_error"),
        wire=(on("Query", when=stored.is_counted, answer=stored.Miscounted(-ROWS)),),
        scene=DATA,
        lite=True,
    ),
    Fault(
        "short-segment",
        f"a stored segment is told with {ROWS} rows fewer",
        metrics("segments.miscounted"),
        wire=(
            on(
                "GetPersistentSegmentInfo",
                when=segments.Of("generated"),
                answer=segments.Fewer(ROWS),
            ),
        ),
        scene=DATA,
    ),
    Fault(
        "unloaded-segment",
        "no query node holds one of the segments",
        metrics("replicas.miscounted"),
        wire=(
            on(
                "GetQuerySegmentInfo",
                when=segments.Of("generated"),
                answer=segments.first_left_out,
            ),
        ),
        scene=DATA,
    ),
)
