"""How many searches a second the server sustains while every rule for searches holds."""

from contextlib import nullcontext

import pytest

from validation.datasets.generated import generate
from validation.errors import MeasurementError
from validation.load import loops
from validation.load.plans import found
from validation.load.slo import background, calibration, trial
from validation.load.slo import search as sustained
from validation.load.slo.finding import Finding
from validation.load.slo.timeline import Timeline
from validation.milvus.ownership import collection_name

pytestmark = pytest.mark.family("load")

METRIC = "load.sustained_rate"
UNDER_WAY = 8
"""Searches under way in the closed loop that says where to look first."""
ROWS_BESIDE = 5_000
"""Of the collection that is loaded again and again beside the searches."""


@pytest.mark.parametrize("beside", ["nothing", "loading"])
def test_the_rate_is_sustained(
    gate, connection, target, recorder, planned, profile, run_id, stretch, beside
):
    if beside == "loading" and connection.is_lite:
        pytest.skip("Milvus Lite has one process at a time, and nothing happens beside a search")
    plan, index = planned.plan, planned.index
    labels = {"plan": plan.name, "index": index.kind, "beside": beside}
    given = plan.rules or recorder.rules
    rules = trial.rules_for(given, target.name, {"index": index.kind})
    if not any(rule.metric == trial.LATENCY for rule in rules):
        reason = f"no rule of {trial.LATENCY} says how fast a search has to be"
        gate(METRIC, labels=labels, not_measured=reason)
        return
    asked = planned.prepared

    def offer(rate: float, number: int) -> sustained.Trial:
        seed = profile.seed + number
        due = asked.due(rate, plan.trial_seconds(rate, profile.trial_seconds), seed)
        numbers = asked.numbers(len(due), seed)
        began = over_time.now()
        try:
            samples = loops.offered(asked.requests, due, numbers, workers=plan.workers)
        except MeasurementError as error:  # the client's own: a worker was killed
            made = sustained.Trial(rate, sustained.Held.OPEN, error.what)
        else:
            seen = found.look(samples, asked)
            made = trial.judged(rate, samples, seen, rules)
            searched = seen.searched
            over_time.note(began, samples.offsets_s[searched], samples.latencies_ms[searched])
        report(f"{rate:,.0f}/s {made.held.value}{f': {made.why}' if made.why else ''}")
        return made

    going_on = nullcontext(background.Background())
    if beside == "loading":
        rows = generate(min(ROWS_BESIDE, profile.rows), profile.dim, queries=1, seed=profile.seed)
        side = collection_name(run_id, "beside")
        going_on = background.loading_over_and_over(target, rows, side, run=run_id)
    with stretch(f"sustained rate of {plan.name}, beside {beside}") as report, going_on as other:
        over_time = Timeline()
        count = profile.warmup_searches * 4
        about = loops.closed_loop(
            asked.requests,
            n=count,
            under_way=UNDER_WAY,
            max_seconds=10,
            numbers=asked.numbers(count, profile.seed),
        )
        per_second = about.n / about.seconds * plan.searched
        cost = calibration.calibrate(asked.requests)
        if plan.rate is not None:
            rounds, trials = sustained.hold(offer, plan.rate, rounds=profile.sustained_rounds)
        else:
            first = max(sustained.LOWEST, per_second / 2)
            rounds, trials = sustained.search(offer, about=first, rounds=profile.sustained_rounds)
    whole = Finding(rounds, trials, cost, other, per_second, plan)
    least = min((one.threshold for one in recorder.rules if one.metric == METRIC), default=0.0)
    gate(
        METRIC,
        whole.rates,
        labels=labels,
        evidence={**whole.evidence(rules), **over_time.evidence(other)},
        void=whole.why_void(least) or None,
    )
