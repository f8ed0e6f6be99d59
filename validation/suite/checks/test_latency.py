"""Searches are fast one after the other, and stay so at the offered rate."""

import pytest

from validation.load import plan
from validation.load.loops import open_loop, serial
from validation.load.samples import limits
from validation.milvus import serving
from validation.suite import answering, workload
from validation.verdicts.judging import BEHIND

pytestmark = pytest.mark.family("latency")


@pytest.fixture(scope="module")
def index(generated_collection, profile):
    """The index that latency is measured on: the profile's last."""
    return generated_collection.under(profile.indexes[-1])


@pytest.fixture(scope="module")
def searches(connection, generated, generated_collection, index):
    """The searches, serialised once."""
    return plan.search_plan(
        connection,
        generated_collection.name,
        generated.queries.vectors,
        k=workload.K,
        params=index.search,
    )


@pytest.fixture(scope="module")
def right(generated, index, profile):
    """What the answers are held against."""
    return answering.expected(generated, workload.truth(profile), index)


@pytest.fixture(scope="module")
def served(connection, generated_collection, index):
    """What serves these searches, and why it is not the index that they are reported for."""
    name = generated_collection.name
    return serving.asked_and_got(connection, name, index, consistency=plan.CONSISTENCY)


def test_one_search_after_the_other_is_fast(gate, searches, served, right, index, profile):
    samples = serial(searches, n=profile.serial_searches, warmup=profile.warmup_searches)
    labels = {"index": index.kind}
    load = {**labels, "load": "one after the other"}
    wrong = answering.observe_load(gate, samples.replies, samples.numbers, right, load)
    observe(gate, samples, "search.latency.serial", samples.latencies_ms, labels, served, wrong)


def test_latency_stays_predictable_at_the_offered_rate(
    gate, searches, served, right, index, profile
):
    rate = profile.offered_rate
    samples = open_loop(searches, rate=rate, seconds=profile.offered_seconds, seed=profile.seed)
    labels = {"index": index.kind, "rate": f"{rate:g}/s"}
    load = {"index": index.kind, "load": f"{rate:g}/s"}
    wrong = answering.observe_load(gate, samples.replies, samples.numbers, right, load)
    observe(gate, samples, "search.latency.open_loop", samples.latencies_ms, labels, served, wrong)
    observe(gate, samples, "search.errors", samples.failed, labels, served)


def observe(gate, samples, metric, values, labels, served, wrong=""):
    """Keep what one measurement under load found, with the time at which each request was meant."""
    gate(
        metric,
        values,
        labels=labels,
        columns={"offset_s": samples.offsets_s, "lag_ms": samples.lag_ms},
        # Then a latency says nothing of the index or the store.
        evidence={**samples.evidence(), **served[0], BEHIND: limits(samples.limited)},
        void=samples.void or wrong or served[1] or None,
    )
