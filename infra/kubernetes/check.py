"""A cluster looked at before anything is deployed on it, as a Pulumi resource.

It is checked at preview already where the cluster exists by then; a cluster that the same program
makes is checked as soon as it is up.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pulumi
from pulumi import dynamic

from infra.kubernetes import exchange, kubeconfig
from infra.kubernetes.contract import KubeAccess
from infra.kubernetes.facts import ClusterFacts, facts
from infra.kubernetes.fit import problems
from infra.kubernetes.needs import Needs
from infra.kubernetes.server import refusal
from infra.provider import Provider
from validation.errors import ConfigurationError, MilvusKitError

_ACCESS = ("kubeconfig", "kubeconfig_file", "context")


class ClusterCheckProvider(Provider):
    """Reads a cluster's facts and refuses one on which the stack does not fit."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Look at a cluster that is there; an engine's preview shows what is wrong with it."""
        others = exchange.refused(_olds.get("origin") or {}, news.get("origin") or {})
        if others:
            return dynamic.CheckResult(news, others)
        if not all(isinstance(news.get(key), (str, type(None))) for key in _ACCESS):
            return dynamic.CheckResult(news, [])  # known only once the cluster is made
        try:
            found = require_fit({**news, "uid": _olds.get("uid")})
        except MilvusKitError as error:
            return dynamic.CheckResult(news, [dynamic.CheckFailure("cluster", str(error))])
        # Among the inputs, so that the next check has it before it.
        return dynamic.CheckResult({**news, "uid": found.uid or _olds.get("uid")}, [])

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Look at the cluster and remember what it is."""
        found = require_fit(props)
        return dynamic.CreateResult(f"cluster-{found.version}", {**props, **told(found)})

    def update(self, id_: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Look again, for other needs."""
        del id_
        return dynamic.UpdateResult({**news, **told(require_fit(news))})

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Return the cluster's facts as they are now."""
        found = look(props)
        exchange.require_same(props.get("uid"), found.uid, _where(props))
        return dynamic.ReadResult(id_, {**props, **told(found)})

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare what is asked, not what the cluster is: a new node is no change of the stack."""
        del id_
        keys = {*_ACCESS, "needs"}  # another origin or UID is refused before
        return dynamic.DiffResult(changes=any(olds.get(key) != news.get(key) for key in keys))

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Forget the facts; nothing of them is on the cluster."""


class ClusterCheck(dynamic.Resource):
    """The facts of a cluster on which the stack fits."""

    version: pulumi.Output[str]
    default_storage_class: pulumi.Output[str]

    def __init__(
        self,
        access: KubeAccess,
        needs: Needs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "kubeconfig": access.kubeconfig,
            "kubeconfig_file": access.kubeconfig_file,
            "context": access.context,
            "origin": dict(access.origin),
            "needs": dataclasses.asdict(needs),
            "uid": None,
            "version": None,
            "default_storage_class": None,
            "nodes": None,
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["kubeconfig"])
        merged = pulumi.ResourceOptions.merge(secret, opts)
        super().__init__(ClusterCheckProvider(), "cluster", props, merged)


def look(props: dict[str, Any]) -> ClusterFacts:
    """Return the facts of the cluster that the properties lead to.

    Raises:
        ConfigurationError: The kubeconfig cannot be used.
        UnreachableError: It does not answer, or does not let this identity in.
    """
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  (half a second)
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    client = kubeconfig.api_client(props)
    where = str(client.configuration.host)
    client.configuration.retries = 1
    client.rest_client.pool_manager.connection_pool_kw["retries"] = 1
    try:
        return facts(client, (props.get("needs") or {}).get("namespace") or "")
    except (ApiException, HTTPError, OSError) as error:
        need = "the user of the kubeconfig must be able to list nodes and storage classes"
        raise refusal(error, where, ended=kubeconfig.ended(props), need=need) from None


def require_fit(props: dict[str, Any]) -> ClusterFacts:
    """Return a cluster's facts if the stack fits on it.

    Raises:
        OwnershipError: It is another one than ``uid`` says.
        ConfigurationError: The stack does not fit; with every reason.
        UnreachableError: See `look`.
    """
    found = look(props)
    exchange.require_same(props.get("uid"), found.uid, _where(props))
    reasons = problems(found, Needs.of(props["needs"]))
    if reasons:
        raise ConfigurationError(
            "this stack does not fit on the cluster:\n    " + "\n    ".join(reasons),
            where=f"cluster of {len(found.nodes)} nodes, Kubernetes {found.version}",
            remedy="nothing was deployed; mend what is named, or name another cluster",
        )
    return found


def _where(props: dict[str, Any]) -> str:
    """Return the setting that leads to the cluster."""
    for key, name in (("kubeconfig_file", kubeconfig.FILE), ("context", "kubernetes.context")):
        if props.get(key):
            return f"{name} {props[key]}"
    return kubeconfig.SECRET if props.get("kubeconfig") else "KUBECONFIG"


def told(found: ClusterFacts) -> dict[str, Any]:
    """Return the facts that are shown and kept."""
    return {
        "uid": found.uid or None,
        "version": found.version,
        "default_storage_class": found.default_storage_class,
        "nodes": [node.name for node in found.nodes],
    }
