"""The cluster contract: refused for a reason, no secret in the clear, the same for each kind."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import HTTPServer
from types import SimpleNamespace

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from infra.kubernetes import check, facts, kind
from infra.kubernetes.facts import ClusterFacts, Needs, problems
from infra.program import _needs
from tests.infra.api_server import KnowsNobody
from tests.infra.declaring import DEV, Hidden, changed, declare, settings_of
from validation.errors import ConfigurationError, CredentialsError, UnreachableError

CLUSTER = ClusterFacts(
    version="v1.36.3",
    nodes=("one",),
    cpu=4.0,
    memory_bytes=8 * 2**30,
    storage_classes=("fast", "slow"),
    default_storage_class="slow",
)
KUBEADM = changed(
    DEV,
    kubernetes={
        "provider": "kubeadm",
        "hosts": [{"name": "one", "address": "10.0.0.1", "role": "control-plane"}],
    },
)
OVER_SSH = changed(
    KUBEADM,
    kubernetes={
        "hosts": [
            {
                "name": "one",
                "address": "10.0.0.1",
                "role": "control-plane",
                "ssh": {"privateKey": "rootPassword", "hostKey": "ssh-ed25519 AAAA"},
            }
        ]
    },
)


@pytest.mark.parametrize(
    ("facts", "needs", "told"),
    [
        ({"version": "v1.20.4"}, {}, "v1.20.4"),
        ({}, {"storage_class": "gold"}, "gold"),
        ({"default_storage_class": ""}, {}, "kubernetes.storageClass"),
        ({}, {"cpu": 5.0}, "request 5 CPUs, the nodes have 4"),
        ({}, {"memory_bytes": 9 * 2**30}, "9.0 GiB, the nodes have 8.0 GiB"),
        ({"nodes": ()}, {}, "no node is ready"),
        (
            {"node_ports": {30900: "other/web"}},
            {"node_ports": {"ns/object-store": 30900.0, "ns/milvus": 30530.0}},
            "node port 30900 of Service ns/object-store is taken by Service other/web",
        ),
        (
            {"images": frozenset({"quay.io/minio/minio:1"})},
            {"images": ("quay.io/minio/minio:1", "docker.io/milvusdb/milvus:v2.3.5")},
            "image docker.io/milvusdb/milvus:v2.3.5 is on no node",
        ),
    ],
)
def test_each_reason_why_a_stack_does_not_fit_is_named_alone(facts, needs, told):
    found = problems(replace(CLUSTER, **facts), Needs(**needs))
    assert len(found) == 1
    assert told in found[0]


def test_a_stack_that_fits_has_no_problem():
    assert problems(CLUSTER, Needs(storage_class="fast", cpu=4.0, memory_bytes=8 * 2**30)) == []


def test_a_port_that_the_stacks_own_service_has_is_not_taken():
    own = replace(CLUSTER, node_ports={30900: "ns/object-store"})
    assert problems(own, Needs(node_ports={"ns/object-store": 30900})) == []


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("milvusdb/milvus", "docker.io/milvusdb/milvus:latest"),
        ("127.0.0.1:5000/etcd:3", "127.0.0.1:5000/etcd:3"),
        ("quay.io/a/b:1@sha256:0a", "quay.io/a/b@sha256:0a"),
    ],
)
def test_an_image_on_a_node_is_found_by_any_of_its_names(wanted, there):
    assert problems(replace(CLUSTER, images=frozenset({there})), Needs(images=(wanted,))) == []


def _node(*images: str) -> SimpleNamespace:
    return SimpleNamespace(status=SimpleNamespace(images=[SimpleNamespace(names=[*images])]))


def test_nodes_that_do_not_tell_all_their_images_refuse_nothing():
    quiet = SimpleNamespace(status=SimpleNamespace(images=None))
    full = SimpleNamespace(status=SimpleNamespace(images=[SimpleNamespace(names=["a"])] * 50))
    assert facts._images([_node("a:1"), _node("b:1")]) == {"a:1", "b:1"}
    assert facts._images([_node("a:1"), quiet]) is None
    assert facts._images([_node("a:1"), full]) is None
    assert problems(replace(CLUSTER, images=None), Needs(images=("a:1",))) == []


def test_who_may_not_list_services_is_not_refused_for_it():
    class Forbids:
        def list_service_for_all_namespaces(self):
            raise ApiException(status=403)

    assert facts._node_ports(Forbids()) == {}


def test_only_a_site_without_a_registry_must_have_its_images_on_the_nodes():
    imported = changed(KUBEADM, kubernetes={"imageArchives": "/images"})
    never = changed(DEV, images={"pullPolicy": "Never"})
    asked = {
        name: bool(_needs(settings_of(document), "test").images)
        for name, document in {"dev": DEV, "imported": imported, "never": never}.items()
    }
    assert asked == {"dev": False, "imported": True, "never": True}


def test_the_node_ports_that_a_stack_asks_for_are_those_of_its_services():
    access = {"type": "NodePort", "host": "127.0.0.1"}
    document = changed(
        DEV,
        storage={"access": access | {"nodePort": 30900}},
        milvus={"access": access | {"nodePort": 30530}},
    )
    declared = {
        f"{one['metadata']['namespace']}/{one['metadata']['name']}": port["nodePort"]
        for one in declare(document).kubernetes()
        if one["kind"] == "Service"
        for port in one["spec"]["ports"]
        if "nodePort" in port
    }
    assert declared == _needs(settings_of(document), "test").node_ports


def _kubeconfig(server: str) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "planted-token"}}],
    }
    return yaml.safe_dump(document)


def test_a_cluster_that_does_not_answer_is_named():
    props = {"kubeconfig": _kubeconfig("http://127.0.0.1:9"), "needs": {}}
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9") as caught:
        check.look(props)
    assert "planted-token" not in str(caught.value)


def test_a_cluster_that_does_not_let_us_in_is_told_from_one_that_is_away():
    server = HTTPServer(("127.0.0.1", 0), KnowsNobody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        props = {"kubeconfig": _kubeconfig(f"http://127.0.0.1:{server.server_port}"), "needs": {}}
        with pytest.raises(CredentialsError, match="401"):
            check.look(props)
    finally:
        server.shutdown()
        server.server_close()


def test_a_kubeconfig_that_is_none_is_a_mistake_of_the_users():
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        check.look({"kubeconfig": "not: a kubeconfig", "needs": {}})


def test_a_preview_before_the_cluster_exists_is_no_failure():
    provider = check.ClusterCheckProvider()
    assert provider.check({}, {"kubeconfig": object(), "needs": {}}).failures == []


def test_the_kubeconfig_of_a_made_cluster_is_a_secret():
    made = declare(KUBEADM)
    inputs = made.one("Provider", "kubernetes") if made.of("Provider") else None
    provider = inputs or next(
        item.inputs for item in made.resources if item.type == "pulumi:providers:kubernetes"
    )
    assert isinstance(provider["kubeconfig"], Hidden)


def test_an_ssh_key_reaches_the_node_as_a_secret_only():
    made = declare(OVER_SSH)
    node = next(item for item in made.resources if item.name == "node-one")
    assert isinstance(node.inputs["plan"], Hidden)


def test_a_made_cluster_gets_a_default_storage_class_and_an_adopted_one_does_not():
    assert "StorageClass" in {one["kind"] for one in declare(KUBEADM).kubernetes()}
    assert "StorageClass" not in {one["kind"] for one in declare(DEV).kubernetes()}


def test_kind_gets_a_control_plane_and_as_many_workers_as_asked_for():
    roles = [node["role"] for node in yaml.safe_load(kind.cluster_config(2))["nodes"]]
    assert roles == ["control-plane", "worker", "worker"]


def test_another_shape_of_a_kind_cluster_replaces_it():
    old = {"name": "k", "version": "1.36.3", "workers": 0}
    provider = kind.KindProvider()
    assert not provider.diff("k", old, dict(old)).changes
    assert provider.diff("k", old, {**old, "workers": 2}).replaces == ["workers"]


def test_a_kubeconfig_file_that_is_not_there_stops_the_program_before_it_declares_anything():
    document = changed(DEV, kubernetes={"kubeconfigFile": "/none/config"})
    with pytest.raises(ConfigurationError, match=r"kubernetes\.kubeconfigFile.*/none/config"):
        declare(document)
