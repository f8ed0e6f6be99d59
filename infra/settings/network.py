"""Who is reached where NetworkPolicies cannot tell by themselves: they know pods, not names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.settings.model import Cidr, DnsName, Port, Section


class Peers(Section):
    """Some pods or networks, on some ports. With neither, whoever listens on these ports."""

    ports: Annotated[tuple[Port, ...], Field(min_length=1)] = Field(
        description="of the pods themselves: a Service's own port is not compared"
    )
    networks: tuple[Cidr, ...] = ()
    namespace: DnsName | None = Field(
        default=None, description="of the pods; default: the deployment's own"
    )
    pods: dict[str, str] = Field(
        default={}, description="their labels; none, beside a namespace: all of its pods"
    )


class Network(Section):
    """What pods may connect to, where it follows from nothing else in these settings."""

    dns: tuple[Peers, ...] = Field(
        default=(Peers(ports=(53,), namespace="kube-system", pods={"k8s-app": "kube-dns"}),),
        min_length=1,
        description="who answers names: a node's cache has a network (169.254.20.10/32), OpenShift"
        " the namespace openshift-dns and port 5353",
    )
    store: tuple[Peers, ...] = Field(
        default=(), description="the pods behind a storage.endpoint that is a Service"
    )
    log: tuple[Peers, ...] = Field(
        default=(), description="the pods behind the log's brokers, where these are a Service"
    )
    egress: tuple[Peers, ...] = Field(
        default=(),
        description="what Milvus calls beside: models of embedding functions, clusters to replicate"
        " to",
    )
