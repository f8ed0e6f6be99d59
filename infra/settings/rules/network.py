"""Rules of who is reached: NetworkPolicies know pods and networks, and no names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from infra.settings.cluster import Cluster, KubeadmCluster
from infra.settings.network import Network
from infra.settings.problem import Problem
from infra.settings.rules.registry import rule
from infra.settings.services import Kafka, Log, Pulsar
from infra.settings.storage import Minio, Storage
from validation.common import addresses

_INSIDE = (".svc", ".cluster.local")


@rule
def _services_have_pods(
    kubernetes: Cluster, storage: Storage, log: Log, network: Network
) -> Iterator[Problem]:
    ends = {"store": _stores(storage), "log": _brokers(log)}
    for name, hosts in ends.items():
        inside = [host for host in hosts if _is_service(host, kubernetes)]
        if inside and not getattr(network, name):
            yield Problem(
                f"network.{name}",
                "this is a Service of the cluster, and network plugins compare what its pods have:"
                " their port may be another one",
                seen=repr(inside[0]),
                remedy="name its pods: [{namespace: NAMESPACE, pods: {LABEL: VALUE},"
                " ports: [PORT]}]",
            )


@rule
def _peers_are_not_known_already(storage: Storage, log: Log, network: Network) -> Iterator[Problem]:
    for name, hosts in (("store", _stores(storage)), ("log", _brokers(log))):
        if getattr(network, name) and not hosts:
            yield Problem(
                f"network.{name}",
                "the kit makes these pods itself, and knows them",
                remedy="remove it",
            )


def _stores(storage: Storage) -> list[str]:
    if isinstance(storage, Minio):
        return []
    return [addresses.parsed(storage.endpoint, example="https://HOST").host]


def _brokers(log: Log) -> list[str]:
    if isinstance(log, Pulsar):
        return [log.host]
    return [addresses.split(one)[0] for one in log.brokers] if isinstance(log, Kafka) else []


def _is_service(host: str, cluster: Cluster) -> bool:
    if not addresses.is_ip(host):
        return host.endswith(_INSIDE)
    if not isinstance(cluster, KubeadmCluster):
        return False
    return ipaddress.ip_address(host) in ipaddress.ip_network(cluster.service_subnet)
