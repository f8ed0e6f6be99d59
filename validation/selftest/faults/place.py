"""Faults of what was deployed: another server, another bucket, a store that breaks its rules."""

from __future__ import annotations

from validation.s3.client.volley import Volley
from validation.selftest import plants
from validation.selftest.fault import Fault, metrics, on
from validation.selftest.plants import patched
from validation.selftest.scene import PLACE, STORE
from validation.selftest.wire.stored import Answering

FAULTS = (
    Fault(
        "other-version",
        "another version answers than was declared",
        metrics("identity.mismatches"),
        wire=(on("GetVersion", "Connect", answer=Answering("v2.3.99")),),
        scene=PLACE,
        lite=True,
    ),
    Fault(
        "empty-bucket",
        "the declared bucket holds nothing of Milvus",
        metrics("storage.persisted_ratio", "storage.index_objects"),
        plant=plants.other_bucket,
        scene=PLACE,
    ),
    Fault(
        "two-winners",
        f"of {plants.RACES} races for a key of the store, which holds the log, one has two winners",
        metrics("storage.rules_broken"),
        plant=plants.together(plants.log_on_the_store, patched(Volley, "fire", plants.two_winners)),
        scene=STORE,
    ),
)
