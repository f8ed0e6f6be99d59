"""A node's place in its cluster, as the control plane sees it: taken once, emptied, given up."""

from __future__ import annotations

import shlex

from infra.kubernetes.node import teardown
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.plan import ADMIN, NodePlan
from validation.errors import (
    CredentialsError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
)

KUBECTL = f"kubectl --kubeconfig {ADMIN}"
_DRAIN_SECONDS = 120
_GONE = 3


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

    A control plane that is not there, or is another cluster's by now, has no pods to move: nothing
    happens then.

    Raises:
        MilvusKitError: A pod may not or does not go.
        CredentialsError: The control plane is there and lets nobody in.
    """
    name = shlex.quote(plan.host.name)
    _on_leader(
        plan,
        f"""{KUBECTL} get node {name} --ignore-not-found -o name | grep -q . || exit {_GONE}
{KUBECTL} drain {name} --ignore-daemonsets --delete-emptydir-data --force \\
    --timeout={_DRAIN_SECONDS}s""",
        what=f"draining node {plan.host.name}",
        so_far="nothing was changed on the host",
    )


def forget(plan: NodePlan) -> None:
    """Take a node out of the cluster's list."""
    name = shlex.quote(plan.host.name)
    script = f"{KUBECTL} delete node {name} --ignore-not-found --timeout=30s"
    what = f"deleting node {plan.host.name}"
    _on_leader(plan, script, what=what, so_far="the host was given back")


def _on_leader(plan: NodePlan, script: str, *, what: str, so_far: str) -> None:
    if plan.leader is None:
        return
    try:
        with connected(plan.leader) as leader:
            # Of another cluster's nodes, one may have this name.
            if teardown.read_record(leader).get("cluster") != plan.cluster:
                return
            ready = f"{KUBECTL} get --raw /readyz --request-timeout=10s >/dev/null 2>&1"
            done = leader.attempt(f"{ready} || exit {_GONE}\n{script}", seconds=_DRAIN_SECONDS + 60)
    except CredentialsError:
        raise
    except UnreachableError:
        return
    if done.status not in {0, _GONE}:
        raise MilvusKitError(
            f"{what} failed:\n{(done.errors or done.output).strip()[-800:]}",
            where=plan.leader.name,
            remedy=f"{so_far}; mend what is named, then run again",
        )
