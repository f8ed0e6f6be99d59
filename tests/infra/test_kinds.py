"""The kit's own classes of Kubernetes objects are those of pulumi-kubernetes to the engine."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import declaring
import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi.runtime import mocks

from infra.kubernetes import kinds

PUBLISHED = {
    kinds.Namespace: lambda: k8s.core.v1.Namespace,
    kinds.ConfigMap: lambda: k8s.core.v1.ConfigMap,
    kinds.Secret: lambda: k8s.core.v1.Secret,
    kinds.Service: lambda: k8s.core.v1.Service,
    kinds.ServiceAccount: lambda: k8s.core.v1.ServiceAccount,
    kinds.Deployment: lambda: k8s.apps.v1.Deployment,
    kinds.StatefulSet: lambda: k8s.apps.v1.StatefulSet,
    kinds.Job: lambda: k8s.batch.v1.Job,
    kinds.CronJob: lambda: k8s.batch.v1.CronJob,
    kinds.HorizontalPodAutoscaler: lambda: k8s.autoscaling.v2.HorizontalPodAutoscaler,
    kinds.PodDisruptionBudget: lambda: k8s.policy.v1.PodDisruptionBudget,
    kinds.NetworkPolicy: lambda: k8s.networking.v1.NetworkPolicy,
    kinds.StorageClass: lambda: k8s.storage.v1.StorageClass,
    kinds.ClusterRole: lambda: k8s.rbac.v1.ClusterRole,
    kinds.ClusterRoleBinding: lambda: k8s.rbac.v1.ClusterRoleBinding,
}
NEEDED: dict[Any, dict[str, Any]] = {
    kinds.ClusterRole: {},
    kinds.Secret: {"stringData": {"key": "value"}},
    kinds.StorageClass: {"provisioner": "example.com/disks"},
    kinds.ClusterRoleBinding: {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    },
}
SNAKE = {"stringData": "string_data", "roleRef": "role_ref"}


@pytest.fixture
def asked(monkeypatch):
    """What the engine is asked for."""
    found: list[Any] = []

    def keeps(real: Any) -> Any:
        def kept(self, request):
            found.append(request)
            return real(self, request)

        return kept

    for name in ("RegisterResource", "ReadResource"):
        monkeypatch.setattr(mocks.MockMonitor, name, keeps(getattr(mocks.MockMonitor, name)))
    return found


def told(request: Any) -> tuple[Any, ...]:
    return (
        request.type,
        request.name,
        request.object,
        sorted(request.additionalSecretOutputs),
        sorted(request.dependencies),
    )


def test_every_kind_is_compared():
    assert set(PUBLISHED) == set(kinds.Object.__subclasses__())


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda one: one.__name__)
def test_type_and_inputs_are_the_published_ones(kind, asked):
    metadata = {"name": "one", "namespace": "ns", "labels": {"a-b": "c"}}
    spec = {"replicas": 2, "template": {"spec": {"nodeSelector": {"a_b/c-d": "e"}}}}
    more = NEEDED.get(kind, {"spec": spec} if kind.api != "v1" else {})
    declaring.run(lambda: kind("one", metadata=metadata, **more))
    ours = told(asked[-1])
    published = {SNAKE.get(key, key): value for key, value in more.items()}
    declaring.run(lambda: PUBLISHED[kind]()("one", metadata=metadata, **published))
    assert ours == told(asked[-1])


def test_a_secret_that_is_there_is_read_as_the_published_class_reads_it(asked):
    opts = pulumi.ResourceOptions()
    declaring.run(lambda: kinds.Secret.get("one", "ns/one", opts))
    ours = asked[-1]
    declaring.run(lambda: k8s.core.v1.Secret.get("one", "ns/one", opts))
    theirs = asked[-1]
    assert (ours.type, ours.id, ours.properties) == (theirs.type, theirs.id, theirs.properties)
    assert sorted(ours.additionalSecretOutputs) == sorted(theirs.additionalSecretOutputs)


def test_a_program_does_not_import_the_models_of_every_kind():
    code = "import sys, infra.program; print('pulumi_kubernetes.core.v1' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "False"
