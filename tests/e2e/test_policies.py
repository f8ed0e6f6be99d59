"""NetworkPolicies enforced: what is declared passes, what is not is refused, and Milvus works.

Each flow is a connection that is opened and closed again from inside a pod. All of them are open
while nothing enforces the policies; so what is refused afterwards is refused by them.
"""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from infra.servers import pods
from tests.e2e import evidence, host, policy_engine, reach
from tests.e2e.deployment import Deployment
from tests.e2e.searching import Searching
from tests.e2e.site import cluster as site
from tests.e2e.toolchain import parts
from tests.e2e.toolchain.provide import provide_part
from tests.waiting import eventually

if not policy_engine.is_wanted():
    pytest.skip(f"{policy_engine.WANTED} is not set", allow_module_level=True)

STACK = "ci-cluster"
NAMESPACE = "milvus-ci-cluster"
CLIENTS, MONITORING, ELSEWHERE = "policies-clients", "policies-monitoring", "policies-elsewhere"
DECLARED_PORT, OTHER_PORT = 29551, 29552
"""Of servers on this machine, outside the cluster."""
MILVUS_NODE_PORT, STORE_NODE_PORT = 30531, 30901
pytestmark = [pytest.mark.ends_the_stack, pytest.mark.timeout(1500)]

INTERNAL = {
    "rootcoord": 53100,
    "querycoord": 19531,
    "datacoord": 13333,
    "indexnode": 21121,
    "querynode": 21123,
    "datanode": 21124,
    "proxy": 19529,
}
ROLES = tuple(INTERNAL)
WORKERS = ("proxy", "querynode", "datanode", "indexnode")
"""Roles that come back at once: a coordinator waits until its predecessor's session has ended."""
_EVERY_METRICS = " ".join(f"{role}:9091" for role in ROLES) + " etcd-0:2381"
_EVERY_INTERNAL = " ".join(f"{role}:{port}" for role, port in INTERNAL.items())
_DEPENDENCIES = "etcd-0:2379 etcd-1:2379 etcd-2:2379 kafka-0:9092 minio-0:9000"
_STAND_INS = {
    "snapshot": (NAMESPACE, pods.labels("etcd-snapshot", "etcd-snapshot")),
    "root-password": (NAMESPACE, pods.labels("milvus-root-password", "milvus-root-password")),
    "validation": (NAMESPACE, pods.labels("milvus-validation", "milvus-validation")),
    "neighbour": (NAMESPACE, {"app": "neighbour"}),
    "client": (CLIENTS, {"app": "client"}),
    "prometheus": (MONITORING, pods.selector("prometheus")),
    "grafana": (MONITORING, pods.selector("grafana")),
    "stranger": (ELSEWHERE, {"app": "stranger"}),
}
"""Pods by name: of Jobs, which come and go, and of others; with namespace and labels."""

DECLARED = {
    "milvus-kit-dns": dict.fromkeys(
        (*ROLES, "etcd-0", "kafka-0", "snapshot", "root-password", "validation"), "dns:53"
    ),
    "milvus-kit-milvus-internal": {
        source: " ".join(f"{one}:{port}" for one, port in INTERNAL.items() if one != source)
        for source in ROLES
    },
    "milvus-kit-milvus-clients": {
        "client": f"proxy:19530 service/milvus:19530 machine:{MILVUS_NODE_PORT}"
    },
    "milvus-kit-milvus-dependencies": dict.fromkeys(
        ROLES, f"{_DEPENDENCIES} machine:{DECLARED_PORT}"
    ),
    "minio": dict.fromkeys(ROLES, f"service/object-store:9000 machine:{STORE_NODE_PORT}"),
    "milvus-kit-etcd": {
        "etcd-0": "etcd-1:2380 etcd-2:2380",
        "etcd-1": "etcd-0:2380",
        "etcd-2": "etcd-0:2380",
    },
    "milvus-kit-kafka": {"kafka-0": "kafka-0:9092"},
    "milvus-kit-metrics": {"prometheus": _EVERY_METRICS},
    "milvus-kit-etcd-snapshot": {"snapshot": "etcd-0:2379 minio-0:9000"},
    "milvus-kit-milvus-root-password": {"root-password": "proxy:19530 service/milvus:19530"},
}
"""By the policy that declares it: who reaches what."""

VALIDATION = {
    "milvus-kit-milvus-validation": {"validation": "proxy:19530 minio-0:9000"},
    "milvus-kit-validation-metrics": {"validation": " ".join(f"{one}:9091" for one in ROLES)},
}
"""The same, of what is declared once the suite runs as a Job."""

_OUTSIDE = f"machine:{OTHER_PORT} machine:6443 service/kubernetes:443 stranger:8080 client:8080"
BYSTANDERS: dict[str, str] = dict.fromkeys(("grafana", "stranger"), _OUTSIDE)
"""No policy is about these pods: that they get there shows that those ends still answer."""
_NOT_FOR_OTHERS = (
    f"{_DEPENDENCIES} service/object-store:9000 machine:{STORE_NODE_PORT} etcd-0:2380 proxy:19530"
    f" service/milvus:19530 machine:{MILVUS_NODE_PORT} {_EVERY_METRICS} {_EVERY_INTERNAL}"
)
FORBIDDEN = {
    "stranger": _NOT_FOR_OTHERS,
    "neighbour": _NOT_FOR_OTHERS,
    "grafana": _NOT_FOR_OTHERS,
    "client": f"{_DEPENDENCIES} {_EVERY_METRICS} {_EVERY_INTERNAL}",
    "prometheus": f"{_DEPENDENCIES} {_EVERY_INTERNAL} etcd-0:2380 proxy:19530",
    "snapshot": f"kafka-0:9092 proxy:19530 {_EVERY_METRICS} {_EVERY_INTERNAL} {_OUTSIDE}",
    "root-password": f"{_DEPENDENCIES} {_EVERY_METRICS} {_EVERY_INTERNAL} {_OUTSIDE}",
    "validation": f"etcd-0:2379 kafka-0:9092 etcd-0:2381 {_EVERY_INTERNAL} {_OUTSIDE}",
    **{
        source: f"{_OUTSIDE} etcd-0:2380 etcd-0:2381"
        + "".join(f" {one}:9091" for one in ROLES if one != source)
        for source in ROLES
    },
    "etcd-0": f"kafka-0:9092 minio-0:9000 proxy:19530 {_EVERY_METRICS[: -len(' etcd-0:2381')]}"
    f" {_EVERY_INTERNAL} machine:{DECLARED_PORT} {_OUTSIDE}",
    "kafka-0": f"etcd-0:2379 minio-0:9000 proxy:19530 {_EVERY_INTERNAL} {_OUTSIDE}",
    "minio-0": f"etcd-0:2379 kafka-0:9092 dns:53 proxy:19530 {_EVERY_INTERNAL} {_OUTSIDE}",
}
"""Who must not reach what, of all that listens."""


def _as_prod(config):
    """Have what prod declares, and name everybody whom a policy can name."""
    ours = f"{host.ADDRESS}/32"
    milvus = config["milvus-kit:milvus"]
    milvus["clientsFrom"] = [CLIENTS]
    milvus["auth"] = {"enabled": True}
    milvus["access"]["sourceRanges"] = [ours]
    milvus["roles"]["querynode"]["replicas"] = 1
    config["milvus-kit:storage"]["access"]["sourceRanges"] = [ours]
    config["milvus-kit:etcd"].update(members=3, snapshots={})
    config["milvus-kit:observability"] = {"scrapeFrom": [{"namespace": MONITORING}]}
    config["milvus-kit:network"] = {"egress": [{"networks": [ours], "ports": [DECLARED_PORT]}]}
    config["milvus-kit:validation"]["enabled"] = False


@pytest.fixture(scope="module")
def deployment(pulumi, tools, run_folder, progress):
    made = Deployment(STACK, pulumi, tools, run_folder, progress)
    with site.cluster(made, keep=False), ExitStack() as opened:
        made.edit(_as_prod)
        for port in (DECLARED_PORT, OTHER_PORT):
            server = socket.create_server((host.ADDRESS, port), backlog=1024)
            opened.enter_context(server)
        yield made
        evidence.collect(made, progress)


@pytest.fixture(scope="module")
def kube_router(progress):
    return provide_part(parts.KUBE_ROUTER, progress) / "kube-router"


@pytest.fixture(scope="module")
def enforced(deployment, kube_router):
    """The policies are enforced from here on."""
    log = deployment.folder / "kube-router.log"
    node = site.plan().host.name
    with policy_engine.enforcing(kube_router, node, log):
        one = {"stranger": "etcd-0:2379"}
        eventually(lambda: reach.OPEN not in _tried(deployment, one).values(), seconds=60)
        yield


def _ends(deployment) -> tuple[dict[str, str], dict[str, str]]:
    """Return the address of everything by its name, and the uid of each pod."""
    addresses, uids = {"machine": host.ADDRESS}, {}
    for namespace in {NAMESPACE, CLIENTS, MONITORING, ELSEWHERE, "kube-system"}:
        for pod in deployment.objects("pods", namespace):
            found, status = pod["metadata"], pod["status"]
            if status["phase"] != "Running" or "deletionTimestamp" in found:
                continue
            labels = found.get("labels", {})
            is_role = labels.get(pods.NAME) == "milvus"
            name = labels[pods.COMPONENT] if is_role else found["name"]
            name = "dns" if labels.get("k8s-app") == "kube-dns" else name
            addresses[name], uids[name] = status["podIP"], found["uid"]
    for namespace in (NAMESPACE, "default"):
        for service in deployment.objects("services", namespace):
            addresses[f"service/{service['metadata']['name']}"] = service["spec"]["clusterIP"]
    return addresses, uids


def _tried(deployment, flows: dict[str, str]) -> dict[str, str]:
    """Try flows; return what came of each, as ``SOURCE → END:PORT``."""
    addresses, uids = _ends(deployment)

    def from_one(source: str) -> dict[str, str]:
        ends = [one.rsplit(":", 1) for one in dict.fromkeys(flows[source].split())]
        outcomes = reach.tried(uids[source], [(addresses[name], int(port)) for name, port in ends])
        return {
            f"{source} → {name}:{port}": outcome
            for (name, port), outcome in zip(ends, outcomes, strict=True)
        }

    with ThreadPoolExecutor(4) as threads:
        return {
            flow: said for found in threads.map(from_one, flows) for flow, said in found.items()
        }


def _by_source(declared: dict[str, dict[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for flows in declared.values():
        for source, text in flows.items():
            found[source] = f"{found.get(source, '')} {text}"
    return found


def _closed(outcomes: dict[str, str]) -> dict[str, str]:
    return {flow: said for flow, said in outcomes.items() if said != reach.OPEN}


@pytest.mark.foundation
def test_up_brings_every_role_and_three_members_of_etcd_to_ready(deployment):
    deployment.up()
    spaces = (CLIENTS, MONITORING, ELSEWHERE)
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}} for one in spaces
    ]
    made = [reach.stand_in(name, *one) for name, one in _STAND_INS.items()]
    site.apply(deployment, [*namespaces, *made])
    for name, (namespace, _) in _STAND_INS.items():
        wait = ("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=60s")
        assert deployment.kubectl(*wait).returncode == 0, name
    assert {*ROLES, "etcd-0", "etcd-1", "etcd-2", "kafka-0", "minio-0", "dns"} <= set(
        _ends(deployment)[1]
    )


def test_no_flow_is_both_declared_and_forbidden_and_each_policy_has_flows(deployment):
    policies = {one["metadata"]["name"] for one in deployment.objects("netpol", NAMESPACE)}
    assert policies == {*DECLARED, "milvus-kit-default-deny"}
    tried = " ".join([*_by_source(DECLARED).values(), _OUTSIDE]).split()
    assert {one for text in FORBIDDEN.values() for one in text.split()} <= set(tried)
    for source, text in _by_source(DECLARED).items():
        assert not set(text.split()) & set(FORBIDDEN.get(source, "").split()), source


@pytest.mark.foundation
def test_while_nothing_enforces_the_policies_every_flow_is_open(deployment):
    assert policy_engine.sets() == []
    assert _closed(_tried(deployment, _by_source(DECLARED))) == {}
    assert _closed(_tried(deployment, FORBIDDEN)) == {}


@pytest.mark.usefixtures("enforced")
def test_enforced_what_is_declared_passes_and_what_is_not_is_refused(deployment):
    passed, refused = _tried(deployment, _by_source(DECLARED)), _tried(deployment, FORBIDDEN)
    deployment.progress.say(f"{len(passed)} declared flows, {len(refused)} forbidden ones tried")
    record = {"declared": passed, "forbidden": refused}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (deployment.folder / "policies.json").write_text(text, encoding="utf-8")
    assert _closed(passed) == {}
    assert _closed(_tried(deployment, BYSTANDERS)) == {}
    assert {flow for flow, said in refused.items() if said == reach.OPEN} == set()


def _restarted(deployment, before: set[str]) -> bool:
    """Return whether the workers' pods are other ones, and ready."""
    found = [
        pod
        for pod in deployment.objects("pods", NAMESPACE)
        if pod["metadata"]["labels"].get(pods.COMPONENT) in WORKERS
    ]
    ready = [
        one["ready"]
        for pod in found
        for one in pod["status"].get("containerStatuses") or [{"ready": False}]
    ]
    uids = {pod["metadata"]["uid"] for pod in found}
    return len(uids) == len(WORKERS) and all(ready) and uids.isdisjoint(before)


@pytest.mark.usefixtures("enforced")
def test_enforced_a_policy_that_lets_too_many_in_is_seen(deployment):
    planted = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "planted", "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": pods.selector("etcd")},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": 2379}]}],
        },
    }
    flow = {"stranger": "etcd-0:2379"}
    site.apply(deployment, [planted])
    try:
        eventually(lambda: not _closed(_tried(deployment, flow)), seconds=60)
    finally:
        deployment.kubectl("delete", "networkpolicy", "planted", "-n", NAMESPACE)
    eventually(lambda: _closed(_tried(deployment, flow)), seconds=60)


@pytest.mark.usefixtures("enforced")
def test_enforced_milvuss_workers_start_anew_and_serve(deployment):
    """Every flow that a start and a search need is declared, names by UDP among them."""
    before = set(_ends(deployment)[1].values())
    chosen = f"{pods.COMPONENT} in ({','.join(WORKERS)})"
    gone = ("delete", "pod", "-n", NAMESPACE, "-l", chosen, "--wait=false")
    assert deployment.kubectl(*gone).returncode == 0
    eventually(lambda: _restarted(deployment, before), seconds=180)
    milvus = deployment.pulumi.output(STACK, "target")["milvus"]
    access = {"user": "root", "password": milvus["auth"]["password"]["value"]}
    with Searching(milvus["uri"], **access):
        pass  # rows were written, indexed, loaded from the store, and ten searches were right


@pytest.mark.usefixtures("enforced")
def test_enforced_the_suite_passes_as_a_job_and_reaches_nothing_else(deployment):
    deployment.edit(lambda config: config["milvus-kit:validation"].update(enabled=True))
    deployment.up()
    assert _closed(_tried(deployment, _by_source(VALIDATION))) == {}
    one = {"validation": FORBIDDEN["validation"]}
    assert reach.OPEN not in _tried(deployment, one).values()
    status, output = deployment.fetch()
    assert status == 0, output[-3000:]
