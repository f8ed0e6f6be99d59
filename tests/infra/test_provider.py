"""What all of the kit's dynamic resources have in common."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from pulumi import dynamic
from test_kubernetes_node import PLAN

import infra
from infra.kubernetes.check import ClusterCheckProvider
from infra.kubernetes.node import resource
from infra.kubernetes.node.resource import NodeProvider
from infra.provider import OUTDATED, Provider
from infra.storage.minio.resources import BucketProvider
from tests.infra import api_server
from validation.errors import CredentialsError, UnreachableError

PINNED = {
    "infra.day_zero.DayZeroProvider",
    "infra.guard.GuardProvider",
    "infra.kubernetes.check.ClusterCheckProvider",
    "infra.kubernetes.kind.KindProvider",
    "infra.kubernetes.node.resource.NodeProvider",
    "infra.milvus.rollout.RolloutProvider",
    "infra.secrets.authority.AuthorityProvider",
    "infra.secrets.authority.CertificateProvider",
    "infra.secrets.password.PasswordProvider",
    "infra.servers.started.StartedProvider",
    "infra.storage.greenlake.resources.GreenLakeBucketProvider",
    "infra.storage.greenlake.resources.GreenLakePolicyProvider",
    "infra.storage.greenlake.resources.GreenLakeUserProvider",
    "infra.storage.minio.resources.BucketProvider",
    "infra.storage.minio.resources.UserProvider",
}
"""Where a state finds the code of its dynamic resources: refresh and destroy end with a
ModuleNotFoundError where one of them has moved. Once there is a release, one that moves leaves its
name behind where it was."""
TYPES = {
    "AuthorityKey": "CertificateAuthority",
    "Certificate": "Certificate",
    "ClusterCheck": "Resource",
    "DayZero": "DayZero",
    "GreenLakeBucket": "GreenLakeBucket",
    "GreenLakePolicy": "GreenLakePolicy",
    "GreenLakeUser": "GreenLakeUser",
    "Guard": "Guard",
    "Kind": "Resource",
    "MinioBucket": "MinioBucket",
    "MinioUser": "MinioUser",
    "Node": "Resource",
    "Password": "Password",
    "Rollout": "OperatorRollout",
    "Started": "Started",
}
"""Dynamic resources by the last part of their type, which is a part of their URNs."""


def of_infra(base: type) -> set[type]:
    for module in pkgutil.walk_packages(infra.__path__, "infra."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = set(), [base]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found |= {one for one in below if one.__module__.startswith("infra.")}
    return {one for one in found if not one.__name__.startswith("_")}


def test_a_state_finds_the_code_of_its_resources_where_it_was():
    found = {f"{one.__module__}.{one.__qualname__}" for one in of_infra(Provider)}
    assert found == PINNED


def test_a_state_knows_its_resources_again_by_their_type():
    found = {
        one.__name__: one._resource_type_name.removeprefix("dynamic:")
        for one in of_infra(dynamic.Resource)
    }
    assert found == TYPES


@pytest.fixture
def cluster():
    with api_server.running(api_server.Cluster()) as started:
        yield started


def test_a_token_that_was_rotated_is_said_to_come_from_the_state(cluster):
    outdated = cluster.kubeconfig.replace("planted-token", "token-of-last-month")
    props = {"kubeconfig": outdated, "namespace": "ns", "needs": {"namespace": "ns"}}
    with pytest.raises(CredentialsError) as caught:
        ClusterCheckProvider().read("cluster", props)
    assert OUTDATED in str(caught.value)
    server = props | {
        "pod": "minio-0",
        "port": 9000,
        "server_name": "minio",
        "root_access_key": "key",
        "root_secret_key": "secret",
        "region": "us-east-1",
    }
    with pytest.raises(CredentialsError) as caught:
        BucketProvider().delete("milvus", server)
    assert OUTDATED in str(caught.value)
    with pytest.raises(CredentialsError) as caught:  # an update has the program's own
        BucketProvider().create({**server, "bucket": "milvus"})
    assert OUTDATED not in str(caught.value)


def test_an_ssh_key_that_was_rotated_is_said_to_come_from_the_state(monkeypatch):
    def refused(_host):
        raise CredentialsError("the host does not let this key in", remedy="check privateKey")

    monkeypatch.setattr(resource, "connected", refused)
    for call in (NodeProvider().read, NodeProvider().delete):
        with pytest.raises(CredentialsError) as caught:
            call("id", {"plan": PLAN.model_dump_json()})
        assert "check privateKey; these are the credentials of the last" in str(caught.value)


def test_what_does_not_answer_is_not_blamed_on_credentials():
    class Silent(Provider):
        def delete(self, id_, props):
            raise UnreachableError(f"no answer for {id_} with {len(props)} properties")

    with pytest.raises(UnreachableError) as caught:
        Silent().delete("id", {})
    assert OUTDATED not in str(caught.value)
