"""Makes a host a node: its kernel, containerd, the network, then kubeadm."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from infra.kubernetes.node import files, fitness, inspection, membership, services, teardown
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.inspection import Facts
from infra.kubernetes.node.membership import KUBECTL
from infra.kubernetes.node.plan import ADMIN, FOLDER, RECORD, SOCKET, NodePlan
from validation.errors import MilvusKitError


@dataclasses.dataclass(frozen=True)
class Made:
    """A node that was made.

    Args:
        kubeconfig: The administrator's kubeconfig; empty for a host that joined.
        facts: What the host said of itself, as strings.
    """

    kubeconfig: str
    facts: dict[str, str]


def create(plan: NodePlan) -> Made:
    """Make a host a node, or leave it as it was.

    What an update that was killed has left is made use of: a node that is the planned one is taken
    as it is, and one that was not finished, or is none any more, is given back first.

    Raises:
        ConfigurationError: The host will not do; nothing was changed on it.
        OwnershipError: It is another node already.
        MilvusKitError: A step failed; what was done before it has been undone.
    """
    with connected(plan.host) as connection:
        facts = inspection.inspect(connection)
        if _ours(facts, plan):
            if facts.record.get("made") != "no" and membership.kubelet(plan, connection):
                return _adopted(connection, plan, facts)
            _undo(connection, plan)
            facts = inspection.inspect(connection)
        fitness.require_fit(facts, plan)
        with _leader(plan) as leader:
            connection.write(RECORD, _record(plan, facts, made=False), mode="0644")
            try:
                _prepare(connection, plan, facts)
                if leader is None:
                    _init(connection, plan, facts)
                else:
                    _join(connection, leader, plan, facts)
                connection.write(RECORD, _record(plan, facts, made=True), mode="0644")
            except BaseException:
                _undo(connection, plan)
                raise
        return _made(connection, plan, facts)


def _made(connection: Connection, plan: NodePlan, facts: Facts) -> Made:
    told = {"os": facts.os, "cpus": str(facts.cpus), "memoryKib": str(facts.memory_kib)}
    return Made("" if plan.leader else kubeconfig(connection), told)


def kubeconfig(connection: Connection) -> str:
    """Return the administrator's kubeconfig from a control plane."""
    return connection.run(f"cat {ADMIN}", what="reading the kubeconfig")


def _adopted(connection: Connection, plan: NodePlan, facts: Facts) -> Made:
    """Take a node that is there and is not in the state, if it was made by the same plan."""
    if facts.record.get("fingerprint") != plan.fingerprint():
        fitness.require_fit(facts, plan)  # says whose it is
    # What does not make it another node may have changed since.
    unsaid = {"cni_manifest": None, "single": not plan.single}
    adapt(plan, plan.model_copy(update=unsaid))
    return _made(connection, plan, facts)


@contextmanager
def _leader(plan: NodePlan) -> Iterator[Connection | None]:
    """Open the way to the control plane to join, if there is one and it has room for this name."""
    if plan.leader is None:
        yield None
        return
    with connected(plan.leader) as leader:
        membership.require_free(plan, leader)
        yield leader


def _ours(facts: Facts, plan: NodePlan) -> bool:
    wanted = {"cluster": plan.cluster, "node": plan.host.name}
    return wanted.items() <= facts.record.items()


def _undo(connection: Connection, plan: NodePlan) -> None:
    teardown.give_back(connection)
    membership.forget(plan)


def _record(plan: NodePlan, facts: Facts, *, made: bool) -> str:
    """Return what must be remembered on the host to give it back as it was."""
    return json.dumps(
        {
            "cluster": plan.cluster,
            "node": plan.host.name,
            "made": "yes" if made else "no",
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": plan.fingerprint(),
            "systemd": "yes" if facts.systemd else "no",
            "kernel": " ".join(facts.kernel),
            "links": " ".join(facts.links),
            "networks": " ".join(facts.networks),
            "pods": plan.pod_subnet,
            "firewall": facts.firewall,
            "chains": " ".join(facts.chains),
            "kubelet_unit": facts.kubelet_unit.active if facts.kubelet_packaged else "",
            "volumes": plan.local_volumes,
        },
        indent=2,
    )


def _prepare(connection: Connection, plan: NodePlan, facts: Facts) -> None:
    connection.run(
        """for module in overlay br_netfilter; do modprobe "$module" 2>/dev/null || true; done
grep -qw overlay /proc/filesystems || { echo "the kernel has no overlay file system" >&2; exit 1; }
echo 1 > /proc/sys/net/ipv4/ip_forward
[ ! -d /proc/sys/net/bridge ] || echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables""",
        what="preparing the kernel",
    )
    images = connection.run(
        f"kubeadm config images list --kubernetes-version v{plan.kubernetes_version}",
        what="asking kubeadm for its images",
    ).split()
    sandbox = next(image for image in images if image.rsplit(":", 1)[0].endswith("/pause"))
    connection.write(f"{FOLDER}/containerd.toml", files.containerd(facts, sandbox), mode="0644")
    services.start(connection, services.CONTAINERD, systemd=facts.systemd)
    services.await_containerd(connection)
    if plan.image_archives:
        _import_images(connection, plan.image_archives)
    if plan.cni_manifest is None:
        network = files.bridge_network(plan.pod_subnet)
        connection.write(files.CNI_FILE, network, mode="0644")
    connection.run(f"mkdir -p {shlex.quote(plan.local_volumes)}", what="making the volumes' folder")
    if facts.kubelet_packaged:
        services.mask_packaged(connection)
    services.start(connection, services.KUBELET, systemd=facts.systemd)


def _import_images(connection: Connection, folder: str) -> None:
    # A pod's first use of an image unpacks it; those of no pod yet would only cost time here.
    connection.run(
        f"""found=
for archive in {shlex.quote(folder)}/*.tar; do
    [ -e "$archive" ] || continue
    found=1
    ctr --address {SOCKET} --namespace k8s.io images import --no-unpack "$archive" >/dev/null
done
[ -n "$found" ] || {{ echo "no *.tar in {folder}" >&2; exit 1; }}""",
        what="importing the image archives",
    )


def _init(connection: Connection, plan: NodePlan, facts: Facts) -> None:
    config = f"{FOLDER}/kubeadm.yaml"
    connection.write(config, files.kubeadm_init(plan, facts))
    # SystemVerification rejects kernels and container runtimes that work; the checks that matter
    # were made above, and the API server's own answer is waited for.
    _kubeadm(connection, f"init --config {config}", facts)
    if plan.single:
        connection.run(
            f"{KUBECTL} -n kube-system scale deployment coredns --replicas 1",
            what="leaving CoreDNS one replica",
        )
    if plan.cni_manifest is not None:
        apply_network(connection, plan.cni_manifest)
    membership.await_ready(connection, plan.host.name)
    connection.run(
        f"{KUBECTL} -n kube-system rollout status deployment/coredns --timeout=180s",
        what="waiting for CoreDNS",
        seconds=200,
    )


def adapt(plan: NodePlan, before: NodePlan) -> None:
    """Change a cluster as it stands: its pod network's manifest, and who takes pods.

    Args:
        plan: Of the host that started the cluster; of others there is nothing to change.
        before: The plan so far.

    Raises:
        OwnershipError: The host is a node of another cluster by now; it is left alone.
    """
    if plan.leader is not None:
        return
    with connected(plan.host) as connection:
        teardown.require_own(connection, plan.cluster, plan.host.name)
        if plan.cni_manifest and plan.cni_manifest != before.cni_manifest:
            apply_network(connection, plan.cni_manifest)
        if plan.single != before.single:
            node = f"node {plan.host.name}"
            there = (
                f"{KUBECTL} get {node} -o jsonpath='{{.spec.taints[*].key}}' | grep -qw {_TAINT}"
            )
            script = f"! {there} || {KUBECTL} taint {node} {_TAINT}-"
            if not plan.single:
                script = f"{KUBECTL} taint {node} {_TAINT}=:NoSchedule --overwrite"
            connection.run(script, what="saying whether the control plane takes pods")


def apply_network(connection: Connection, manifest: str) -> None:
    """Apply the user's manifest of the pod network, on the host that started the cluster."""
    path = f"{FOLDER}/cni.yaml"
    connection.write(path, manifest)
    connection.run(f"{KUBECTL} apply -f {path}", what="applying the CNI manifest")


def _join(connection: Connection, leader: Connection, plan: NodePlan, facts: Facts) -> None:
    key = ""
    if plan.host.role == "control-plane":
        uploaded = leader.run(
            "kubeadm init phase upload-certs --upload-certs", what="sharing the certificates"
        )
        key = uploaded.split()[-1]
    printed = leader.run(
        "kubeadm token create --ttl 15m --print-join-command", what="making a join token"
    ).split()
    token, digest = (printed[printed.index(flag) + 1] for flag in _JOIN_FLAGS)
    config = f"{FOLDER}/kubeadm.yaml"
    connection.write(config, files.kubeadm_join(plan, printed[2], token, digest, key))
    connection.write(files.PATCH_FILE, files.kubelet_patch(facts))
    _kubeadm(connection, f"join --config {config}", facts)
    membership.await_ready(leader, plan.host.name)


_TAINT = "node-role.kubernetes.io/control-plane"
_JOIN_FLAGS = ("--token", "--discovery-token-ca-cert-hash")


def _kubeadm(connection: Connection, arguments: str, facts: Facts) -> None:
    command = f"kubeadm {arguments} --ignore-preflight-errors=SystemVerification"
    try:
        connection.run(command, what=f"kubeadm {arguments.split(maxsplit=1)[0]}")
    except MilvusKitError as error:
        tail = services.log_tail(connection, services.KUBELET, systemd=facts.systemd)
        error.add_note(f"the end of the kubelet's log:\n{tail}")
        raise
