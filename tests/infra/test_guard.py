"""What is protected is met first: `destroy` without a preview takes nothing else before."""

from __future__ import annotations

from typing import Any

import declaring
import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, declare
from pulumi.runtime import mocks
from test_storage import PROVISION

from infra import guard

FULL = changed(
    PROD,
    observability={"podMonitors": True, "dashboard": True},
    validation={"enabled": True},
    milvus={"roles": {"querynode": {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}}},
)
HOST = {"name": "one", "address": "10.0.0.1", "role": "control-plane"}
KUBEADM = changed(DEV, kubernetes={"provider": "kubeadm", "hosts": [HOST]})
KIND = changed(DEV, kubernetes={"provider": "kind"})
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


DOCUMENTS = pytest.mark.parametrize(
    "document",
    [DEV, STANDALONE, CLUSTER_23, PROD, FULL, PROVISION, KUBEADM, KIND],
    ids=["dev", "standalone", "cluster-2.3", "prod", "full", "provisioned", "kubeadm", "kind"],
)


def guards(registered) -> dict[str, Any]:
    return {
        urn.rsplit("::", 1)[-1]: one
        for urn, one in registered.items()
        if one.type.endswith(":Guard")
    }


def below(registered, one) -> set[str]:
    """What a resource stands on, however far down."""
    found: set[str] = set()
    waiting = _on(one)
    while waiting:
        urn = waiting.pop()
        if urn not in found:
            found.add(urn)
            waiting += _on(registered[urn])
    return found


def _on(one) -> list[str]:
    """What an engine deletes only after a resource; its provider is among it."""
    return [*one.dependencies, *([one.provider.rpartition("::")[0]] if one.provider else [])]


def made(registered) -> dict[str, Any]:
    return {
        urn: one
        for urn, one in registered.items()
        if not one.type.startswith(NOT_DELETED) and not one.type.endswith(":Guard")
    }


@DOCUMENTS
def test_the_last_guard_stands_behind_everything_but_the_job_that_may_fail(document, registered):
    declare(document)
    unguarded = set(made(registered)) - below(registered, guards(registered)["guard-stack"])
    assert len(made(registered)) > 15
    assert {urn.rsplit("::", 1)[-1] for urn in unguarded} <= {
        "milvus-validation",
        "milvus-validation-started",
    }


@DOCUMENTS
def test_the_first_guard_is_there_before_anything_else(document, registered):
    declare(document)
    (first,) = [urn for urn in registered if urn.endswith("::guard")]
    later = {urn for urn, one in made(registered).items() if first in below(registered, one)}
    assert set(made(registered)) - later == set()


def test_secrets_and_data_are_guarded_before_the_roles_start(registered):
    declare(PROD)
    roles = {urn for urn, one in registered.items() if one.type.endswith(":Deployment")}
    for name, kept in (
        ("guard-storage", "CertificateAuthority"),
        ("guard-secrets", "milvus-root-password"),
        ("guard-data", "StatefulSet::etcd"),
        ("guard-data", "StatefulSet::woodpecker"),
    ):
        behind = below(registered, guards(registered)[name])
        assert any(kept in urn for urn in behind), name
        assert not behind & roles


@pytest.mark.parametrize(("document", "protected"), [(PROD, True), (DEV, False)])
def test_the_guards_are_protected_where_the_data_is(document, protected, registered):
    declare(document)
    found = guards(registered)
    assert {one.protect for one in found.values()} == {protected}
    assert {one.retainOnDelete for one in found.values()} == {False}
    hooks = {name: list(one.hooks.before_delete) for name, one in found.items()}
    assert hooks == {name: [guard.REFUSAL] * (protected and name == "guard") for name in found}
