"""A node's place in its cluster, as the control plane sees it: taken once, emptied, given up."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable

from infra.kubernetes.node import teardown
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.plan import ADMIN, API_PORT, NodePlan
from infra.patience import patiently
from validation.errors import (
    CredentialsError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
)

KUBECTL = f"kubectl --kubeconfig {ADMIN}"
_ADMIN_CONF, _KUBELET_CONF = ADMIN, "/etc/kubernetes/kubelet.conf"
_DRAIN_SECONDS = 120
_PATIENCE_SECONDS = 30.0
"""How long an API server may take to come back that restarts, or whose etcd elects a leader."""
_SILENT = 3
_LOG = logging.getLogger(__name__)


class _NotYetError(MilvusKitError):
    """The API server is there and did not do what was asked of it."""


class _GoneError(_NotYetError):
    """There is no API server, or nothing of this node in it."""


def require_free(plan: NodePlan, leader: Connection) -> None:
    """Make sure that the cluster to join is the planned one, and has no node of this name.

    Raises:
        OwnershipError: It is another one, or has.
    """
    teardown.require_own(leader, plan.cluster, leader.host.name)
    found = leader.run(
        f"{KUBECTL} get node {shlex.quote(plan.host.name)} --ignore-not-found -o name",
        what="asking the control plane for its nodes",
    )
    if found.strip():
        raise OwnershipError(
            "the cluster has a node of this name, which is not this host",
            where=f"host {plan.host.name} ({plan.host.address})",
            seen=found.strip(),
            remedy=f"nothing was changed; name the host otherwise, or `kubectl delete "
            f"{found.strip()}` if that host is gone",
        )


def kubelet(plan: NodePlan, connection: Connection) -> str:
    """Return which kubelet a node runs, such as ``v1.36.3``; empty if there is no such node.

    Only what shows it is taken for that: no configuration on the host, as after ``kubeadm reset``,
    or a control plane that answers and has no such node, or is none any more.

    Args:
        plan: Of the node.
        connection: To its host.

    Raises:
        MilvusKitError: The control plane does not say.
        UnreachableError: Its host cannot be reached.
    """
    control = plan.host.role == "control-plane"
    if _lacks(connection, [_KUBELET_CONF, *([_ADMIN_CONF] if control else [])]):
        return ""
    if plan.leader is None:
        return _known(plan, connection)
    with connected(plan.leader) as leader:
        record = teardown.read_record(leader)
        if record.get("cluster") != plan.cluster or _lacks(leader, [_ADMIN_CONF]):
            return ""
        return _known(plan, leader)


def _lacks(connection: Connection, paths: list[str]) -> bool:
    tests = "\n".join(f"[ -s {shlex.quote(path)} ] || echo {shlex.quote(path)}" for path in paths)
    return bool(connection.run(tests, what="looking for the node's configuration").strip())


def _known(plan: NodePlan, leader: Connection) -> str:
    what = "-o jsonpath='{.status.nodeInfo.kubeletVersion}'"
    try:
        asked = f"get node {shlex.quote(plan.host.name)} --ignore-not-found {what}"
        return _ask(leader, asked).strip()
    except _NotYetError as error:
        raise MilvusKitError(
            f"the control plane does not say whether it has node {plan.host.name}:"
            f" {error.what.strip()[-800:]}",
            where=leader.host.name,
            remedy="what is in its etcd may still be there: see why kubelet, containerd or API"
            " server do not run (`kubectl get nodes`, the services milvus-kit-kubelet and"
            " milvus-kit-containerd). If it is lost for good, `python -m"
            " infra.kubernetes.node.teardown` on the host",
        ) from None


def await_ready(leader: Connection, name: str) -> None:
    """Wait until a node is ready.

    Raises:
        MilvusKitError: It does not get ready; with what its conditions say.
    """
    # kubeadm is done when the kubelet has its certificate, which may be before it says who it is.
    leader.run(
        f"""tries=0
until {KUBECTL} get node {shlex.quote(name)} >/dev/null 2>&1 || [ "$tries" -ge 60 ]; do
    tries=$((tries + 1))
    sleep 1
done
{KUBECTL} wait --for=condition=Ready node/{shlex.quote(name)} --timeout=180s || {{
    {KUBECTL} describe node {shlex.quote(name)} | sed -n '/^Conditions:/,/^Addresses:/p' >&2
    exit 1
}}""",
        what=f"waiting for node {name}",
        seconds=300,
    )


def drain(plan: NodePlan) -> None:
    """Move a node's pods away, as far as their disruption budgets let them go.

    A control plane that is gone, or is another cluster's by now, has no pods to move, and neither
    has a node that it does not know: a warning says so then.

    Raises:
        MilvusKitError: A pod may not or does not go, or the API server does not say.
        CredentialsError: The control plane is there and lets nobody in.
    """
    name = shlex.quote(plan.host.name)
    what = f"draining node {plan.host.name}"

    def emptied(leader: Connection) -> None:
        found = _ask(leader, f"get node {name} --ignore-not-found -o name")
        if not found.strip():
            raise _GoneError(f"cluster {plan.cluster} has no node of this name")
        done = leader.attempt(
            f"{KUBECTL} drain {name} --ignore-daemonsets --delete-emptydir-data --force"
            f" --timeout={_DRAIN_SECONDS}s",
            seconds=_DRAIN_SECONDS + 60,
        )
        if done.status:
            raise _NotYetError(done.errors or done.output)

    _on_leader(plan, emptied, what=what, so_far="nothing was changed on the host")


def forget(plan: NodePlan) -> None:
    """Take a node out of the cluster's list; a control plane that is gone has none.

    Raises:
        MilvusKitError: The API server does not do it.
        CredentialsError: The control plane is there and lets nobody in.
    """
    name = shlex.quote(plan.host.name)

    def forgotten(leader: Connection) -> None:
        _ask(leader, f"delete node {name} --ignore-not-found --timeout=30s")

    what = f"deleting node {plan.host.name}"
    _on_leader(plan, forgotten, what=what, so_far="the host was given back")


def _on_leader(
    plan: NodePlan, act: Callable[[Connection], None], *, what: str, so_far: str
) -> None:
    """Do something where the control plane is; a warning if it is gone."""
    if plan.leader is None:
        return
    with connected(plan.leader) as leader:
        try:
            _require_cluster(plan, leader)
            act(leader)
        except _GoneError as error:
            _LOG.warning("skipped: %s; %s: %s", what, plan.leader.name, error.what)
        except _NotYetError as error:
            raise MilvusKitError(
                f"{what} failed:\n{error.what.strip()[-800:]}",
                where=plan.leader.name,
                remedy=f"{so_far}; mend what is named, then run again. If the control plane is lost"
                " for good: `python -m infra.kubernetes.node.teardown` on the host, then"
                " `pulumi state delete` its node",
            ) from None


def _require_cluster(plan: NodePlan, leader: Connection) -> None:
    """Make sure that the control plane's host is there and this cluster's.

    Raises:
        _GoneError: It is not.
    """
    try:
        record = patiently(
            lambda: teardown.read_record(leader),
            on=_may_pass,
            seconds=_PATIENCE_SECONDS,
            first_wait=0.5,
        )
    except CredentialsError:
        raise
    except UnreachableError as error:
        raise _GoneError(error.what) from None
    # Of another cluster's nodes, one may have this name.
    if record.get("cluster") != plan.cluster:
        raise _GoneError(f"this host is no control plane of cluster {plan.cluster}")


def _ask(leader: Connection, arguments: str) -> str:
    """Return kubectl's answer, asked for again for a while.

    Raises:
        _GoneError: Nothing listens on the API server's port of this host.
        _NotYetError: Something does, and the answer is an error.
    """
    listening = f"""{{ if ($4 == "0A" && $2 ~ /:{API_PORT:04X}$/) found = 1 }}"""
    script = f"""{KUBECTL} {arguments} --request-timeout=10s && exit 0
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '{listening} END {{ exit !found }}' ||
    exit {_SILENT}
exit 1"""

    def asked() -> str:
        done = leader.attempt(script, seconds=60)
        if done.status == _SILENT:
            raise _GoneError("no API server listens there")
        if done.status:
            raise _NotYetError(done.errors or done.output)
        return done.output

    return patiently(asked, on=_may_pass, seconds=_PATIENCE_SECONDS, first_wait=0.5)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, (_NotYetError, UnreachableError)) and not isinstance(
        error, CredentialsError
    )
