"""Two hosts that are reached over SSH become one cluster, with a pod network of the user's own.

Both hosts are containers, which the module before this one may have used already.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra.kubernetes.node.plan import RECORD, SOCKET
from tests.e2e import container_node, evidence, pages, two_nodes
from tests.e2e.container_node import IMAGES, ContainerNode
from tests.e2e.deployment import Deployment
from tests.e2e.pages import SPACE
from tests.e2e.two_nodes import CLUSTER_ONLY, MANIFEST, STACK
from tests.waiting import eventually

pytestmark = [pytest.mark.ends_the_stack, pytest.mark.timeout(600)]
_PACKAGED = """[Service]
ExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml
Restart=always
RestartSec=1h
[Install]
WantedBy=multi-user.target
"""
"""A package's ``kubelet.service``: it fails until kubeadm has written its configuration."""


@pytest.fixture(scope="module")
def deployment(nodes, pulumi, tools, run_folder, progress) -> Iterator[Deployment]:
    made = two_nodes.TwoNodes(STACK, pulumi, tools, run_folder, progress)
    two_nodes.configure(made, nodes)
    unit = nodes["worker"].root / "usr/lib/systemd/system/kubelet.service"
    unit.write_text(_PACKAGED, encoding="utf-8")
    assert nodes["worker"].run("systemctl enable --now kubelet").returncode == 0
    yield made
    evidence.collect(made, progress)


def test_an_update_that_is_killed_leaves_a_record_of_what_it_had_begun(nodes):
    node = nodes["control"]
    plan = two_nodes.plan(node).model_copy(update={"cluster": STACK, "image_archives": IMAGES})
    program = (
        "import sys; from infra.kubernetes.node import bootstrap, plan;"
        "bootstrap.create(plan.NodePlan.model_validate_json(sys.stdin.read()))"
    )
    update = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True)
    assert update.stdin is not None
    with update.stdin as given:
        given.write(json.dumps(plan.document()))
    running = node.run(f"until [ -S {SOCKET} ]; do sleep 0.05; done")
    update.kill()
    update.wait(120)
    assert running.returncode == 0, running.stderr
    assert json.loads(node.run(f"cat {RECORD}").stdout)["made"] == "no"


@pytest.mark.foundation
def test_up_makes_one_cluster_of_two_hosts_over_ssh_also_of_one_left_half_made(deployment):
    deployment.up(*CLUSTER_ONLY)
    found = json.loads(deployment.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    ready = {
        node["metadata"]["name"]: [
            one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"
        ]
        for node in found
    }
    assert ready == {"control": ["True"], "worker": ["True"]}


def test_a_packaged_kubelet_is_not_started_beside_ours(nodes):
    enabled, state = _packaged(nodes["worker"])
    assert enabled == "masked"
    # Which of them depends on when it was stopped: while it ran, or between two of its attempts.
    assert state in {"failed", "inactive"}
    assert nodes["worker"].run("pgrep -c -x kubelet").stdout.split() == ["1"]


def test_neither_state_nor_logs_hold_the_key(deployment, nodes):
    folders = (deployment.folder / "state", deployment.folder / "pulumi", deployment.file.parent)
    kept = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert all(any(path.is_relative_to(folder) for path in kept) for folder in folders)
    for path in kept:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not any(line in text for line in two_nodes.key_lines(nodes["control"])), path


def test_a_second_update_changes_nothing(deployment):
    text = deployment.pulumi.run("preview", "-s", STACK, "--json", "--refresh", *CLUSTER_ONLY)
    steps = json.loads(text[text.index("{") :])["steps"]
    assert [step["urn"] for step in steps if step["op"] not in {"same", "read", "refresh"}] == []


def test_pods_reach_pods_and_services_on_the_other_node(deployment, nodes):
    wanted = pages.manifest(nodes, on_volume="worker")
    applied = deployment.kubectl("apply", "-f", "-", given=wanted)
    assert applied.returncode == 0, applied.stderr
    names = [f"pod/{name}" for name in nodes]
    waited = deployment.kubectl("wait", "-n", SPACE, "--for=condition=Ready", *names)
    assert waited.returncode == 0, (waited.stderr, evidence.causes(deployment))
    addresses = {
        pod["metadata"]["name"]: pod["status"]["podIP"] for pod in deployment.objects("pods", SPACE)
    }
    for source, other in (("control", "worker"), ("worker", "control")):
        fetch = ("exec", "-n", SPACE, source, "--", "python3", "-c", pages.FETCH)
        for place in (f"{addresses[other]}:{pages.PORT}", f"{other}.{SPACE}.svc.cluster.local"):
            answer = deployment.kubectl(*fetch, f"http://{place}")
            assert other in answer.stdout, (source, place, answer.stderr)


def test_a_volume_is_made_on_the_node_of_the_pod_that_asks_for_it(deployment, nodes):
    claim = deployment.objects("pvc", SPACE)[0]
    assert claim["status"]["phase"] == "Bound"
    made = list((nodes["worker"].root / "var/lib/milvus-kit/volumes").rglob("index.html"))
    assert [path.read_text(encoding="utf-8").strip() for path in made] == ["worker"]
    deployment.kubectl("delete", "pod/worker", "pvc/page", "-n", SPACE)
    volume = f"pv/{claim['spec']['volumeName']}"
    gone = deployment.kubectl("wait", "--for=delete", volume, "--timeout=60s")
    assert gone.returncode == 0, gone.stderr
    assert not any(path.exists() for path in made)


def test_a_host_leaves_and_the_pod_network_changes_and_the_cluster_stays_the_same(
    deployment, nodes
):
    uid = _uids(deployment)["control"]
    manifest = deployment.folder / MANIFEST
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("time.sleep(1)", "time.sleep(2)"), encoding="utf-8")
    deployment.edit(lambda config: config["milvus-kit:kubernetes"]["hosts"].pop())
    deployment.up(*CLUSTER_ONLY)
    assert _uids(deployment) == {"control": uid}
    assert _left(nodes["worker"]) == ""
    # Without what the kit had configured, it starts and ends again and again.
    eventually(lambda: _packaged(nodes["worker"]) == ("enabled", "activating"), seconds=30)
    agent = deployment.kubectl("get", "configmap", "pod-network", "-n", "kube-system", "-o", "yaml")
    assert "time.sleep(2)" in agent.stdout
    # Alone, it takes what was drained from the other one: the provisioner of volumes moved here.
    arguments = ("rollout", "status", "-n", "milvus-kit-volumes", "deployment", "--timeout=60s")
    moved = deployment.kubectl(*arguments)
    assert moved.returncode == 0, (moved.stderr, evidence.causes(deployment))


def _packaged(node: ContainerNode) -> tuple[str, ...]:
    """Return whether a package's kubelet may start on a host, and whether it runs or tries to."""
    asked = "systemctl is-enabled kubelet || true; systemctl is-active kubelet || true"
    return tuple(node.run(asked).stdout.split())


def _uids(deployment) -> dict[str, str]:
    found = json.loads(deployment.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    return {node["metadata"]["name"]: node["metadata"]["uid"] for node in found}


def test_destroy_leaves_nothing_on_either_host(deployment, nodes):
    deployment.destroy()
    assert deployment.pulumi.resources(STACK) == []
    for node in nodes.values():
        assert _left(node) == "", node.name


def test_the_containers_themselves_leave_nothing_on_this_machine(nodes):
    container_node.remove_all()
    assert container_node.leftovers(list(nodes)) == []


def _left(node: ContainerNode) -> str:
    """Return what of a Kubernetes node is still on a host."""
    looked = node.run("""set +e  # a search without a find fails
ps -e -o args= | grep -E '/run/milvus-kit|kube|coredns|etcd|keep-running' |
    grep -v -E '^grep|^/bin/sh -ec'
ls /sys/class/net | grep -v -x -E 'lo|eth0'
ls -d /etc/kubernetes /etc/cni/net.d /var/lib/kubelet /var/lib/etcd /var/lib/milvus-kit/node \\
    /run/milvus-kit 2>/dev/null
awk '{print $5}' /proc/self/mountinfo | grep -E 'kubelet|/run/milvus-kit|containerd'
ls -d /sys/fs/cgroup/*/kubepods* /etc/systemd/system/milvus-kit* 2>/dev/null
ip route | grep 10.245
nft list tables | grep kube
true""")
    assert looked.returncode == 0, looked.stderr
    return looked.stdout
