"""What a host is: found before anything is changed, and without changing anything."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from infra.kubernetes.node.connection import Connection
from infra.kubernetes.node.plan import RECORD
from validation.hosts import fitness

COMMANDS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "kubeadm": "kubeadm",
    "kubelet": "kubelet",
    "kubectl": "kubectl",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
}
"""Commands that must be on a host, each with the package that usually brings it."""
_KERNEL = (
    "net/ipv4/ip_forward",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
)
"""Kernel settings that Kubernetes changes: the first two by us, those of ``nf_conntrack`` by a
kube-proxy that is not told to leave them, the others by its kubelet."""
_OLD_SETTINGS = (
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/manifests/*",
    "/etc/kubernetes/pki/*",
    "/var/lib/etcd/*",
)
"""A host is given back without these folders, so what is in them before is never ours. Packages of
the kubelet bring some of them empty; an etcd of Debian's has its data in a folder of the last."""

_SCRIPT = """
say uid "$(id -u)"
say os "$(. /etc/os-release 2>/dev/null; echo "$ID $VERSION_ID")"
say systemd "$([ -d /run/systemd/system ] && echo yes || echo no)"
say cgroup "$([ -f /sys/fs/cgroup/cgroup.controllers ] && echo 2 || echo 1)"
say capabilities "$(awk '/^CapEff/{print $2}' /proc/self/status)"
say kernel "$(cd /proc/sys; for one in KERNEL; do
    [ ! -r "$one" ] || printf '%s=%s ' "$one" "$(cat "$one")"; done)"
say links "$(ls /sys/class/net | tr '\\n' ' ')"
say networks "$(ls /etc/cni/net.d 2>/dev/null | tr '\\n' ' ')"
say firewall "$(nft list tables 2>/dev/null | tr '\\n' ';')"
say chains "$(for family in iptables ip6tables; do "$family-save" 2>/dev/null; done |
    sed -n 's/^:\\(CNI-[^ ]*\\) .*/\\1/p' | sort -u | tr '\\n' ' ')"
say addresses "$(ip -o addr show 2>/dev/null | awk '{split($4,a,"/"); printf "%s ", a[1]}')"
cni="/opt/cni/bin/bridge /usr/lib/cni/bridge /usr/libexec/cni/bridge"
say cni "$(ls -d $cni 2>/dev/null | head -1)"
say runtimes "$(ls -d /run/docker.sock /var/run/crio/crio.sock /run/k3s 2>/dev/null | tr '\\n' ' ')"
say old "$(ls -d OLD 2>/dev/null | tr '\\n' ' ')"
listening='FNR>1 && $4=="0A"{split($2,a,":"); print a[2]}'
say ports "$(awk "$listening" /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u | tr '\\n' ' ')"
holder='{sub(/.*:/, "", $4); if (match($0, /\\(\\("[^"]*",pid=[0-9]+/)) {
    split(substr($0, RSTART, RLENGTH), part, /"/); gsub(/ /, "_", part[2])
    sub(/,pid=/, "", part[3]); print $4 "/" part[2] "/" part[3]}}'
say holders "$(ss -ltnpH 2>/dev/null | awk "$holder" | sort -u | tr '\\n' ' ')"
say unit "$(systemctl show kubelet.service --property LoadState,ActiveState,FragmentPath \\
    2>/dev/null | tr '\\n' ' ')"
say kubeadm "$(kubeadm version -o short 2>/dev/null)"
say kubelet "$(kubelet --version 2>/dev/null | awk '{print $2}')"
say missing "$(for one in COMMANDS; do command -v "$one" >/dev/null || printf '%s ' "$one"; done)"
say record "$(tr -d '\\n' < RECORD 2>/dev/null)"
"""


@dataclasses.dataclass(frozen=True)
class Unit:
    """A service as systemd knows it.

    Args:
        load: ``loaded``, ``masked`` or ``not-found``; empty where there is no systemd.
        active: ``active``, ``activating`` (which a unit is that fails again and again),
            ``inactive`` or ``failed``.
        file: Where it is defined.
    """

    load: str = ""
    active: str = ""
    file: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts(fitness.Machine):
    """What was found on a host."""

    uid: int
    os: str
    systemd: bool
    cgroup: int
    capabilities: int
    kernel: tuple[str, ...]
    links: tuple[str, ...]
    networks: tuple[str, ...]
    firewall: str
    chains: tuple[str, ...]
    addresses: tuple[str, ...]
    cni_folder: str
    runtimes: tuple[str, ...]
    old: tuple[str, ...]
    ports: frozenset[int]
    holders: dict[int, str]
    kubeadm: str
    kubelet: str
    kubelet_unit: Unit
    missing: tuple[str, ...]
    record: dict[str, str]

    @property
    def can_lower_oom_score(self) -> bool:
        """Tell whether CAP_SYS_RESOURCE is there: without it, runc may not lower a score."""
        return bool(self.capabilities >> 24 & 1)

    @property
    def kubelet_packaged(self) -> bool:
        """Tell whether a package's ``kubelet.service`` is there, which kubeadm would start."""
        return self.systemd and self.kubelet_unit.load == "loaded"


def inspect(connection: Connection) -> Facts:
    """Return what a host is; nothing is changed."""
    script = (
        _SCRIPT.replace("OLD", " ".join(_OLD_SETTINGS))
        .replace("COMMANDS", " ".join(COMMANDS))
        .replace("KERNEL", " ".join(_KERNEL))
        .replace("RECORD", RECORD)
    )
    whole = f"set +e\n{fitness.script(fitness.Use('node'))}\n{script}"
    told = fitness.told(connection.run(whole, what="looking at the host"))
    machine: dict[str, Any] = fitness.facts(told)
    return Facts(
        **machine,
        uid=int(told["uid"]),
        os=told["os"],
        systemd=told["systemd"] == "yes",
        cgroup=int(told["cgroup"]),
        capabilities=int(told["capabilities"], 16),
        kernel=tuple(told["kernel"].split()),
        links=tuple(told["links"].split()),
        networks=tuple(told["networks"].split()),
        firewall=told["firewall"],
        chains=tuple(told["chains"].split()),
        addresses=tuple(told["addresses"].split()),
        cni_folder=told["cni"].rsplit("/", 1)[0],
        runtimes=tuple(told["runtimes"].split()),
        old=tuple(told["old"].split()),
        ports=frozenset(int(port, 16) for port in told["ports"].split()),
        holders=_holders(told["holders"].split()),
        kubeadm=told["kubeadm"],
        kubelet=told["kubelet"],
        kubelet_unit=_unit(told["unit"].split()),
        missing=tuple(told["missing"].split()),
        record=json.loads(told["record"] or "{}"),
    )


def _holders(told: list[str]) -> dict[int, str]:
    """Return which process listens on each port, from ``port/name/pid``."""
    parts = [one.split("/") for one in told]
    return {int(port): f"process {pid} ({name})" for port, name, pid in parts}


def _unit(told: list[str]) -> Unit:
    """Return a service from systemd's ``Property=value`` pairs."""
    found = dict(one.split("=", 1) for one in told)
    return Unit(
        found.get("LoadState", ""), found.get("ActiveState", ""), found.get("FragmentPath", "")
    )
