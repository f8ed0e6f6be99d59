"""Rows written and read at once, on a real server and with faults in front of it."""

import pytest

from validation.history import driving
from validation.history.checker import KINDS, check
from validation.milvus.connection import connect
from validation.selftest.wire import living, stored
from validation.selftest.wire.fault import WireFault
from validation.selftest.wire.proxy import WireProxy
from validation.suite.checks.test_living import BOUNDED_NS

pytestmark = pytest.mark.slow

SECONDS = 3.0
KNOWN = {"stale", "miscounted"}
"""What Milvus 2.3.5 does now and then by itself: docs/living.md."""


@pytest.fixture(scope="module")
def behind(embedded_target):
    """The embedded server behind a proxy, and the proxy."""
    with connect(embedded_target) as direct, WireProxy(direct.endpoint.address) as proxy:
        milvus = embedded_target.milvus.model_copy(update={"uri": f"http://{proxy.address}"})
        yield embedded_target.model_copy(update={"milvus": milvus}), proxy


def broken(target, seed=1):
    with connect(target) as connection:
        name = "mk_living_faults"
        with driving.collection(connection, name, run="test"):
            done = driving.drive(target, name, seconds=SECONDS, seed=seed)
    found = check(done.history, bounded_ns=BOUNDED_NS)
    assert found.reads > 20
    assert found.writes > 200
    return {kind for kind, number in found.counts.items() if number}, done


def test_a_real_server_loses_doubles_and_invents_nothing_while_rows_change(embedded_target):
    found, done = broken(embedded_target)
    assert found <= KNOWN
    assert set(done.write_ms) == {"insert", "upsert", "delete"}
    assert done.longest_gap_s < SECONDS


FAULTS = {
    "lost": living.lost,
    "stale": living.OldVersions(),
    "resurrected": living.Undead(),
    "duplicate": living.doubled,
    "wrong value": living.other_content,
    "phantom": living.never_written,
    "miscounted": stored.Miscounted(by=5_000),
}


def test_there_is_a_fault_for_every_kind_of_finding():
    assert set(FAULTS) == set(KINDS)


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_on_the_wire_is_found_as_its_own_kind(behind, kind):
    target, proxy = behind
    every = 2 if kind == "stale" else 1
    proxy.arm(WireFault(frozenset({"Query"}), answer=FAULTS[kind], every=every, name=kind))
    try:
        found, _ = broken(target)
    finally:
        struck = proxy.arm()
    assert struck.times[kind]
    assert not struck.failed
    # A row that the last read of all shows in an old version counts as lost.
    also = {"lost"} if kind == "stale" else set()
    assert found - KNOWN - also == {kind} - KNOWN
    assert found & ({kind} | also)
