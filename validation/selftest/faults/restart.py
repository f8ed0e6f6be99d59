"""Faults of a restart: rows and answers that are gone, and a server that takes its time."""

from __future__ import annotations

from validation.local import stack
from validation.selftest import plants
from validation.selftest.fault import Fault, metrics
from validation.selftest.plants import ROWS, patched
from validation.selftest.scene import RESTART

FAULTS = (
    Fault(
        "forgetful-restart",
        f"{ROWS} rows are gone after a restart",
        metrics("restart.rows_lost"),
        plant=patched(
            stack, "restart", plants.forgetful_restart("generated", plants.unsought_rows)
        ),
        scene=RESTART,
    ),
    Fault(
        "changed-answers",
        "passages that queries found are gone after a restart",
        metrics("restart.rows_lost", "restart.answers_changed", "exact_search.misses"),
        plant=patched(
            stack, "restart", plants.forgetful_restart("sample_data", plants.first_passages)
        ),
        scene=RESTART,
    ),
    Fault(
        "slow-restart",
        f"the server takes {plants.SLOW_SECONDS} s longer to come back",
        metrics("restart.seconds_to_answer"),
        plant=patched(stack, "restart", plants.slow_restart),
        scene=RESTART,
    ),
)
