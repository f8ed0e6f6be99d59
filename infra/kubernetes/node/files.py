"""The text of every file a node needs, as pure functions of the plan and the host's facts."""

from __future__ import annotations

import json
from typing import Any

import yaml

from infra.kubernetes.node.inspection import Facts
from infra.kubernetes.node.plan import API_PORT, FOLDER, SOCKET, STATE, NodePlan

CNI_NAME = "milvus-kit"
CNI_FILE = f"/etc/cni/net.d/10-{CNI_NAME}.conflist"
CNI_BRIDGE = "mkit0"
CNI_DATA = f"{FOLDER}/cni"
PATCHES = f"{FOLDER}/patches"
PATCH_FILE = f"{PATCHES}/kubeletconfiguration+merge.json"
_DEFAULT_CNI_FOLDER = "/opt/cni/bin"


def containerd(facts: Facts, sandbox_image: str) -> str:
    """Return containerd's configuration, with every folder of its own.

    Args:
        facts: Of the host.
        sandbox_image: The pause image that this Kubernetes expects.
    """
    # runc may not lower a score without CAP_SYS_RESOURCE and dies without saying why.
    # Network namespaces are kept out of /run/netns, which other programs mount over.
    restrict = str(not facts.can_lower_oom_score).lower()
    return f"""version = 2
root = "{FOLDER}/containerd"
state = "{STATE}/containerd"
oom_score = 0

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{FOLDER}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = {restrict}
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{facts.cni_folder or _DEFAULT_CNI_FOLDER}"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = {str(facts.systemd).lower()}
"""


def bridge_network(pod_subnet: str) -> str:
    """Return the CNI configuration of the plain bridge: one node, no NetworkPolicy enforced."""
    bridge = {
        "type": "bridge",
        "bridge": CNI_BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": CNI_DATA,
            "ranges": [[{"subnet": pod_subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    document = {"cniVersion": "0.4.0", "name": CNI_NAME, "plugins": [bridge, portmap]}
    return json.dumps(document, indent=2) + "\n"


def kubeadm_init(plan: NodePlan, facts: Facts) -> str:
    """Return kubeadm's configuration for the host that starts the cluster."""
    cluster: dict[str, Any] = {
        "clusterName": plan.cluster,
        "kubernetesVersion": f"v{plan.kubernetes_version}",
        "networking": {"podSubnet": plan.pod_subnet, "serviceSubnet": plan.service_subnet},
        # Also for one node: others may join later, and only this makes that possible for all.
        "controlPlaneEndpoint": f"{_bracketed(plan.host.address)}:{API_PORT}",
    }
    registration = _registration(plan)
    if plan.single:
        registration["taints"] = []
    init = {
        "localAPIEndpoint": {"advertiseAddress": plan.host.address, "bindPort": API_PORT},
        "nodeRegistration": registration,
    }
    parts = [_kubeadm("InitConfiguration", init), _kubeadm("ClusterConfiguration", cluster)]
    return yaml.safe_dump_all([*parts, _kubelet(plan, facts), _proxy()], sort_keys=False)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def kubeadm_join(plan: NodePlan, endpoint: str, token: str, ca_hash: str, key: str) -> str:
    """Return kubeadm's configuration for a host that joins.

    Args:
        plan: Of the host.
        endpoint: The API server, as host:port.
        token: A bootstrap token, short-lived.
        ca_hash: Digest of the cluster's CA, so that the token cannot lead astray.
        key: Decrypts the uploaded certificates; empty for a worker.
    """
    join: dict[str, Any] = {
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": endpoint,
                "token": token,
                "caCertHashes": [ca_hash],
            }
        },
        "nodeRegistration": _registration(plan),
        "patches": {"directory": PATCHES},
    }
    if plan.host.role == "control-plane":
        place = {"advertiseAddress": plan.host.address, "bindPort": API_PORT}
        join["controlPlane"] = {"localAPIEndpoint": place, "certificateKey": key}
    return yaml.safe_dump(_kubeadm("JoinConfiguration", join), sort_keys=False)


def kubelet_patch(facts: Facts) -> str:
    """Return what a joining host's kubelet has of its own; the rest it takes from the cluster."""
    return json.dumps(_of_the_host(facts), indent=2)


def _of_the_host(facts: Facts) -> dict[str, Any]:
    driver = "systemd" if facts.systemd else "cgroupfs"  # as in containerd's configuration
    own: dict[str, Any] = {"cgroupDriver": driver}
    if facts.cgroup == 1:
        own["failCgroupV1"] = False  # unknown to a kubelet before 1.31, so only where it matters
    return own


def _registration(plan: NodePlan) -> dict[str, Any]:
    return {
        "name": plan.host.name,
        "criSocket": f"unix://{SOCKET}",
        # What was imported is all there is where no registry can be reached.
        "imagePullPolicy": "Never" if plan.image_archives else "IfNotPresent",
        "kubeletExtraArgs": [{"name": "node-ip", "value": plan.host.address}],
    }


def _kubeadm(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": kind, **document}


def _kubelet(plan: NodePlan, facts: Facts) -> dict[str, Any]:
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        **_of_the_host(facts),
        # Percentages, the default, evict pods from a large disk with much room left.
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "2Gi",
            "imagefs.available": "2Gi",
        },
    }
    if plan.image_archives:
        document["imageGCHighThresholdPercent"] = 100  # an image removed cannot be pulled again
    return document


def _proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        # The host's own limits and times are left as they are: none of these says otherwise.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
