"""Searches are fast one after the other, and stay so at the offered rate."""

import pytest

from validation import workload
from validation.load import plan
from validation.load.open_loop import open_loop
from validation.load.serial import serial

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


def test_one_search_after_the_other_is_fast(gate, searches, index, profile):
    samples = serial(searches, n=profile.serial_searches, warmup=profile.warmup_searches)
    observe(gate, samples, {"search.latency.serial": samples.latencies_ms}, index=index.kind)


def test_latency_stays_predictable_at_the_offered_rate(gate, searches, index, profile):
    rate = profile.offered_rate
    samples = open_loop(searches, rate=rate, seconds=profile.offered_seconds, seed=profile.seed)
    found = {"search.latency.open_loop": samples.latencies_ms, "search.errors": samples.failed}
    observe(gate, samples, found, index=index.kind, rate=f"{rate:g}/s")


def observe(gate, samples, found, **labels):
    """Keep what one measurement under load found, with the time at which each request was meant."""
    for metric, values in found.items():
        gate(
            metric,
            values,
            labels=labels,
            columns={"offset_s": samples.offsets_s, "lag_ms": samples.lag_ms},
            evidence=samples.evidence(),
            void=samples.void,
        )
