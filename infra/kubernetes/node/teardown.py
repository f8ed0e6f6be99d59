"""Gives a host back as it was: no process, mount, interface, firewall rule or file of ours stays.

``python -m infra.kubernetes.node.teardown`` does it on this host, for a cluster whose Pulumi state
is lost. It touches only a host that carries the kit's own record. Of a pod network of the user's
own it removes the configuration, the bridge and the routes; firewall rules that its pods made are
not known here and stay until the host starts again.
"""

from __future__ import annotations

import json
import shlex
import sys

from infra.kubernetes.node import files, firewall, services
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.plan import FOLDER, RECORD, SOCKET, STATE, Host
from validation.errors import MilvusKitError, OwnershipError

_RESET = f"""set +e
kubeadm reset --force --cri-socket unix://{SOCKET} >{FOLDER}/reset.log 2>&1
ctr --address {SOCKET} --namespace k8s.io tasks ls -q 2>/dev/null | while read -r task; do
    ctr --address {SOCKET} --namespace k8s.io tasks kill --signal SIGKILL "$task"
done >/dev/null 2>&1
exit 0"""

# A shim outlives containerd on purpose; ours are those that name our socket's folder, and run here:
# a node in a container on this host has the same folder, and its pods are in a group of its own.
_SHIMS = f"""for shim in $(grep -l -a -e '{STATE}/containerd' /proc/[0-9]*/cmdline 2>/dev/null); do
    pid=$(echo "$shim" | cut -d/ -f3)
    [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
    tr '\\0' ' ' < "$shim" 2>/dev/null | grep -q '^[^ ]*containerd-shim' && kill -KILL "$pid"
done"""
# systemd makes the group of a slice that it knows again, whoever has removed it.
_LEFTOVERS = f"""set +e
{_SHIMS}
[ -d /run/systemd/system ] && systemctl stop 'kubepods*.slice'
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    for round in 1 2 3 4 5; do
        [ -d "$hierarchy" ] || break
        procs=$(find "$hierarchy"/kubepods* -name cgroup.procs -exec cat {{}} + 2>/dev/null |
            grep -vx 0)
        [ -n "$procs" ] || break
        kill -KILL $procs 2>/dev/null
        sleep 0.2
    done
    for one in "$hierarchy"/kubepods*; do
        [ -d "$one" ] && find "$one" -depth -type d -exec rmdir {{}} \\; 2>/dev/null
    done
done
awk '{{print $5}}' /proc/self/mountinfo |
    grep -E '^({STATE}/|{FOLDER}/|/var/lib/kubelet(/|$))' | sort -r |
    while read -r point; do umount "$point" 2>/dev/null || umount -l "$point"; done
for link in {files.CNI_BRIDGE} nodelocaldns kube-ipvs0; do ip link delete "$link" 2>/dev/null; done
exit 0"""


def read_record(connection: Connection) -> dict[str, str]:
    """Return the host's record; empty if it is no node of the kit's."""
    text = connection.run(f"cat {RECORD} 2>/dev/null || true", what="reading the host's record")
    return json.loads(text) if text.strip() else {}


def require_own(connection: Connection, cluster: str, node: str) -> None:
    """Make sure that a host is this node, or none.

    Raises:
        OwnershipError: It is a node of another cluster.
    """
    record = read_record(connection)
    if record and (record.get("cluster"), record.get("node")) != (cluster, node):
        raise OwnershipError(
            f"this host is not node {node} of cluster {cluster}",
            where=f"host {node} ({connection.host.address})",
            seen=f"node {record.get('node')} of cluster {record.get('cluster')}",
            remedy="it was left alone; if this node is gone for good, take it out of the state: "
            "`pulumi state delete`",
        )


_RUNNING = {"active", "activating"}
_KNOWN_LINKS = "cni0 flannel.1 kube-bridge weave vxlan.calico cilium_vxlan cilium_host"
"""Interfaces that widely used pod networks make."""


def give_back(connection: Connection) -> None:
    """Undo what was made of a host; a host that is not ours is left alone.

    Raises:
        MilvusKitError: Something of ours is still there; it is named.
    """
    record = read_record(connection)
    if not record:
        return
    systemd = record.get("systemd") == "yes"
    services.stop(connection, services.KUBELET, systemd=systemd)
    connection.run(_RESET, what="kubeadm reset")
    services.stop(connection, services.CONTAINERD, systemd=systemd)
    connection.run(_LEFTOVERS, what="cleaning up")
    firewall.remove(
        connection,
        chains=set(record.get("chains", "").split()),
        tables=set(record.get("firewall", "").split(";")),
    )
    _remove_network(connection, record)
    _restore_kernel(connection, record)
    before = record.get("kubelet_unit", "")
    if before:
        services.unmask_packaged(connection)
    _remove_files(connection, record)
    if before in _RUNNING:
        services.start_packaged(connection)


def _remove_network(connection: Connection, record: dict[str, str]) -> None:
    """Remove what a pod network of the user's own made here since this host became a node."""
    if "networks" not in record:
        return
    connection.run(
        f"""set +e
before={shlex.quote(f" {record['networks']} ")}
links={shlex.quote(f" {record['links']} ")}
remove() {{
    case "$links" in *" $1 "*) ;; *) ip link delete "$1" 2>/dev/null ;; esac
}}
named() {{
    grep -o '"'"$1"'": *"[^"]*"' "$2" | cut -d '"' -f 4
}}
for file in $(ls /etc/cni/net.d 2>/dev/null); do
    case "$before" in *" $file "*) continue ;; esac
    for link in $(named bridge "/etc/cni/net.d/$file"); do remove "$link"; done
    network=$(named name "/etc/cni/net.d/$file" | head -n 1)
    case "$network" in
        "" | */* | .*) ;;
        *) rm -rf "/var/lib/cni/networks/$network" /var/lib/cni/results/"$network"-* \\
            /var/lib/cni/cache/results/"$network"-* ;;
    esac
    rm -rf "/etc/cni/net.d/$file"
done
rmdir /var/lib/cni/networks 2>/dev/null
for link in {_KNOWN_LINKS}; do remove "$link"; done
ip route flush root {shlex.quote(record["pods"])} 2>/dev/null
exit 0""",
        what="removing the pod network",
    )


def _restore_kernel(connection: Connection, record: dict[str, str]) -> None:
    text = record.get("kernel") or f"net/ipv4/ip_forward={record.get('ip_forward', '0')}"
    settings = " ".join(map(shlex.quote, text.split()))
    connection.run(
        f"""set +e
for setting in {settings}; do
    file=/proc/sys/${{setting%%=*}}
    [ "$(cat "$file")" = "${{setting#*=}}" ] || echo "${{setting#*=}}" > "$file"
done
exit 0""",
        what="restoring the kernel's settings",
    )


def _remove_files(connection: Connection, record: dict[str, str]) -> None:
    left = connection.run(
        f"""set +e
rm -f {files.CNI_FILE}
rmdir /etc/cni/net.d /etc/cni 2>/dev/null
ours='^({STATE}|{FOLDER}|/var/lib/kubelet)(/|$)'
awk '{{print $5}}' /proc/self/mountinfo | grep -E "$ours" && exit 0
rm -rf --one-file-system {STATE} /var/lib/kubelet /var/lib/etcd /etc/kubernetes
# The kubelet counts restarts by the logs it finds, so those of another cluster would mislead it.
rm -rf --one-file-system /var/log/pods /var/log/containers
rm -f /var/lib/cni/results/{files.CNI_NAME}-* /var/lib/cni/cache/results/{files.CNI_NAME}-*
rmdir /var/lib/cni/results /var/lib/cni/cache/results /var/lib/cni/cache /var/lib/cni 2>/dev/null
rmdir {shlex.quote(record["volumes"])} 2>/dev/null  # volumes that still hold data stay
rm -rf --one-file-system {FOLDER}
rmdir /run/milvus-kit /var/lib/milvus-kit 2>/dev/null
ls -d {FOLDER} {STATE} /var/lib/kubelet /etc/kubernetes 2>/dev/null
exit 0""",
        what="removing files",
    ).split()
    if left:
        raise MilvusKitError(
            "something of the node is still there",
            where=connection.host.name,
            seen=" ".join(left),
            remedy="see what holds it (`fuser -vm PATH`), end that, then run this again",
        )


def main() -> int:
    """Give this host back; return the exit code."""
    here = Host(name="this host", address="127.0.0.1", role="control-plane")
    try:
        with connected(here) as connection:
            if not read_record(connection):
                raise OwnershipError(
                    "this host carries no cluster of the kit's",
                    where=RECORD,
                    remedy="nothing was touched; another Kubernetes is removed by its own tools",
                )
            give_back(connection)
    except MilvusKitError as error:
        print(error, file=sys.stderr)  # noqa: T201  (a command)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
