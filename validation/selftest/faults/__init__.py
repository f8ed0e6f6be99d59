"""The faults that are planted, room by room, and the gates that have none.

A fault is planted where it would happen: on the wire, if it is one of the server's answers, else in
what the suite compares with or around a restart. The checks themselves are not touched.

Some wrong verdicts have no fault here, since no gate could turn:

- an end of an interval beyond what its figure can be (nDCG 1.1) is beyond every threshold as well,
  and only shown wrong: ``tests/unit/test_statistics.py``;
- a proxy that a shell names and a setting that a stack does not hand on leave no suite to run:
  ``tests/unit/test_proxies.py``, ``tests/infra/test_settings_used.py``;
- a database of the address that is passed over: all checks would agree in the wrong one:
  ``tests/unit/test_target.py``;
- a limit of the rate of inserts: it is waited for, and told: ``tests/unit/test_milvus_wire.py``,
  ``tests/infra/test_milvus_real_server.py``. Searches that are limited are late, which is planted.
"""

from __future__ import annotations

from validation.selftest.fault import Fault
from validation.selftest.faults import (
    answers,
    filters,
    hosts,
    ingest,
    load,
    mutations,
    place,
    restart,
    rows,
    security,
    segments,
    sustained,
)

UNPLANTED = {
    "checks.assertions": "an assertion that breaks is planted in the kit's own tests of the plugin",
    "recall.diskann": "the embedded server cannot build it",
}
"""Gates without a fault, and why."""

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for room in (
        answers,
        load,
        sustained,
        rows,
        mutations,
        filters,
        place,
        segments,
        ingest,
        hosts,
        security,
        restart,
    )
    for fault in room.FAULTS
}

FIVE = ("wrong-scores", "reversed-order", "one-row-ten-times", "short-answers", "in-as-equals")
"""Five faults that a suite which looks at sets of keys alone once passed all at once."""

OTHERS = (
    "another-s-answer",
    "doubled-hits",
    "later-date",
    "wrong-fields",
    "lost-deletes",
    "stale-upserts",
    "short-iterator",
)
"""More that it passed. An answer to another query is told by its scores, so they are right here."""

AT_ONCE = (FIVE, OTHERS)
"""Faults that are also planted together, against the whole suite."""
