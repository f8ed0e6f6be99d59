"""The machines that Milvus runs on are fit for it, and reach its store."""

import pytest

from validation.errors import MilvusKitError
from validation.hosts import looking
from validation.security.act import Act, behind, wrongs
from validation.verdicts.judging import BEHIND

pytestmark = pytest.mark.family("hosts")

NO_HOSTS = "the target names no hosts and no objects of a cluster"
CLOSELY_MS = 1_000.0
"""A clock that is known less closely than this says nothing."""


@pytest.fixture(scope="module")
def seen(target):
    """Return what each machine showed, or why there is none."""
    declared = target.kubernetes
    if not target.hosts and (declared is None or not declared.workloads):
        return [], {"undeclared": NO_HOSTS}
    try:
        return looking.looked_at(looking.places(target)), {}
    except MilvusKitError as error:
        said = f"{error.where}: {error.what}" if error.where else error.what
        return [], {"not_measured": said}


@pytest.fixture
def each(gate, seen):
    """Return a function that hands over what one metric makes of each machine."""

    def observe(metric, measured):
        found, why = seen
        if why:
            gate(metric, **why)
        for one in found:
            asked = {"not_measured": one.why} if one.why else measured(one)
            gate(metric, labels={"machine": one.name}, **asked)

    return observe


def test_machines_are_what_milvus_needs(each):
    each("hosts.unfit", lambda one: handed(one.fits))


def test_clocks_agree(each, seen):
    read = [one for one in seen[0] if not one.why]
    each("hosts.clock_off", lambda one: clock_handed(one, [it for it in read if it is not one]))


def test_no_packet_to_the_store_is_lost(each):
    def measured(one):
        acts = [
            Act(
                way.address,
                bool(way.lost),
                f"{way.lost} of {way.tried} connections lost a packet: {way.why}",
            )
            for way in one.way.connected
        ]
        return handed(acts, one.way.unasked) | (
            {"samples": [float(way.lost) for way in one.way.connected]} if acts else {}
        )

    each("hosts.store_lost", measured)


def test_the_largest_packet_reaches_the_store(each):
    def measured(one):
        acts = [
            Act(
                way.address,
                not way.whole,
                f"packets of {way.mtu} B, which {way.device} sends, do not get through",
            )
            for way in one.way.large
        ]
        return handed(acts, one.way.unasked)

    each("hosts.store_mtu", measured)


def clock_handed(one, others):
    """Return what a gate is handed for a clock: how far the furthest of the others is, at least.

    A machine without others is held against this host, whose clock is the only other one.
    """
    here = {"this host": (0.0, 0.0)}
    clocks = {it.name: it.clock for it in others} or here
    apart = {name: looking.apart(one.clock, clock) for name, clock in clocks.items()}
    known = {name: _within(one.clock) + _within(clock) for name, clock in clocks.items()}
    told = [name for name in clocks if known[name] <= CLOSELY_MS or apart[name] > CLOSELY_MS]
    if not told:
        return {"not_measured": f"its time is known to {min(known.values()):.1f} ms only"}
    furthest = max(told, key=lambda name: apart[name])
    evidence = {
        "furthest_from": furthest,
        "known_to_ms": round(known[furthest], 1),
        "from_this_host_ms": round(looking.apart(one.clock, here["this host"]), 1),
        "not_compared": [name for name in clocks if name not in told],
    }
    return {"samples": [apart[furthest]], "evidence": evidence}


def _within(clock):
    return clock[1] - clock[0]


def handed(acts, unasked=()):
    """Return what a gate is handed for acts: a sample for each."""
    if not acts:
        return {"not_measured": "; ".join(unasked) or "it is not known where its store is"}
    return {
        "samples": wrongs(acts),
        "columns": {"act": [one.name for one in acts]},
        "evidence": {"not_asked": list(unasked), BEHIND: behind(acts)},
    }
