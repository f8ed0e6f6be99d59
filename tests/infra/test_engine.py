"""The kit's own resources under the real Pulumi engine: made, left alone, drifted, destroyed."""

from __future__ import annotations

import gc
import json
from typing import Any

import pulumi
import pytest
from engine_stack import engine_stack
from greenlake_server import Fault, GreenLakeServer
from pulumi import automation
from test_settings import DEV

from infra.day_zero import DayZero
from infra.guard import Guard
from infra.secrets.authority import Authority
from infra.secrets.password import Password
from infra.settings.parse import parse
from infra.storage import policy
from infra.storage.greenlake.resources import GreenLakeBucket, GreenLakePolicy, GreenLakeUser

# A program that an engine has given up leaves a coroutine of the SDK's behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def server():
    with GreenLakeServer() as running:
        running.state.polls = 1
        yield running


class Wanted:
    """What the program declares; a test changes it."""

    bucket = "milvus"
    accept: tuple[str, ...] = ()
    generation = 1
    protect = False


def program_of(server: GreenLakeServer) -> Any:
    def declare() -> None:
        connection = server.connection() | {
            "client_secret": pulumi.Output.secret(server.connection()["client_secret"])
        }
        options = pulumi.ResourceOptions
        bucket = GreenLakeBucket(
            "bucket",
            connection | {"name": "milvus", "compression": False, "tags": [], "owner": "engine"},
            options(),
        )
        rules = GreenLakePolicy(
            "rules",
            connection | {"name": "rules", "policy": policy.for_bucket("milvus")},
            options(depends_on=[bucket]),
        )
        user = GreenLakeUser(
            "user",
            connection | {"name": "milvus", "policies": ["rules"], "generation": Wanted.generation},
            options(depends_on=[rules], protect=Wanted.protect),
        )
        first_day = DayZero(
            parse(
                DEV
                | {"storage": {"type": "minio", "bucket": Wanted.bucket}}
                | {"migration": {"accept": list(Wanted.accept)}},
                secrets=[],
                source="test",
            )
        )
        authority = Authority("authority")
        leaf = authority.issue("leaf", ["milvus.ns.svc"])
        password = Password("password", generation=Wanted.generation)
        Guard(behind=[first_day, user, authority, password], protect=Wanted.protect, name="stack")
        pulumi.export("s3", user.secret_key)
        pulumi.export("password", password.secret)
        pulumi.export("key", leaf.key)

    return declare


@pytest.fixture(scope="module")
def stack(engine, server):
    made = engine_stack("engine", program_of(server), *engine)
    made.up()
    yield made
    Wanted.bucket = "milvus"
    made.destroy()
    gc.collect()
    assert server.state.things == {"buckets": {}, "users": {}, "access-policies": {}}


def changes(result: Any) -> dict[str, int]:
    counts = dict(result.summary.resource_changes or {})
    counts.pop("same", None)
    return counts


def test_second_up_changes_nothing(stack):
    assert changes(stack.up()) == {}


def test_key_shown_once_is_kept(stack, server):
    assert stack.outputs()["s3"].value == server.state.keys["milvus"]
    assert stack.outputs()["s3"].secret


def test_state_holds_no_secret_in_plain_text(stack, engine):
    _, folder = engine
    outputs = {name: one.value for name, one in stack.outputs().items()}
    state = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (folder / "state").rglob("*")
        if path.is_file()
    )
    assert "GreenLakeUser" in state
    planted = [outputs["s3"], outputs["password"], "planted-client-secret", "PRIVATE KEY"]
    assert not [index for index, secret in enumerate(planted) if secret in state]


def test_drift_is_found_by_refresh_and_put_right_by_up(stack, server):
    kept = server.state.things["access-policies"]["rules"]
    before = json.dumps(kept["statement"])
    kept["statement"] = [{"effect": "ALLOW", "action": ["s3:*"], "resource": ["*"]}]
    assert changes(stack.refresh()) == {"update": 1}
    assert changes(stack.up()) == {"update": 1}
    assert json.dumps(server.state.things["access-policies"]["rules"]["statement"]) == before


def test_refusal_of_the_system_is_a_message_and_no_traceback(stack, server):
    kept = server.state.things["access-policies"]["rules"]["statement"]
    server.state.things["access-policies"]["rules"]["statement"] = []
    stack.refresh()
    server.state.faults.append(Fault("PUT", "access-policies", 403))
    with pytest.raises(automation.CommandError) as caught:
        stack.up()
    assert "permissions for object storage" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    stack.up()
    assert len(server.state.things["access-policies"]["rules"]["statement"]) == len(kept)


def test_a_rotated_credential_is_told_apart_and_taken_over_by_an_update(stack, server):
    """What a refresh logs in with is what the state holds."""
    server.state.client_secret = "planted-client-secret-rotated"
    with pytest.raises(automation.CommandError) as caught:
        stack.refresh()
    assert "the client credentials are refused" in str(caught.value)
    assert "run `pulumi up` first, which takes the new ones over" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert changes(stack.up()) == {"update": 3}
    assert changes(stack.refresh()) == {}


def test_first_days_decision_is_refused_at_preview_until_the_data_is_said_to_be_there(stack):
    Wanted.bucket = "another"
    with pytest.raises(automation.CommandError, match=r"storage\.bucket"):
        stack.preview()
    Wanted.accept = ("storage.bucket",)
    assert changes(stack.up()) == {"update": 1}
    Wanted.accept = ()  # taken over, and not asked for again
    assert changes(stack.up()) == {}
    Wanted.bucket, Wanted.accept = "milvus", ("storage.bucket",)
    stack.up()
    Wanted.accept = ()


def test_destroy_takes_nothing_while_the_data_is_protected(stack, server):
    Wanted.protect = True
    stack.up()
    before = json.dumps(server.state.things, sort_keys=True)
    password = stack.outputs()["password"].value
    with pytest.raises(automation.CommandError, match="protect"):
        stack.destroy()  # without a preview, as automation does it
    assert json.dumps(server.state.things, sort_keys=True) == before
    assert changes(stack.up()) == {}
    assert stack.outputs()["password"].value == password
    Wanted.protect = False
    assert changes(stack.up()) == {}


@pytest.mark.parametrize("dependents", [False, True])
def test_destroy_of_one_resource_alone_does_not_get_round_the_guard(stack, dependents):
    Wanted.protect = True
    stack.up()
    chosen = [one["urn"] for one in _resources(stack) if one["urn"].endswith("::password")]
    before = len(_resources(stack))
    try:
        assert len(chosen) == 1
        with pytest.raises(automation.CommandError, match="guard"):
            stack.destroy(target=chosen, target_dependents=dependents)
        assert len(_resources(stack)) == before
    finally:
        Wanted.protect = False
        stack.up()


def _resources(stack) -> list[dict[str, Any]]:
    return stack.export_stack().deployment["resources"]


def test_what_the_guard_stands_on_is_replaced_without_it(stack):
    Wanted.generation = 2
    assert changes(stack.up()) == {"replace": 2}
    assert changes(stack.up()) == {}
