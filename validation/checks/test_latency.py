"""Searches are fast one after the other, and stay so at the offered rate."""

import pytest

from validation import workload
from validation.load import open_loop, plan, serial

pytestmark = pytest.mark.family("latency")


@pytest.fixture(scope="module")
def index(generated_collection, profile):
    """The index that latency is measured on: the profile's last."""
    return generated_collection.under(profile.indexes[-1])


@pytest.fixture(scope="module")
def requests(connection, generated, generated_collection, index):
    """The searches, serialised once."""
    return plan.searches(
        connection,
        generated_collection.name,
        generated.queries.vectors,
        k=workload.K,
        params=index.search,
    )


def test_one_search_after_the_other_is_fast(gate, target, requests, index, profile):
    samples = serial.run(
        target, requests, count=profile.serial_searches, warmup=profile.warmup_searches
    )
    gate(
        "search.latency.serial",
        samples.latencies_ms,
        labels={"index": index.kind},
        columns=samples.columns,
        evidence=samples.evidence,
        void=samples.saturated,
    )


def test_latency_stays_predictable_at_the_offered_rate(gate, target, requests, index, profile):
    samples = open_loop.run(
        target, requests, rate=profile.offered_rate, seconds=profile.offered_seconds
    )
    shared = {
        "labels": {"index": index.kind, "rate": f"{profile.offered_rate:g}/s"},
        "columns": samples.columns,
        "evidence": samples.evidence,
        "void": samples.saturated,
    }
    gate("search.latency.open_loop", samples.latencies_ms, **shared)
    gate("search.errors", samples.failed, **shared)
