"""What a first `up` that failed has left is guarded, under the real engine."""

from __future__ import annotations

import gc
from typing import Any

import pulumi
import pytest
from engine_stack import engine_stack
from pulumi import automation

from infra import guard
from infra.guard import Guard
from infra.secrets.password import Password
from tests.infra.failing import Failing

# A program that an engine has given up leaves a coroutine of the SDK's behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Wanted:
    """What the program declares; a test changes it."""

    protect = True
    fails = True


def declare() -> None:
    first = Guard(protect=Wanted.protect)
    after = pulumi.ResourceOptions(depends_on=[first])
    password = Password("root-password", opts=after)
    Guard(protect=Wanted.protect, behind=[password], name="secrets")
    parts: list[pulumi.Resource] = [
        Password("pods", opts=pulumi.ResourceOptions(depends_on=[password]))
    ]
    if Wanted.fails:
        parts.append(Failing("more-pods", pulumi.ResourceOptions(depends_on=list(parts))))
    Guard(protect=Wanted.protect, behind=[password, *parts], name="stack")


@pytest.fixture(scope="module")
def stack(engine):
    made = engine_stack("guarded", declare, *engine)
    with pytest.raises(automation.CommandError, match="planted failure"):
        made.up()
    yield made
    Wanted.fails = Wanted.protect = False
    made.up()
    made.destroy()
    assert resources(made) == {}
    gc.collect()


def resources(stack) -> dict[str, Any]:
    found = (stack.export_stack().deployment or {}).get("resources") or []
    return {
        one["urn"].rsplit("::", 1)[-1]: one
        for one in found
        if not one["type"].startswith("pulumi:")
    }


def test_destroy_takes_nothing_and_says_what_to_do(stack):
    before = resources(stack)
    assert set(before) == {"guard", "guard-secrets", "root-password", "pods"}
    with pytest.raises(automation.CommandError, match=guard.REFUSAL):
        stack.destroy()  # without a preview, as automation does it
    assert resources(stack) == before


def test_destroy_of_one_resource_alone_takes_nothing(stack):
    before = resources(stack)
    with pytest.raises(automation.CommandError, match=guard.REFUSAL):
        stack.destroy(target=[before["pods"]["urn"]])
    assert resources(stack) == before


def test_a_refresh_needs_no_program(stack):
    before = resources(stack)
    stack.refresh()
    assert set(resources(stack)) == set(before)


def test_an_engine_that_runs_the_program_leaves_the_secrets(stack):
    """Which is what the engine advises to do when it refuses."""
    with pytest.raises(automation.CommandError) as caught:
        stack.destroy(run_program=True)
    assert "guard-secrets" in str(caught.value)
    assert {"guard", "guard-secrets", "root-password"} <= set(resources(stack))
