"""What the S3 store explains of a cold load and of slow searches."""

import numpy as np
import pytest

from validation.attribution.answer import unanswered
from validation.attribution.measure import measure
from validation.attribution.slo import slo_of
from validation.errors import MilvusKitError
from validation.load.plan import search_plan
from validation.suite import answering, workload

pytestmark = pytest.mark.family("attribution")

LOAD, SEARCH = "storage.share_of_cold_load", "storage.share_of_slow_search"


def test_the_store_does_not_hold_up_loads_and_searches(
    gate, connection, generated, generated_collection, profile, target, recorder
):
    index = generated_collection.under(profile.indexes[-1])
    labels = {
        "load": (LOAD, {"index": index.kind}),
        "cold": (SEARCH, {"index": index.kind, "state": "cold"}),
        "warm": (SEARCH, {"index": index.kind, "state": "warm"}),
    }
    plan = search_plan(
        connection,
        generated_collection.name,
        generated.queries.vectors,
        k=workload.K,
        params=index.search,
    )
    slo = slo_of(recorder.rules, target.name, {"index": index.kind})
    try:
        measured = measure(connection, generated_collection.name, plan)
    except MilvusKitError as error:
        reason = f"{error.what}: {error.remedy}" if error.remedy else error.what
        line = unanswered(reason, slo=slo.rule if slo else "").line
        for metric, more in labels.values():
            gate(metric, labels=more, not_measured=reason, evidence={"answer": line})
        return
    found = measured.answer(slo)
    right = answering.expected(generated, workload.truth(profile), index)
    wrong = {
        seen.state: answering.observe_load(
            gate,
            seen.replies,
            np.arange(len(seen.latencies_ms)),
            right,
            {"index": index.kind, "load": seen.state},
            recall=seen is measured.warm,
        )
        for seen in (measured.warm, measured.cold)
        if seen.replies is not None
    }
    for stretch, part in measured.parts().items():
        metric, more = labels[stretch]
        gate(
            metric,
            [] if part.low is None else [part.low, part.high],
            labels=more,
            not_measured=part.reason or None,
            void=wrong.get(stretch) or None,
            evidence={
                "answer": found.line,
                **part.evidence(),
                "no_replay": measured.no_replay,
                "small_reads_beside": measured.beside,
            },
        )
