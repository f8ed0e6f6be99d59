"""Every reason why a host cannot become a node, told at once and before anything is changed."""

from __future__ import annotations

from infra.kubernetes.node.inspection import COMMANDS, Facts
from infra.kubernetes.node.plan import API_PORT, NodePlan
from validation.errors import ConfigurationError, OwnershipError
from validation.hosts.fitness import Use, held

_CONTROL_PLANE_PORTS = (API_PORT, 2379, 2380, 10257, 10259)
_NODE_PORTS = (10250, 10256)


def require_fit(facts: Facts, plan: NodePlan) -> None:
    """Make sure that a host can become the planned node.

    Raises:
        OwnershipError: It is a node already, of another cluster or of someone else's making.
        ConfigurationError: It cannot be one; with every reason at once.
    """
    where = f"host {plan.host.name} ({plan.host.address})"
    if facts.record:
        raise OwnershipError(
            "this host is a node of a cluster that the kit made before",
            where=where,
            seen=f"cluster {facts.record.get('cluster')} since {facts.record.get('since')}",
            remedy="destroy that stack first, or give the host back with "
            "`python -m infra.kubernetes.node.teardown` on it",
        )
    if facts.old:
        raise OwnershipError(
            "this host has a Kubernetes or an etcd that the kit did not make",
            where=where,
            seen=" ".join(facts.old),
            remedy="use another host, or remove it yourself: a node with `kubeadm reset`",
        )
    found = problems(facts, plan)
    if found:
        raise ConfigurationError(
            "this host cannot become a node:\n    " + "\n    ".join(found),
            where=where,
            remedy="nothing was changed on it; mend what is named, then run again",
        )


def problems(facts: Facts, plan: NodePlan) -> list[str]:
    """Return why a host cannot become the planned node, each reason with its remedy."""
    checks = (_privilege, _machine, _commands, _versions, _network, _neighbours)
    return [reason for check in checks for reason in check(facts, plan)]


def _privilege(facts: Facts, _: NodePlan) -> list[str]:
    if facts.uid != 0:
        return [f"commands run as user {facts.uid}: connect as root"]
    return []


def _machine(facts: Facts, plan: NodePlan) -> list[str]:
    """Return what the family `hosts` will measure too, once the deployment stands."""
    use = Use("node", leads=plan.host.role == "control-plane")
    return [why for why in held(facts, use).values() if why]


def _commands(facts: Facts, plan: NodePlan) -> list[str]:
    reasons = [f"no {one} on PATH: install {COMMANDS[one]}" for one in facts.missing]
    if not facts.cni_folder and plan.cni_manifest is None:
        reasons.append("no CNI plugins: install containernetworking-plugins")
    return reasons


def _versions(facts: Facts, plan: NodePlan) -> list[str]:
    wanted = f"v{plan.kubernetes_version}"
    return [
        f"{name} is {seen}, the stack wants {wanted}: install that version"
        for name, seen in (("kubeadm", facts.kubeadm), ("kubelet", facts.kubelet))
        if seen and seen != wanted
    ]


def _network(facts: Facts, plan: NodePlan) -> list[str]:
    reasons = []
    if plan.host.address not in facts.addresses:
        have = ", ".join(facts.addresses)
        reasons.append(f"address {plan.host.address} is on none of its interfaces ({have})")
    wanted = _NODE_PORTS + (_CONTROL_PLANE_PORTS if plan.host.role == "control-plane" else ())
    taken = sorted(facts.ports.intersection(wanted))
    if taken:
        by = [f"{port} by {facts.holders.get(port, 'an unknown process')}" for port in taken]
        reasons.append(f"ports are taken: {', '.join(by)}; stop what has them")
    return reasons


def _neighbours(facts: Facts, _: NodePlan) -> list[str]:
    reasons = []
    if facts.runtimes:
        there = " ".join(facts.runtimes)
        reasons.append(f"another container runtime is there ({there}): use another host")
    own = facts.kubelet_unit.file
    # A unit of a package is masked while the host is a node; systemd masks none that stands here.
    if facts.kubelet_packaged and own.startswith("/etc/systemd/system/"):
        reasons.append(
            f"{own} would start a second kubelet: `systemctl disable --now kubelet`, remove that"
            " file, then `systemctl daemon-reload`"
        )
    return reasons
