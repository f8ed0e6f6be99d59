"""What is protected is met first: `destroy` without a preview takes nothing else before."""

from __future__ import annotations

from typing import Any

import declaring
import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, declare
from pulumi.runtime import mocks
from test_storage import PROVISION

FULL = changed(
    PROD,
    observability={"podMonitors": True, "dashboard": True},
    validation={"enabled": True},
    milvus={"roles": {"querynode": {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}}},
)
NOT_DELETED = ("milvus-kit:", "pulumi:")
"""Components, and what the engine has for itself: nothing of them is on a cluster."""


@pytest.fixture
def registered(monkeypatch):
    """Every resource by its URN, as the engine is asked for it."""
    found: dict[str, Any] = {}
    real = mocks.MockMonitor.RegisterResource

    def kept(self, request):
        answer = real(self, request)
        found[answer.urn] = request
        return answer

    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", kept)
    declaring.forget()
    yield found
    declaring.forget()


@pytest.mark.parametrize(
    "document",
    [DEV, STANDALONE, CLUSTER_23, PROD, FULL, PROVISION],
    ids=["dev", "standalone", "cluster-2.3", "prod", "full", "provisioned"],
)
def test_the_guard_stands_on_everything_that_is_declared(document, registered):
    declare(document)
    waiting = [urn for urn, one in registered.items() if one.type.endswith(":Guard")]
    assert len(waiting) == 1
    below: set[str] = set()
    while waiting:
        urn = waiting.pop()
        if urn not in below:
            below.add(urn)
            waiting += registered[urn].dependencies
    made = {urn for urn, one in registered.items() if not one.type.startswith(NOT_DELETED)}
    assert len(made) > 15
    assert made - below == set()


@pytest.mark.parametrize(("document", "protected"), [(PROD, True), (DEV, False)])
def test_the_guard_is_protected_where_the_data_is(document, protected, registered):
    declare(document)
    (guard,) = [one for one in registered.values() if one.type.endswith(":Guard")]
    assert guard.protect is protected
    assert guard.retainOnDelete is False
