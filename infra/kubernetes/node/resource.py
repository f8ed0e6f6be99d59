"""A node as a Pulumi resource: made, read, compared and given back for real."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi import dynamic

from infra.kubernetes import exchange
from infra.kubernetes.node import bootstrap, membership, teardown
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.plan import NodePlan
from infra.provider import Provider
from validation.errors import CredentialsError, UnreachableError

_NOTED = "noted_kubelet"


class NodeProvider(Provider):
    """Makes a host a node. ``plan`` is a `NodePlan` as JSON, a secret if it holds an SSH key."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Refuse what would make another cluster, without what is on it, of one that stands."""
        plans = [one.get("plan") for one in (_olds, news)]
        if not all(isinstance(one, str) for one in plans):  # a new node, or known only later
            return dynamic.CheckResult(news, [])
        before, now = (NodePlan.model_validate_json(str(one)).decides() for one in plans)
        return dynamic.CheckResult(news, exchange.refused(before, now))

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Make the host a node."""
        plan = NodePlan.model_validate_json(props["plan"])
        made = bootstrap.create(plan)
        return dynamic.CreateResult(
            f"{plan.cluster}/{plan.host.name}", _outputs(props, plan, made.kubeconfig)
        )

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Return the node as it is; nothing if the host is no node of this cluster any more.

        A kubelet of another version shows as a change, which an update takes note of and leaves as
        it is: who upgraded it knows why. A host or a control plane that does not answer is an
        error, never a node that is gone.
        """
        plan = NodePlan.model_validate_json(props["plan"])
        with connected(plan.host) as connection:
            record = teardown.read_record(connection)
            ours = (record.get("cluster"), record.get("node")) == (plan.cluster, plan.host.name)
            if not ours or record.get("made") == "no":
                return dynamic.ReadResult(None, {})
            kubelet = membership.kubelet(plan, connection)
            if not kubelet:
                return dynamic.ReadResult(None, {})
            text = "" if plan.leader else bootstrap.kubeconfig(connection)
        outputs = _outputs(props, plan, text)
        found = {"fingerprint": record["fingerprint"], "kubelet": kubelet}
        return dynamic.ReadResult(id_, outputs | found | {_NOTED: _noted(props, plan)})

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        """Replace the node when what it is made of changes; how it is reached may change freely.

        What a refresh has found is shown by an engine only where this calls it a change.
        """
        del id_
        if not isinstance(news.get("plan"), str):  # known only after another update
            return dynamic.DiffResult(changes=True)
        plan = NodePlan.model_validate_json(news["plan"])
        other = plan.fingerprint() != olds.get("fingerprint")
        upgraded = (olds.get("kubelet") or _noted(olds, plan)) != _noted(olds, plan)
        changed = other or upgraded or news["plan"] != olds.get("plan")
        return dynamic.DiffResult(
            changes=changed, replaces=["plan"] if other else [], delete_before_replace=True
        )

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Take over another way to reach the node, and what changes in a cluster as it stands.

        A kubelet that somebody has upgraded is noted, and no change from then on.
        """
        del id_
        plan = NodePlan.model_validate_json(news["plan"])
        before = NodePlan.model_validate_json(olds["plan"])
        bootstrap.adapt(plan, before)
        outputs = _outputs(news, plan, olds.get("kubeconfig") or "")
        kubelet = olds.get("kubelet")
        return dynamic.UpdateResult({**outputs, "kubelet": kubelet, _NOTED: kubelet})

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Move the node's pods away, give the host back as it was, and let the cluster forget it.

        Raises:
            OwnershipError: The host is a node of another cluster by now; it is left alone.
            UnreachableError: The host cannot be reached; it may be gone for good.
        """
        del id_
        plan = NodePlan.model_validate_json(props["plan"])
        with connected(plan.host) as connection:
            _require_own(connection, plan)
            if teardown.read_record(connection):  # else it was given back, and no pod runs there
                membership.drain(plan)
                teardown.give_back(connection)
        membership.forget(plan)


class Node(dynamic.Resource):
    """One host of a kubeadm cluster.

    Args:
        name: Of the resource.
        plan: The `NodePlan` as JSON.

    Its output ``kubeconfig`` is the administrator's, a secret; empty for a host that joined.
    """

    kubeconfig: pulumi.Output[str]

    def __init__(
        self, name: str, plan: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            NodeProvider(),
            name,
            {"plan": plan, **dict.fromkeys(("kubeconfig", "fingerprint", "kubelet", _NOTED))},
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(additional_secret_outputs=["plan", "kubeconfig"]), opts
            ),
        )


def _outputs(props: dict[str, Any], plan: NodePlan, kubeconfig: str) -> dict[str, Any]:
    return {
        "plan": props["plan"],
        "kubeconfig": kubeconfig,
        "fingerprint": plan.fingerprint(),
        "kubelet": f"v{plan.kubernetes_version}",
        _NOTED: f"v{plan.kubernetes_version}",
    }


def _noted(props: dict[str, Any], plan: NodePlan) -> str:
    """Return the kubelet's version that is no news; state of an earlier release has none."""
    return props.get(_NOTED) or f"v{plan.kubernetes_version}"


def _require_own(connection: Connection, plan: NodePlan) -> None:
    """Make sure that a host is this node, and say what to do about one that is lost for good."""
    try:
        teardown.require_own(connection, plan.cluster, plan.host.name)
    except CredentialsError:
        raise
    except UnreachableError as error:
        forget = f"`kubectl delete node {plan.host.name}`, then " if plan.leader else ""
        raise UnreachableError(
            error.what,
            where=error.where,
            seen=error.seen,
            remedy=f"{error.remedy}. If the host is lost for good: {forget}`pulumi state delete`"
            f" with the URN of node-{plan.host.name} (`pulumi stack --show-urns`)",
        ) from None
