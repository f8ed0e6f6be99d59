"""Two hosts that are reached over SSH become one cluster, with a pod network of the user's own.

Both hosts are containers that this module makes; this machine itself is no node meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from infra.kubernetes.node import bootstrap
from infra.kubernetes.node.connection import connected
from infra.kubernetes.node.plan import RECORD, SOCKET, Host, NodePlan, Ssh
from tests.e2e import container_node, evidence, project
from tests.e2e.container_node import IMAGES, ContainerNode
from tests.e2e.deployment import Deployment
from tests.e2e.images.bundle import chosen, image_archives
from validation.errors import ConfigurationError, CredentialsError

STACK = "ci-two-nodes"
ROLES = {"control": "control-plane", "worker": "worker"}
SPACE = "two-nodes"
MANIFEST = "pod_network.yaml"
CLUSTER_ONLY = [
    part
    for name in ("node-*", "local-volumes*")
    for part in ("--target", f"urn:pulumi:{STACK}::milvus-kit::**::{name}")
]
"""What of the stack is brought up: the cluster with its volumes, and nothing on it."""
_ADMIN = container_node.FOLDER / "control/root/etc/kubernetes/admin.conf"
_GET = """import sys, time, urllib.request
until = time.monotonic() + 20  # kube-proxy learns of a ready pod a little after we do
while True:
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
        break
    except OSError:
        if time.monotonic() > until:
            raise
        time.sleep(0.2)
"""
pytestmark = [pytest.mark.ends_the_stack, pytest.mark.timeout(600)]


class TwoNodes(Deployment):
    """A stack whose control plane is a container."""

    def has_cluster(self) -> bool:
        return _ADMIN.exists()

    @contextmanager
    def kubeconfig(self) -> Iterator[Path]:
        yield _ADMIN


@pytest.fixture(scope="module")
def nodes(tools, progress, tmp_path_factory) -> Iterator[dict[str, ContainerNode]]:
    container_node.remove_all()
    folder = tmp_path_factory.mktemp("ssh")
    key = container_node.make_key(folder / "key")
    archives = chosen(image_archives(tools, progress), STACK, [])
    with progress.step("start two containers that behave as hosts"):
        given = {"commands": tools.folders["kubernetes"], "archives": archives, "key": key}
        with ThreadPoolExecutor() as pool:
            begun = {
                name: pool.submit(
                    container_node.start, name, number, systemd=name == "worker", **given
                )
                for number, name in enumerate(ROLES, start=11)
            }
        started = {name: one.result() for name, one in begun.items()}
    yield started
    with progress.step("remove the containers"):
        container_node.remove_all()


@pytest.fixture(scope="module")
def deployment(nodes, pulumi, tools, run_folder, progress) -> Iterator[Deployment]:
    made = TwoNodes(STACK, pulumi, tools, run_folder, progress)
    document = yaml.safe_load((project.ROOT / "stacks/Pulumi.ci.yaml").read_text(encoding="utf-8"))
    manifest = run_folder / MANIFEST
    manifest.write_bytes(Path(__file__).with_name(MANIFEST).read_bytes())
    document["config"]["milvus-kit:kubernetes"].update(
        hosts=[_host(node, name) for name, node in nodes.items()],
        cni={"type": "manifest", "manifest": str(manifest)},
        podSubnet="10.245.0.0/16",
    )
    made.file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    pulumi.run("stack", "init", STACK)
    key = nodes["control"].key.read_text(encoding="utf-8")
    pulumi.run("config", "set", "--secret", "milvus-kit:nodeKey", "-s", STACK, given=key)
    yield made
    evidence.collect(made, progress)


def _host(node: ContainerNode, name: str) -> dict[str, object]:
    ssh = {"privateKey": "nodeKey", "hostKey": node.host_key}
    return {"name": node.name, "address": node.address, "role": ROLES[name], "ssh": ssh}


def _plan(node: ContainerNode, **ssh: object) -> NodePlan:
    reached = {"user": "root", "private_key": node.key.read_text(), "host_key": node.host_key}
    host = Host(
        name=node.name, address=node.address, role="worker", ssh=Ssh.model_validate(reached | ssh)
    )
    return NodePlan(
        cluster="other",
        host=host,
        kubernetes_version="1.36.3",
        pod_subnet="10.245.0.0/16",
        service_subnet="10.96.0.0/16",
        cni_manifest="given",
    )


def _files(node: ContainerNode) -> str:
    return node.run(
        "find / -xdev -newermt '-1 hour' -type f -not -path '/tmp/*' -not -path '/var/log/*' | sort"
    ).stdout


def _hidden(node: ContainerNode) -> list[str]:
    """Return the lines of the private key that nobody else may see."""
    return node.key.read_text(encoding="utf-8").splitlines()[1:-1]


def test_every_reason_why_a_host_will_not_do_is_seen_over_ssh_and_nothing_is_changed(nodes):
    node = nodes["worker"]
    plant = """printf 'Filename Type\\n/planted-swap file\\n' > /tmp/swaps
mount --bind /tmp/swaps /proc/swaps
touch /run/docker.sock
setsid socat TCP-LISTEN:10250,reuseaddr,fork /dev/null </dev/null >/dev/null 2>&1 &
until ss -ltn | grep -q :10250; do sleep 0.05; done"""
    assert node.run(plant).returncode == 0
    before = _files(node)
    wrong = _plan(node, user="kit").model_copy(update={"kubernetes_version": "1.35.0"})
    try:
        with pytest.raises(ConfigurationError) as caught:
            bootstrap.create(wrong)
    finally:
        node.run("umount /proc/swaps; rm /run/docker.sock; pkill socat")
    for told in ("user 1000", "/planted-swap", "kubeadm is v1.36.3", "10250", "docker.sock"):
        assert told in str(caught.value)
    assert _files(node) == before


def test_a_host_that_shows_another_host_key_is_not_talked_to(nodes):
    with pytest.raises(CredentialsError, match="another host key"):
        bootstrap.create(_plan(nodes["worker"], host_key=nodes["control"].host_key))


def test_a_key_that_the_host_does_not_know_is_told_from_a_host_that_is_away(nodes, tmp_path):
    other = container_node.make_key(tmp_path / "key").read_text(encoding="utf-8")
    with pytest.raises(CredentialsError, match="does not let this key in") as caught:
        bootstrap.create(_plan(nodes["worker"], private_key=other))
    assert not any(line in str(caught.value) for line in other.splitlines()[1:-1])


def test_while_a_host_is_connected_no_process_has_its_key_among_its_arguments(nodes):
    node = nodes["worker"]
    with connected(_plan(node).host) as connection:
        connection.run("true", what="opening a connection")
        there = b"".join(_arguments())
    assert b"root@" + node.address.encode() in there
    assert not any(line.encode() in there for line in _hidden(node))


def _arguments() -> Iterator[bytes]:
    for one in Path("/proc").glob("[0-9]*"):
        try:
            yield (one / "cmdline").read_bytes() + (one / "environ").read_bytes()
        except OSError:
            continue


def test_an_update_that_is_killed_leaves_a_record_of_what_it_had_begun(nodes):
    node = nodes["control"]
    plan = _plan(node).model_copy(update={"cluster": STACK, "image_archives": IMAGES})
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
    update.wait()
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


def test_neither_state_nor_logs_hold_the_key(deployment, nodes):
    folders = (deployment.folder / "state", deployment.folder / "pulumi", deployment.file.parent)
    kept = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert all(any(path.is_relative_to(folder) for path in kept) for folder in folders)
    for path in kept:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not any(line in text for line in _hidden(nodes["control"])), path


def test_a_second_update_changes_nothing(deployment):
    text = deployment.pulumi.run("preview", "-s", STACK, "--json", "--refresh", *CLUSTER_ONLY)
    steps = json.loads(text[text.index("{") :])["steps"]
    assert [step["urn"] for step in steps if step["op"] not in {"same", "read", "refresh"}] == []


def test_pods_reach_pods_and_services_on_the_other_node(deployment, nodes):
    pods = "".join(_pod(name) for name in nodes)
    applied = deployment.kubectl("apply", "-f", "-", given=pods)
    assert applied.returncode == 0, applied.stderr
    names = [f"pod/{name}" for name in nodes]
    waited = deployment.kubectl("wait", "-n", SPACE, "--for=condition=Ready", *names)
    assert waited.returncode == 0, (waited.stderr, evidence.causes(deployment))
    addresses = {
        pod["metadata"]["name"]: pod["status"]["podIP"] for pod in deployment.objects("pods", SPACE)
    }
    for source, other in (("control", "worker"), ("worker", "control")):
        for place in (f"{addresses[other]}:8000", f"{other}.{SPACE}.svc.cluster.local"):
            asked = ("exec", "-n", SPACE, source, "--", "python3", "-c", _GET, f"http://{place}")
            answer = deployment.kubectl(*asked)
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
    agent = deployment.kubectl("get", "configmap", "pod-network", "-n", "kube-system", "-o", "yaml")
    assert "time.sleep(2)" in agent.stdout
    # Alone, it takes what was drained from the other one: the provisioner of volumes moved here.
    arguments = ("rollout", "status", "-n", "milvus-kit-volumes", "deployment", "--timeout=60s")
    moved = deployment.kubectl(*arguments)
    assert moved.returncode == 0, (moved.stderr, evidence.causes(deployment))


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


def _pod(name: str) -> str:
    """Return a pod that serves a node's name, on that node, and its Service.

    The worker's page is on a volume of the default storage class.
    """
    volume = {"name": "page", "emptyDir": {}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "page", "namespace": SPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    if name == "worker":
        volume = {"name": "page", "persistentVolumeClaim": {"claimName": "page"}}
    serve = f"echo {name} > index.html; exec python3 -m http.server 8000"
    container = {
        "name": "server",
        "image": "registry.k8s.io/kube-proxy:v1.36.3",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", serve],
        "workingDir": "/page",
        "volumeMounts": [{"name": "page", "mountPath": "/page"}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    metadata = {"name": name, "namespace": SPACE, "labels": {"app": name}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": name},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [volume],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    objects = [space, pod, service] + ([claim] if name == "worker" else [])
    return "---\n" + yaml.safe_dump_all(objects)
