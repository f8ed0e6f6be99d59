"""What stands around Milvus: etcd, the log, observability, in-cluster validation, images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from infra.settings.model import (
    CertificateAuthority,
    DnsName,
    ImageRef,
    Placement,
    Resources,
    SecretValue,
    Section,
    Volume,
)

_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/[1-9]\d*)?")


def _cron(text: str) -> str:
    fields = text.split()
    if len(fields) != len(_CRON) or not all(map(_in_bounds, fields, _CRON)):
        raise PydanticCustomError(
            "cron", "this is not minute, hour, day, month and day of the week, all in numbers"
        )
    return text


def _in_bounds(field: str, bounds: tuple[int, int]) -> bool:
    """Tell whether each part of a field is a star, a number or a range that the field can have."""
    for part in field.split(","):
        match = _CRON_PART.fullmatch(part)
        if match is None:
            return False
        if not all(bounds[0] <= int(one) <= bounds[1] for one in match.groups() if one is not None):
            return False
    return True


Cron = Annotated[str, AfterValidator(_cron), Field(examples=["17 */6 * * *"])]


class EtcdSnapshots(Section):
    """Snapshots to Milvus's bucket, by a CronJob."""

    schedule: Cron = "17 */6 * * *"
    keep: Annotated[int, Field(ge=1, le=1000)] = 28
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")] = (
        "etcd-snapshots"
    )


class Etcd(Section):
    """The metadata store."""

    members: Literal[1, 3] = Field(default=1, description="default in prod: 3")
    auth: bool = Field(default=False, description="default in prod: true")
    tls: bool = Field(default=False, description="client and peer TLS; default in prod: true")
    volume: Volume = Volume(size="20Gi")
    resources: Resources = Resources(cpu="250m", memory="1Gi")
    placement: Placement = Placement()
    spread: Literal["required", "preferred"] = Field(
        default="preferred",
        description="required: each member on a host of its own, or not at all; default in prod:"
        " required",
    )
    snapshots: EtcdSnapshots | None = Field(
        default=None, description="none: no snapshots; default in prod: every six hours"
    )


class Woodpecker(Section):
    """Woodpecker, Milvus's own log (2.6 and later)."""

    type: Literal["woodpecker"]
    mode: Literal["embedded", "service"] = Field(
        default="embedded",
        description="embedded: written to the object store by the streaming nodes; service: own"
        " pods, quorum of three",
    )
    replicas: Literal[3, 5] = Field(default=3, description="mode service: its servers")
    volume: Volume = Volume(size="50Gi")
    resources: Resources = Resources(cpu="500m", memory="2Gi")


class Sasl(Section):
    """SASL towards Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    user: str
    password: SecretValue


Broker = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}:\d{1,5}$", examples=["host:9092"])]


class Kafka(Section):
    """Kafka: adopted from outside, or a small one in the cluster (KRaft, one broker)."""

    type: Literal["kafka"]
    mode: Literal["adopt", "create"]
    brokers: tuple[Broker, ...] = Field(default=(), description="mode adopt")
    sasl: Sasl | None = Field(default=None, description="mode adopt")
    tls: bool = Field(default=False, description="mode adopt: brokers speak TLS")
    ca: CertificateAuthority | None = Field(default=None, description="mode adopt: private CA")
    volume: Volume = Field(default=Volume(size="20Gi"), description="mode create")
    resources: Resources = Field(
        default=Resources(cpu="250m", memory="1Gi"), description="mode create"
    )

    @model_validator(mode="after")
    def _fields_go_with_mode(self) -> Self:
        if self.mode == "adopt" and not self.brokers:
            raise PydanticCustomError("kafka", "mode adopt needs brokers")
        if self.mode == "create" and (self.brokers or self.sasl or self.tls or self.ca):
            raise PydanticCustomError(
                "kafka", "brokers, sasl, tls and ca belong to mode: adopt; remove them"
            )
        return self


class Pulsar(Section):
    """Pulsar, adopted from outside."""

    type: Literal["pulsar"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 6650
    web_port: Annotated[int, Field(ge=1, le=65535)] = 80
    tenant: str = "public"
    namespace: str = "default"
    tls: bool = False
    token: SecretValue | None = None


class RocksMq(Section):
    """RocksMQ: the log on a standalone's own volume."""

    type: Literal["rocksmq"]


Log = Annotated[Woodpecker | Kafka | Pulsar | RocksMq, Field(discriminator="type")]


class Observability(Section):
    """Metrics, dashboard and logs. Logs always go to stdout."""

    pod_monitors: bool = Field(
        default=False, description="needs the PodMonitor CRD (monitoring.coreos.com)"
    )
    pod_monitor_labels: dict[str, str] = Field(
        default={}, description="labels by which Prometheus selects them"
    )
    dashboard: bool = Field(default=False, description="Grafana dashboard as a ConfigMap")
    dashboard_labels: dict[str, str] = Field(
        default={"grafana_dashboard": "1"}, description="labels by which Grafana finds it"
    )
    scrape_from: tuple[DnsName, ...] = Field(
        default=(), description="namespaces whose pods may reach the metrics ports"
    )


class ValidationJob(Section):
    """The suite as a Job beside Milvus, with the kit's own image."""

    enabled: bool = False
    image: ImageRef | None = Field(
        default=None, description="instead of milvus-kit in stacks/images.yaml"
    )
    profile: Literal["smoke", "acceptance", "soak"] = "smoke"
    rules: Path | None = Field(
        default=None,
        description="for the Job and for whoever validates from outside; relative to stacks/;"
        " default: NAME.slo.yaml",
    )
    resources: Resources = Resources(cpu="1", memory="2Gi")
    placement: Placement = Placement()
    results_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")] = (
        "validation-results"
    )


class Mirror(Section):
    """A registry, or a part of one, and where an air-gapped site keeps its copy."""

    source: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)*$")]
    mirror: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)*$")]


class Images(Section):
    """Which images are used, and from where."""

    require_digest: bool = Field(
        default=False, description="refuse an image without digest; default in prod: true"
    )
    mirrors: tuple[Mirror, ...] = Field(default=(), description="the first that fits is used")
    overrides: dict[str, ImageRef] = Field(
        default={}, description="image by its name in stacks/images.yaml, e.g. minio"
    )
    pull_secrets: tuple[DnsName, ...] = Field(
        default=(), description="existing Secrets of type kubernetes.io/dockerconfigjson"
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
