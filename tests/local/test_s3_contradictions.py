"""What real clients met and preflight denies is found; each planted alone."""

from __future__ import annotations

import dataclasses

import pytest
import s3_servers
import s3_stub
from test_s3_stub import EFFORT, PERMISSIONS

from tests.stores import contradictions
from tests.stores.go_client import GoRun
from tests.stores.log_owners import LogRun
from tests.stores.record import DEFAULTS, REQUIRED, MilvusRun
from validation.s3.client.endpoint import Keys
from validation.s3.preflight.run import preflight
from validation.verdicts.verdict import Outcome

ENTRIES = tuple(f"{owner} {number}" for owner in ("first", "second") for number in range(3))
LOG = LogRun("enable", 0.1, ENTRIES, ENTRIES)
GO = GoRun(overwrote=False, condition="412", trailers="")
ARROW = {way: {"byte": "", "parts": ""} for way in (DEFAULTS, REQUIRED)}
MILVUS = MilvusRun(version="v2.3.5", passed=30, failed=(), undecided=())
CLIENTS = {"log": LOG, "go": GO, "arrow": ARROW, "milvus": MILVUS}


def judged(*faults: str):
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as stub:
        stub.faults = set(faults)
        storage = s3_servers.storage(stub.endpoint, encryption="AES256")
        return preflight(storage, permissions=PERMISSIONS, effort=EFFORT)


@pytest.fixture(scope="module")
def good():
    return judged()


def found(profile, **clients):
    return contradictions.found(profile, **{**CLIENTS, **clients})


def test_clients_that_meet_what_preflight_says_contradict_nothing(good):
    assert (good.verdict, good.decisions.woodpecker) == (Outcome.PASS, "safe")
    assert found(good) == []
    assert found(good, milvus=None) == []


@pytest.mark.parametrize(
    ("client", "seen"),
    [
        ("log", dataclasses.replace(LOG, mode="disable")),
        ("log", dataclasses.replace(LOG, read=ENTRIES[:-1])),
        ("log", dataclasses.replace(LOG, read=ENTRIES[::-1])),
        ("log", dataclasses.replace(LOG, damaged=1)),
        ("log", dataclasses.replace(LOG, late=(3,))),
        ("log", dataclasses.replace(LOG, trouble=("second could not take it over",))),
        ("go", GO.model_copy(update={"overwrote": True})),
        ("go", GO.model_copy(update={"trailers": "400"})),
        ("arrow", {**ARROW, DEFAULTS: {"byte": "411", "parts": ""}}),
        ("arrow", {**ARROW, REQUIRED: {"byte": "", "parts": "8 bytes came back"}}),
        ("milvus", MILVUS.model_copy(update={"failed": ("data.rows",)})),
    ],
)
def test_what_a_client_met_on_a_store_that_preflight_lets_through_is_found(good, client, seen):
    assert len(found(good, **{client: seen})) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [("conditional.detection", "calls Woodpecker unsafe"), ("objects.head", "refuses the store")],
)
def test_a_red_rule_that_the_clients_would_have_met_and_did_not_is_found(fault, said):
    asked_again = MILVUS.model_copy(update={"failed": ("storage.rules",)})
    assert any(said in one for one in found(judged(fault), milvus=asked_again))


def test_a_red_rule_that_no_client_can_provoke_contradicts_nothing():
    profile = judged("conditional.race")
    assert profile.decisions.woodpecker == "unsafe"
    assert found(profile) == []
