"""NetworkPolicies: nothing is allowed, then exactly the flows that Milvus needs.

A cluster whose network plugin does not enforce NetworkPolicy accepts them and ignores them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.milvus.dependencies import etcd, kafka, woodpecker
from infra.milvus.dependencies.log import LogAccess
from infra.milvus.roles.topology import (
    METRICS_PORT,
    PROXY_PORT,
    STANDALONE,
    Role,
    role_ports,
    roles,
    sets_first_password,
)
from infra.milvus.roles.workloads import NAME
from infra.servers import pods
from infra.settings import Settings
from infra.settings.network import Peers
from infra.storage.contract import StorageContract

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
SNAPSHOT = "etcd-snapshot"
ROOT_PASSWORD = "milvus-root-password"  # noqa: S105  (the name of a Job)
VALIDATION = "milvus-validation"
OURS = (NAME, etcd.NAME, kafka.NAME, woodpecker.NAME, SNAPSHOT, ROOT_PASSWORD, VALIDATION)
OPERATOR_NAMESPACE = "milvus-operator"


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """Who is there, and who must reach whom."""

    settings: Settings
    namespace: str
    roles: tuple[Role, ...]
    storage: StorageContract
    log: LogAccess


def policies(plan: NetworkPlan) -> dict[str, Any]:
    """Return the policies by name."""
    network = plan.settings.network
    found = {
        "default-deny": _policy({}, ours=True, types=("Ingress", "Egress")),
        "dns": _policy({}, ours=True, egress=_dns(plan)),
        "milvus-internal": _internal(plan),
        "milvus-clients": _clients(plan),
        "milvus-dependencies": _policy(
            pods.selector(NAME),
            egress=[_to_etcd(), *_to_log(plan), *_to_store(plan), *map(_to, network.egress)],
        ),
        "etcd": _etcd(plan),
    }
    if plan.settings.observability.scrape_from:
        found["metrics"] = _metrics(plan)
    if plan.settings.log.type == "kafka" and plan.settings.log.mode == "create":
        found["kafka"] = _kafka()
    if plan.settings.log.type == "woodpecker" and plan.settings.log.mode == "service":
        found["woodpecker"] = _woodpecker(plan)
    found |= _jobs(plan)
    if plan.settings.milvus.installer == "operator":
        found |= _operator(plan)
    return {name: _named(name, plan.namespace, spec) for name, spec in found.items()}


def _named(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    full = f"milvus-kit-{name}"
    return {"metadata": pods.metadata(full, namespace, pods.labels(NAME, "network")), "spec": spec}


def _policy(
    select: dict[str, str],
    *,
    ours: bool = False,
    types: tuple[str, ...] = (),
    ingress: list[dict[str, Any]] | None = None,
    egress: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    selector: dict[str, Any] = {"matchLabels": select}
    if ours:
        # Other pods of the namespace are not ours to cut off.
        selector = {
            "matchExpressions": [{"key": pods.NAME, "operator": "In", "values": list(OURS)}]
        }
    kinds = types or tuple(
        kind for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules is not None
    )
    spec: dict[str, Any] = {"podSelector": selector, "policyTypes": list(kinds)}
    if ingress is not None:
        spec["ingress"] = ingress
    if egress is not None:
        spec["egress"] = egress
    return spec


def _ports(*numbers: int, protocol: str = "TCP") -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": number} for number in numbers]


def _peer(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": pods.selector(name)}}


def _dns(plan: NetworkPlan) -> list[dict[str, Any]]:
    return [
        _to(one) | {"ports": _ports(*one.ports, protocol="UDP") + _ports(*one.ports)}
        for one in plan.settings.network.dns
    ]


def _to(peers: Peers) -> dict[str, Any]:
    """Return the rule that lets pods connect to what the settings name."""
    ends: list[dict[str, Any]] = [{"ipBlock": {"cidr": cidr}} for cidr in peers.networks]
    if peers.namespace or peers.pods:
        found = {"podSelector": {"matchLabels": dict(peers.pods)}} if peers.pods else {}
        ends.append(found if not peers.namespace else _namespaces([peers.namespace])[0] | found)
    return ({"to": ends} if ends else {}) | {"ports": _ports(*peers.ports)}


def _internal(plan: NetworkPlan) -> dict[str, Any]:
    """Return what roles need of each other: their gRPC ports, and the proxy's internal one."""
    milvus = plan.settings.milvus
    # While versions change, pods of both are there.
    before = roles(milvus.upgrade_from, milvus.mode) if milvus.upgrade_from else ()
    found = {
        port
        for role in (*plan.roles, *before)
        for name, port in role_ports(role).items()
        if name not in {"metrics", "milvus"}
    }
    rule = {"ports": _ports(*sorted(found))}
    if not found:  # a standalone talks to itself
        return _policy(pods.selector(NAME), ingress=[], egress=[])
    peers = [_peer(NAME)]
    return _policy(
        pods.selector(NAME),
        ingress=[{"from": peers, **rule}],
        egress=[{"to": peers, **rule}],
    )


def _clients(plan: NetworkPlan) -> dict[str, Any]:
    milvus = plan.settings.milvus
    role = STANDALONE if milvus.mode == STANDALONE else "proxy"
    rule: dict[str, Any] = {"ports": _ports(PROXY_PORT)}
    if milvus.clients_from or milvus.access.source_ranges:
        rule["from"] = [
            *_namespaces(milvus.clients_from),
            *({"ipBlock": {"cidr": cidr}} for cidr in milvus.access.source_ranges),
            *([_peer(ROOT_PASSWORD)] if _sets_password(plan) else []),
            *([_peer(VALIDATION)] if plan.settings.validation.enabled else []),
        ]
    return _policy(pods.selector(NAME, role), ingress=[rule])


def _sets_password(plan: NetworkPlan) -> bool:
    milvus = plan.settings.milvus
    return milvus.auth.enabled and not sets_first_password(milvus.version)


def _namespaces(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}} for name in names]


def _metrics(plan: NetworkPlan) -> dict[str, Any]:
    peers = [
        {**in_namespace, "podSelector": {"matchLabels": dict(one.pods)}}
        for one in plan.settings.observability.scrape_from
        for in_namespace in _namespaces([one.namespace])
    ]
    ports = _ports(METRICS_PORT, etcd.METRICS_PORT)
    return _policy({}, ours=True, ingress=[{"from": peers, "ports": ports}])


def _to_etcd() -> dict[str, Any]:
    return {"to": [_peer(etcd.NAME)], "ports": _ports(etcd.CLIENT_PORT)}


def _to_log(plan: NetworkPlan) -> list[dict[str, Any]]:
    log = plan.log
    if plan.settings.network.log:
        return [_to(one) for one in plan.settings.network.log]
    if not log.ports:
        return []
    if log.pods:
        peers = [{"podSelector": {"matchLabels": log.pods}}]
        return [{"to": peers, "ports": _ports(*log.ports)}]
    return [_outside(log.hosts, log.ports)]


def _to_store(plan: NetworkPlan) -> list[dict[str, Any]]:
    storage = plan.storage
    if plan.settings.network.store:
        return [_to(one) for one in plan.settings.network.store]
    if storage.pods:
        peers = [{"podSelector": {"matchLabels": storage.pods}}]
        return [{"to": peers, "ports": _ports(storage.port)}]
    return [_outside((storage.host,), (storage.port,))]


def _outside(hosts: Iterable[str], ports: Iterable[int]) -> dict[str, Any]:
    """Return a rule for hosts outside the cluster.

    A NetworkPolicy knows addresses and no names: for a name the port alone is the limit.
    """
    blocks = []
    for host in hosts:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return {"ports": _ports(*ports)}
        blocks.append({"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}})
    return {"to": blocks, "ports": _ports(*ports)}


def _etcd(plan: NetworkPlan) -> dict[str, Any]:
    clients = [_peer(NAME)]
    if plan.settings.etcd.snapshots:
        clients.append(_peer(SNAPSHOT))
    ingress: list[dict[str, Any]] = [{"from": clients, "ports": _ports(etcd.CLIENT_PORT)}]
    egress: list[dict[str, Any]] = []
    if plan.settings.etcd.members > 1:
        members = [_peer(etcd.NAME)]
        ingress.append({"from": members, "ports": _ports(etcd.PEER_PORT)})
        egress.append({"to": members, "ports": _ports(etcd.PEER_PORT)})
    return _policy(pods.selector(etcd.NAME), ingress=ingress, egress=egress)


def _kafka() -> dict[str, Any]:
    clients = [_peer(NAME), _peer(kafka.NAME)]  # a broker reaches itself by its Service
    return _policy(
        pods.selector(kafka.NAME),
        ingress=[{"from": clients, "ports": _ports(kafka.PORT)}],
        egress=[{"to": [_peer(kafka.NAME)], "ports": _ports(kafka.PORT)}],
    )


def _woodpecker(plan: NetworkPlan) -> dict[str, Any]:
    both = _ports(woodpecker.GOSSIP_PORT) + _ports(woodpecker.GOSSIP_PORT, protocol="UDP")
    servers = [_peer(woodpecker.NAME)]
    each_other = _ports(woodpecker.SERVICE_PORT) + both
    return _policy(
        pods.selector(woodpecker.NAME),
        ingress=[
            {"from": [_peer(NAME)], "ports": _ports(woodpecker.SERVICE_PORT)},
            {"from": servers, "ports": each_other},
        ],
        egress=[{"to": servers, "ports": each_other}, *_to_store(plan)],
    )


def _operator(plan: NetworkPlan) -> dict[str, Any]:
    """Return what milvus-operator needs from its own namespace: it probes the dependencies."""
    peers = _namespaces([OPERATOR_NAMESPACE])
    ends: dict[str, tuple[dict[str, str], tuple[int, ...]]] = {
        "etcd": (pods.selector(etcd.NAME), (etcd.CLIENT_PORT,))
    }
    if plan.log.pods:
        ends["log"] = (plan.log.pods, plan.log.ports)
    if plan.storage.pods:
        ends["store"] = (plan.storage.pods, (plan.storage.port,))
    return {
        f"operator-{name}": _policy(select, ingress=[{"from": peers, "ports": _ports(*ports)}])
        for name, (select, ports) in ends.items()
    }


def _jobs(plan: NetworkPlan) -> dict[str, Any]:
    """Return what the Jobs need: snapshots, the root password, the suite."""
    milvus = {"to": [_peer(NAME)], "ports": _ports(PROXY_PORT, METRICS_PORT)}
    found: dict[str, Any] = {}
    if plan.settings.etcd.snapshots:
        found[SNAPSHOT] = _policy(pods.selector(SNAPSHOT), egress=[_to_etcd(), *_to_store(plan)])
    if _sets_password(plan):
        entrance = {"to": [_peer(NAME)], "ports": _ports(PROXY_PORT)}
        found[ROOT_PASSWORD] = _policy(pods.selector(ROOT_PASSWORD), egress=[entrance])
    if plan.settings.validation.enabled:
        found[VALIDATION] = _policy(pods.selector(VALIDATION), egress=[milvus, *_to_store(plan)])
        # Of every pod, since each counts only its own reads of the store.
        found["validation-metrics"] = _policy(
            pods.selector(NAME),
            ingress=[{"from": [_peer(VALIDATION)], "ports": _ports(METRICS_PORT)}],
        )
    return found
