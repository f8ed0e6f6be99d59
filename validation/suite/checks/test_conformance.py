"""The S3 store keeps the rules that Milvus relies on."""

import pytest

from validation.s3.preflight import profile as store_profile
from validation.s3.preflight.decisions import log_allowed
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Effort
from validation.verdicts.verdict import Outcome

pytestmark = pytest.mark.family("conformance")


def test_the_store_keeps_the_rules_that_milvus_relies_on(gate, target, profile, recorder):
    if target.storage is None:
        gate("storage.rules_broken", not_measured="the target declares no storage")
        return
    effort = Effort(consistency_rounds=profile.store_rounds, races=profile.store_races)
    found = preflight(target.storage, wal=target.milvus.wal, effort=effort)
    kept = recorder.folder / f"s3-profile.{target.name}.json"
    store_profile.save(found, kept)
    required = store_profile.required_of(found.findings, target.milvus.wal)
    ended = [
        one
        for one in found.findings
        if one.id in required and one.outcome in {Outcome.PASS, Outcome.FAIL}
    ]
    gate(
        "storage.rules_broken",
        [float(one.outcome is Outcome.FAIL) for one in ended],
        columns={"check": [one.id for one in ended]},
        evidence={
            "profile": kept.name,
            "verdict": found.verdict.value,
            "consistency_rounds": effort.consistency_rounds,
            "log": log_allowed(found.decisions),
            "reason": found.reason,
            "broken": [one.id for one in found.findings if one.outcome is Outcome.FAIL],
            "not_measured": [
                one.id for one in found.findings if one.outcome is Outcome.NOT_MEASURED
            ],
            "leftovers": list(found.leftovers),
        },
        void=f"the preflight is not complete: {found.reason}"
        if found.verdict is Outcome.INCONCLUSIVE
        else None,
    )
