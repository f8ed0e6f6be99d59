"""What stands around Milvus: etcd, the log, observability, in-cluster validation, images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from infra.settings.model import (
    CertificateAuthority,
    ConfigSecret,
    DnsName,
    HostName,
    HostPort,
    ImageRef,
    Placement,
    Resources,
    SecretValue,
    Section,
    Volume,
)
from infra.settings.quantities import Quantity, bytes_of
from validation.common.patterns import shaped
from validation.common.stores import KeyPrefix

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
    hours: Annotated[int, Field(ge=1, le=720)] = Field(
        default=24,
        description="how old a snapshot may be and can still be restored: older ones are removed,"
        " and for as long Milvus keeps the files of what was dropped or compacted",
    )
    prefix: KeyPrefix = "etcd-snapshots"


class Etcd(Section):
    """The metadata store."""

    members: Literal[1, 3] = Field(default=1, description="default in prod: 3")
    auth: bool = Field(default=False, description="default in prod: true")
    tls: bool = Field(default=False, description="client and peer TLS; default in prod: true")
    volume: Volume = Volume(size="20Gi")
    quota: Quantity | None = Field(
        default=None,
        description="what it keeps at most, up to 8Gi; default: half its volume, 4Gi at most, and"
        " 8Gi from 50Gi on",
    )
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

    @model_validator(mode="after")
    def _quota_fits(self) -> Self:
        most = min(bytes_of("8Gi"), bytes_of(self.volume.size) // 2)
        if self.quota is not None and bytes_of(self.quota) > most:
            raise PydanticCustomError(
                "quota",
                "quota {quota} is more than half of the volume of {size}, whose other half is for"
                " etcd's log, or more than 8Gi, beyond which etcd does not work well; leave it out,"
                " or enlarge volume.size",
                {"quota": self.quota, "size": self.volume.size},
            )
        return self


class Woodpecker(Section):
    """Woodpecker, Milvus's own log (2.6 and later)."""

    type: Literal["woodpecker"]
    mode: Literal["embedded", "service"] = Field(
        default="embedded",
        description="embedded: written to the object store by the streaming nodes; service: own"
        " pods (3.0.1 and later, cluster), three of which keep each write",
    )
    replicas: Annotated[int, Field(ge=4, le=64)] = Field(
        default=4,
        description="mode service: its servers; one more than keep a write, as one may be away",
    )
    volume: Volume = Volume(size="50Gi")
    resources: Resources = Resources(cpu="500m", memory="2Gi")
    placement: Placement = Placement()


class Sasl(Section):
    """SASL towards Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    user: str
    password: SecretValue


class Kafka(Section):
    """Kafka: adopted from outside, or a small one in the cluster (KRaft, one broker)."""

    type: Literal["kafka"]
    mode: Literal["adopt", "create"]
    brokers: tuple[HostPort, ...] = Field(default=(), description="mode adopt")
    sasl: Sasl | None = Field(default=None, description="mode adopt")
    tls: bool = Field(default=False, description="mode adopt: brokers speak TLS")
    ca: CertificateAuthority | None = Field(default=None, description="mode adopt: private CA")
    existing_client_secret: DnsName | None = Field(
        default=None,
        description="mode adopt: Secret with tls.crt and tls.key, which Milvus shows the brokers",
    )
    volume: Volume = Field(default=Volume(size="20Gi"), description="mode create")
    resources: Resources = Field(
        default=Resources(cpu="250m", memory="1Gi"), description="mode create"
    )
    placement: Placement = Field(default=Placement(), description="mode create")

    @model_validator(mode="after")
    def _fields_go_with_mode(self) -> Self:
        if self.mode == "adopt" and not self.brokers:
            raise PydanticCustomError("kafka", "mode adopt needs brokers")
        adopting = (self.brokers, self.sasl, self.tls, self.ca, self.existing_client_secret)
        if self.mode == "create" and any(adopting):
            raise PydanticCustomError(
                "kafka",
                "brokers, sasl, tls, ca and existingClientSecret belong to mode: adopt; remove"
                " them",
            )
        if not self.tls and (self.ca or self.existing_client_secret):
            raise PydanticCustomError(
                "kafka", "ca and existingClientSecret are for TLS: set tls: true"
            )
        return self


class Pulsar(Section):
    """Pulsar, adopted from outside."""

    type: Literal["pulsar"]
    host: HostName = Field(description="without scheme and port")
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


class Scraper(Section):
    """Pods that collect metrics."""

    namespace: DnsName
    pods: dict[str, str] = Field(
        default={"app.kubernetes.io/name": "prometheus"},
        min_length=1,
        description="labels of these pods",
    )


class Observability(Section):
    """Metrics, dashboard and logs. Logs always go to stdout."""

    pod_monitors: bool = Field(
        default=False, description="needs the PodMonitor CRD (monitoring.coreos.com)"
    )
    pod_monitor_labels: dict[str, str] = Field(
        default={}, description="labels by which Prometheus selects them"
    )
    alerts: bool = Field(
        default=False, description="needs the PrometheusRule CRD (monitoring.coreos.com)"
    )
    alert_labels: dict[str, str] = Field(
        default={}, description="labels by which Prometheus selects them"
    )
    runbooks: str = Field(
        default="docs/alerts.md", description="address of that page, to which each alert links"
    )
    dashboard: bool = Field(default=False, description="Grafana dashboard as a ConfigMap")
    dashboard_labels: dict[str, str] = Field(
        default={"grafana_dashboard": "1"}, description="labels by which Grafana finds it"
    )
    scrape_from: tuple[Scraper, ...] = Field(
        default=(),
        description="the pods that may reach the metrics ports, where Milvus also serves what"
        " nobody has to log in for",
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
    results_prefix: KeyPrefix = "validation-results"


class Mirror(Section):
    """A registry, or a part of one, and where an air-gapped site keeps its copy."""

    source: Annotated[
        str,
        shaped(
            r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)*$",
            "a registry, or a part of one",
            "registry.example.com/mirror",
        ),
    ]
    mirror: Annotated[
        str,
        shaped(
            r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)*$",
            "a registry, or a part of one",
            "registry.example.com/mirror",
        ),
    ]


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
    pull_login: ConfigSecret | None = Field(
        default=None,
        description="secret configuration key with a Docker config.json, of which such a Secret is"
        " made",
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"


class Migration(Section):
    """Decisions of the first day that change, once the data is where the new ones say."""

    accept: tuple[
        Literal[
            "log.type",
            "log.namespace",
            "storage.bucket",
            "storage.rootPath",
            "milvus.mode",
            "milvus.version",
            "kubernetes.namespace",
        ],
        ...,
    ] = Field(
        default=(),
        description="keys whose change is not refused; remove them after one `pulumi up`",
    )
    log_switch: str | None = Field(
        default=None,
        description="record of `milvus-kit switch-log`, beside the stack's file: log.type may"
        " become what Milvus (3.0 and later) was proved to have gone over to; remove it after one"
        " `pulumi up`",
    )
