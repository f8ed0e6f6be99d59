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


def test_clocks_agree(each):
    def measured(one):
        known = round(one.within_ms, 1)
        if known > CLOSELY_MS:
            return {"not_measured": f"its time is known to {known} ms only"}
        return {"samples": [one.clock_ms], "evidence": {"known_to_ms": known}}

    each("hosts.clock_off", measured)


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


def handed(acts, unasked=()):
    """Return what a gate is handed for acts: a sample for each."""
    if not acts:
        return {"not_measured": "; ".join(unasked) or "it is not known where its store is"}
    return {
        "samples": wrongs(acts),
        "columns": {"act": [one.name for one in acts]},
        "evidence": {"not_asked": list(unasked), BEHIND: behind(acts)},
    }
