"""Faults of what was deployed: another server, another bucket, a store that breaks its rules."""

from __future__ import annotations

from validation.s3.client.volley import Volley
from validation.selftest import bucket, plants
from validation.selftest.fault import Fault, metrics, never, on
from validation.selftest.plants import patched
from validation.selftest.scene import PLACE, STORE
from validation.selftest.wire.stored import Answering

_IN_BUCKET = (
    *("storage.persisted_ratio", "storage.index_objects"),
    *("storage.objects_missing", "storage.objects_unnamed"),
)

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
        "commit-for-version",
        "the server calls itself by a commit, which is neither the declared version nor another",
        never,
        wire=(on("GetVersion", "Connect", answer=Answering("cebbe1e4da")),),
        scene=PLACE,
        voids=metrics("identity.mismatches"),
    ),
    Fault(
        "another-root-path",
        "the target names another prefix of the bucket than Milvus keeps its objects below",
        never,
        plant=bucket.other_root_path,
        scene=PLACE,
        voids=metrics(*_IN_BUCKET),
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
