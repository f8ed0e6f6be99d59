"""Whether a stack fits on a cluster: what it needs, what is free, and each reason why not."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from infra.kubernetes import check, facts
from infra.kubernetes.facts import ClusterFacts, Node, amount
from infra.kubernetes.fit import problems
from infra.kubernetes.needs import Needs, Pods
from infra.needs import needs_of
from tests.infra.api_server import Cluster, node, pod, running
from tests.infra.declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, declare, settings_of
from validation.errors import ConfigurationError, UnreachableError

GIB = 2**30
CLUSTER = ClusterFacts(
    version="v1.36.3",
    nodes=(Node("one", cpu=2.0, memory_bytes=4 * GIB), Node("two", cpu=2.0, memory_bytes=4 * GIB)),
    storage_classes=("fast", "slow"),
    default_storage_class="slow",
)
QUERY = Pods("milvus.roles.querynode", 2, cpu=1.0, memory_bytes=GIB)
KUBEADM = changed(
    DEV,
    kubernetes={
        "provider": "kubeadm",
        "hosts": [{"name": "one", "address": "10.0.0.1", "role": "control-plane"}],
    },
)


def query(**more: Any) -> tuple[Pods, ...]:
    return (replace(QUERY, **more),)


@pytest.mark.parametrize(
    ("facts", "needs", "told"),
    [
        ({"version": "v1.20.4"}, {}, "v1.20.4"),
        (
            {},
            {"storage_classes": {"etcd.volume.storageClass": "gold"}},
            "etcd.volume.storageClass: storage class gold is not there (there are: fast, slow)",
        ),
        (
            {"default_storage_class": ""},
            {"default_class": ("etcd.volume",)},
            "etcd.volume: no storage class is the default: set kubernetes.storageClass",
        ),
        ({}, {"pods": query(count=5)}, "request 5 CPUs, the nodes have 4 free: lower milvus.roles"),
        ({}, {"pods": query(count=9, cpu=0.1)}, "9.0 GiB, the nodes have 8.0 GiB free: lower"),
        (
            {},
            {"pods": query(count=1, memory_bytes=6 * GIB)},
            "requests 1 CPUs, 6.0 GiB, more than any node has free (the largest, one, has 2 CPUs,",
        ),
        (
            {},
            {"pods": query(node_selector={"disk": "nvme"})},
            "milvus.roles.querynode.placement: no node that is ready with disk=nvme takes its pods",
        ),
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
    classes = {"etcd.volume.storageClass": "fast"}
    pods = query(count=4)
    assert problems(CLUSTER, Needs(storage_classes=classes, pods=pods)) == []


def test_volumes_that_all_name_their_class_need_no_default():
    named = replace(CLUSTER, default_storage_class="")
    assert problems(named, Needs(storage_classes={"etcd.volume.storageClass": "fast"})) == []


def test_a_pod_with_a_gpu_needs_a_node_that_has_one_and_may_be_told_to_take_it():
    pods = query(gpus=1, count=1)
    assert "1 GPUs" in "".join(problems(CLUSTER, Needs(pods=pods)))
    taint = ("nvidia.com/gpu", "present", "NoSchedule")
    with_gpu = Node("gpu", cpu=8.0, memory_bytes=9 * GIB, gpus=1, taints=(taint,))
    there = replace(CLUSTER, nodes=(*CLUSTER.nodes, with_gpu))
    assert problems(there, Needs(pods=pods)) != []
    for toleration in (
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
    ):
        told = replace(pods[0], tolerations=(toleration,))
        assert problems(there, Needs(pods=(told,))) == []
    other = {"key": "nvidia.com/gpu", "operator": "Equal", "value": "absent"}
    assert problems(there, Needs(pods=(replace(pods[0], tolerations=(other,)),))) != []


def test_nodes_that_take_none_of_its_pods_lend_no_room():
    """Twenty small nodes, and one large one that is kept for something else."""
    small = [Node(f"n{at}", cpu=4.0, memory_bytes=16 * GIB) for at in range(20)]
    kept = Node("kept", cpu=64.0, memory_bytes=512 * GIB, taints=(("only", "gpu", "NoSchedule"),))
    there = replace(CLUSTER, nodes=(*small, kept))
    (reason,) = problems(there, Needs(pods=query(count=1, cpu=32.0, memory_bytes=128 * GIB)))
    assert "one pod requests 32 CPUs, 128.0 GiB" in reason


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


def _images(*images: str) -> dict[str, Any]:
    return {"status": {"images": [{"names": [*images]}]}}


def test_nodes_that_do_not_tell_all_their_images_refuse_nothing():
    quiet = {"status": {}}
    full = {"status": {"images": [{"names": ["a"]}] * 50}}
    assert facts._images([_images("a:1"), _images("b:1")]) == {"a:1", "b:1"}
    assert facts._images([_images("a:1"), quiet]) is None
    assert facts._images([_images("a:1"), full]) is None
    assert problems(replace(CLUSTER, images=None), Needs(images=("a:1",))) == []


# What is free


@pytest.fixture
def cluster():
    with running(Cluster()) as started:
        yield started


def free(cluster: Cluster, namespace: str = "ns") -> dict[str, tuple[float, float, int]]:
    props = {"kubeconfig": cluster.kubeconfig, "needs": {"namespace": namespace}}
    found = check.look(props).nodes
    return {one.name: (one.cpu, one.memory_bytes / GIB, one.gpus) for one in found}


def test_what_runs_already_leaves_less_room_and_what_is_the_stacks_own_does_not(cluster):
    cluster.nodes = [node("one", **{facts.GPU: "2"}), node("two")]
    half = {"cpu": "500m", "memory": "1Gi"}
    cluster.pods = [
        pod("one", "others", half, {**half, facts.GPU: "1"}, {}),
        pod("two", "ns", half),
        pod(None, "others", half),  # waits for a node
    ]
    assert free(cluster) == {"one": (3.0, 6.0, 1), "two": (4.0, 8.0, 0)}


def test_an_init_container_counts_as_far_as_it_is_larger_than_what_runs_after_it(cluster):
    def init(cpu: str, **more: str) -> dict[str, Any]:
        return {"name": "i", "resources": {"requests": {"cpu": cpu}}, **more}

    first = [init("1500m"), init("1"), init("250m", restartPolicy="Always")]
    cluster.pods = [pod("one", "others", {"cpu": "500m"}, initContainers=first)]
    assert free(cluster)["one"][0] == 2.5


def test_who_may_list_neither_pods_nor_services_nor_see_the_uid_is_not_refused_for_it(cluster):
    cluster.forbidden = {"pods", "services", "kube-system"}
    cluster.pods = [pod("one", "others", {"cpu": "3"})]
    assert free(cluster)["one"][0] == 4.0
    props = {"kubeconfig": cluster.kubeconfig, "needs": {}}
    assert check.look(props).uid == ""


@pytest.mark.parametrize("answer", [{}, [], None, b"<html>sign in</html>"])
def test_an_answer_that_is_none_of_kubernetes_names_the_address(cluster, monkeypatch, answer):
    monkeypatch.setattr(cluster, "tell", lambda _: (200, answer))
    with pytest.raises(UnreachableError, match="200 and no gitVersion") as caught:
        check.look({"kubeconfig": cluster.kubeconfig, "needs": {}})
    assert cluster.url in str(caught.value)


@pytest.mark.parametrize(
    ("quantity", "told"),
    [("128974848m", 128974.848), ("2Ei", 2 * 2**60), ("8030604Ki", 8030604 * 1024), ("1e3", 1e3)],
)
def test_quantities_of_every_form_that_kubernetes_writes_are_read(cluster, quantity, told):
    assert amount(quantity) == told
    cluster.nodes = [node("one", memory=quantity)]
    assert check.look({"kubeconfig": cluster.kubeconfig, "needs": {}}).nodes


def test_a_node_that_is_cordoned_off_or_not_ready_takes_nothing(cluster):
    away, off = node("away"), node("off")
    away["status"]["conditions"][0]["status"] = "Unknown"
    off["spec"]["unschedulable"] = True
    cluster.nodes = [away, off]
    with pytest.raises(ConfigurationError, match="no node is ready and takes pods"):
        check.require_fit({"kubeconfig": cluster.kubeconfig, "needs": {}})


# What a stack needs


def needs(document: dict[str, Any]) -> Needs:
    return needs_of(settings_of(document), where="test")


SUITE = changed(DEV, validation={"enabled": True})
SERVICE = changed(DEV, log={"type": "woodpecker", "mode": "service"})


@pytest.mark.parametrize(
    "document",
    [DEV, STANDALONE, CLUSTER_23, PROD, SUITE, SERVICE],
    ids=["dev", "standalone", "kafka", "prod", "suite", "woodpecker"],
)
def test_every_pod_that_is_declared_to_run_for_long_is_counted(document):
    declared = {"cpu": 0.0, "memory": 0.0}
    for item in declare(document).resources:
        suite = item.kind == "Job" and item.name == "milvus-validation"
        if item.kind in {"Deployment", "StatefulSet"} or suite:
            count = item.inputs["spec"].get("replicas", 1)
            for one in item.inputs["spec"]["template"]["spec"]["containers"]:
                for name, quantity in one["resources"].get("requests", {}).items():
                    declared[name] += amount(quantity) * count
    asked = needs(document).pods
    assert sum(one.cpu * one.count for one in asked) == pytest.approx(declared["cpu"])
    assert sum(one.memory_bytes * one.count for one in asked) == declared["memory"]


@pytest.mark.parametrize("document", [DEV, STANDALONE, CLUSTER_23, PROD, SERVICE])
def test_the_class_of_every_claim_is_asked_for(document):
    def classes(thing: Any) -> set[str]:
        if isinstance(thing, list):
            return {name for one in thing for name in classes(one)}
        if not isinstance(thing, dict):
            return set()
        own = {thing["storageClassName"]} if "storageClassName" in thing else set()
        return own | {name for one in thing.values() for name in classes(one)}

    other = changed(document, kubernetes={"storageClass": "site"})
    other = changed(other, etcd={"volume": {"size": "1Gi", "storageClass": "gold"}})
    asked = needs(other)
    assert asked.storage_classes["etcd.volume.storageClass"] == "gold"
    assert set(asked.storage_classes.values()) == classes(declare(other).kubernetes())
    assert asked.default_class == ()
    assert "etcd.volume" in needs(document).default_class


def test_a_default_class_that_the_kit_makes_is_not_asked_for():
    assert needs(KUBEADM).default_class == ()


def test_the_gpus_and_the_place_of_a_role_are_asked_for():
    where = {"nodeSelector": {"gpu": "yes"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    document = changed(
        DEV,
        milvus={
            "gpu": {"enabled": True, "perPod": 2},
            "roles": {"querynode": {"placement": where}},
        },
    )
    found = {one.key: one for one in needs(document).pods}
    query_node = found["milvus.roles.querynode"]
    assert (query_node.gpus, query_node.node_selector) == (2, {"gpu": "yes"})
    assert query_node.tolerations == ({"key": "gpu", "operator": "Exists"},)
    assert found["milvus.roles.proxy"].gpus == 0


def test_needs_come_back_from_the_engine_as_they_were():
    asked = needs(changed(PROD, validation={"enabled": True}))
    assert (
        Needs.of({**dataclasses.asdict(asked), "storage_class": "of an earlier release"}) == asked
    )


def test_only_a_site_without_a_registry_must_have_its_images_on_the_nodes():
    imported = changed(KUBEADM, kubernetes={"imageArchives": "/images"})
    never = changed(DEV, images={"pullPolicy": "Never"})
    documents = {"dev": DEV, "imported": imported, "never": never}
    asked = {name: bool(needs(document).images) for name, document in documents.items()}
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
    assert declared == needs(document).node_ports
