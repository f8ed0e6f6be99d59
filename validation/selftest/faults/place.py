"""Faults of what was deployed: another server, another bucket, a store that breaks its rules."""

from __future__ import annotations

from validation.s3.client.volley import Volley
from validation.selftest import bucket, plants
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
        metrics("storage.persisted_ratio", "storage.index_objects", "storage.objects_missing"),
        plant=bucket.other_bucket,
        scene=PLACE,
        voids=metrics("storage.objects_unnamed"),
    ),
    Fault(
        "lost-object",
        "an object with values of one field is gone from the bucket",
        metrics("storage.objects_missing"),
        plant=bucket.lost_object,
        scene=PLACE,
    ),
    Fault(
        "left-behind-object",
        "the bucket holds an object of a segment that Milvus never named",
        metrics("storage.objects_unnamed"),
        plant=bucket.foreign_object,
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
