"""What every part of the settings is made of: the base model, names, quantities and secrets.

Keys in a stack's configuration are camelCase, as Pulumi's and Kubernetes's are; attributes in
Python are snake_case. Unknown keys are refused, and a section is frozen once it is read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from infra.settings.quantities import Cpu, Quantity, cores_of
from validation.common import addresses
from validation.common.patterns import shaped


class Section(BaseModel):
    """One mapping of a stack's configuration."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        hide_input_in_errors=True,
        defer_build=True,  # a check of settings builds each validator once, not at every import
    )


class ConfigSecret(str):
    """Name of a secret in the stack's own configuration, never the secret.

    ``pulumi config set --secret s3SecretKey`` makes the key that ``config: s3SecretKey`` names.
    """

    __slots__ = ()
    _NAME = re.compile(r"[a-z][A-Za-z0-9]{1,39}")

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """Check the shape of the name; the message never repeats what may be a secret."""
        return core_schema.no_info_plain_validator_function(
            cls._parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        """Describe it for the reference."""
        return {"type": "string", "format": "name of a secret configuration key"}

    @classmethod
    def _parse(cls, value: Any) -> Self:
        if isinstance(value, str) and cls._NAME.fullmatch(value):
            return cls(value)
        raise PydanticCustomError(
            "config_secret",
            "this takes the name of a secret configuration key (camelCase, at most 40 letters and"
            " digits), never the secret itself",
        )


def secrets_in(part: Any) -> Iterator[tuple[str, ConfigSecret]]:
    """Yield the key path and name of every secret that a model refers to."""
    if isinstance(part, ConfigSecret):
        yield "", part
    elif isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            yield from _under(field.alias or name, getattr(part, name))
    elif isinstance(part, (list, tuple)):
        for index, item in enumerate(part):
            yield from _under(str(index), item)
    elif isinstance(part, dict):
        for name, item in part.items():
            yield from _under(str(name), item)


def _under(key: str, part: Any) -> Iterator[tuple[str, ConfigSecret]]:
    for path, secret in secrets_in(part):
        yield (f"{key}.{path}" if path else key), secret


def existing_secrets_in(part: Any, key: str = "") -> Iterator[str]:
    """Yield the key path of every Kubernetes Secret that must be there before the deployment."""
    if not isinstance(part, BaseModel):
        return
    for name, field in type(part).model_fields.items():
        path = f"{key}.{field.alias or name}".lstrip(".")
        value = getattr(part, name)
        if name in {"existing_secret", "existing_client_secret"} and value is not None:
            yield path
        else:
            yield from existing_secrets_in(value, path)


DnsLabel = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "a name of lower-case letters, digits and dashes",
        "milvus-prod",
    ),
]
"""A Kubernetes object's name, or a namespace's (RFC 1123 label)."""

DnsName = Annotated[
    str,
    shaped(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "a name of lower-case letters, digits, dashes and dots",
        "milvus-s3",
        max_length=253,
    ),
]
"""A name that may hold dots: a storage class, an existing Secret."""

Port = Annotated[int, Field(ge=1, le=65535)]
NodePort = Annotated[int, Field(ge=30000, le=32767)]
Version = Annotated[
    str, shaped(r"^\d+\.\d+\.\d+$", "a version with all its three numbers", "2.6.20")
]
ImageRef = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$",
        "an image with its registry, and a tag, a digest or both",
        "docker.io/milvusdb/milvus:v2.6.20",
        max_length=400,
    ),
]
"""A container image with its registry, and a tag, a digest or both."""


def _cidr(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise PydanticCustomError(
            "cidr", "this is not a network such as 10.0.0.0/8, with the bits of hosts at zero"
        ) from None
    return text


Cidr = Annotated[str, AfterValidator(_cidr)]
"""A network in CIDR form."""


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise PydanticCustomError(
            "ip_address",
            "this is not an IP address, and Kubernetes takes no name here: give the address that"
            " the host has on its own interface (`ip -brief address` on it)",
        ) from None


IpAddress = Annotated[str, AfterValidator(_ip_address)]
"""An IPv4 or IPv6 address."""

HostName = Annotated[str, AfterValidator(addresses.host)]
"""A host's name, or its IPv4 or IPv6 address without brackets."""

HostPort = Annotated[str, AfterValidator(addresses.host_and_port)]
"""A host and its port; an IPv6 address stands in brackets."""


def version_of(version: str) -> tuple[int, int, int]:
    """Return a version as numbers that compare, e.g. ``(2, 6, 20)``."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major, minor, patch


class ExistingKey(Section):
    """One key of a Kubernetes Secret that is already in the deployment's namespace."""

    name: DnsName
    key: Annotated[
        str,
        shaped(
            r"^[-._a-zA-Z0-9]{1,253}$",
            "a key of a Secret: letters, digits, dots, dashes, underscores",
            "password",
        ),
    ]


class SecretValue(Section):
    """Where one secret comes from. Exactly one of the fields is given."""

    config: ConfigSecret | None = Field(
        default=None, description="name of a secret in this stack's configuration"
    )
    existing_secret: ExistingKey | None = Field(
        default=None, description="a key of a Kubernetes Secret that is already there"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.config is None) == (self.existing_secret is None):
            raise PydanticCustomError("one_source", "give exactly one of config and existingSecret")
        return self


class Resources(Section):
    """What a container asks for, and its ceiling."""

    cpu: Cpu | None = Field(default=None, description="CPU requested")
    cpu_limit: Cpu | None = Field(default=None, description="CPU ceiling; none is usual")
    memory: Quantity | None = Field(default=None, description="memory, requested and limited")
    ephemeral_storage: Quantity | None = Field(
        default=None, description="disk of the node, requested and limited; for quotas that ask it"
    )

    @model_validator(mode="after")
    def _ceiling_is_above(self) -> Self:
        if self.cpu and self.cpu_limit and cores_of(self.cpu) > cores_of(self.cpu_limit):
            raise PydanticCustomError(
                "ceiling", "cpuLimit is below cpu: a container may not request more than its limit"
            )
        return self


class Volume(Section):
    """A persistent volume claim."""

    size: Quantity
    storage_class: DnsName | None = Field(
        default=None, description="default: kubernetes.storageClass"
    )


class Toleration(Section):
    """A Kubernetes toleration."""

    key: str | None = None
    operator: str = shaped("^(Equal|Exists)$", "Equal or Exists", "Equal", default="Equal")
    value: str | None = None
    effect: str | None = shaped(
        "^(NoSchedule|PreferNoSchedule|NoExecute)$",
        "NoSchedule, PreferNoSchedule or NoExecute",
        "NoSchedule",
        default=None,
    )


class Placement(Section):
    """Where pods may run."""

    node_selector: dict[str, str] = Field(default={}, description="labels a node must have")
    tolerations: tuple[Toleration, ...] = ()


class Access(Section):
    """How a Service is reached from outside the cluster."""

    type: str = shaped(
        "^(ClusterIP|NodePort|LoadBalancer)$",
        "ClusterIP, NodePort or LoadBalancer",
        "ClusterIP",
        default="ClusterIP",
    )
    host: HostName | None = Field(
        default=None,
        description="name or address that clients use, without a port; it is put into the"
        " certificate and the target. Default: the Service's name inside the cluster",
    )
    node_port: NodePort | None = Field(default=None, description="port of a NodePort Service")
    annotations: dict[str, str] = Field(default={}, description="e.g. of a load balancer")
    source_ranges: tuple[Cidr, ...] = Field(
        default=(), description="CIDRs that may connect; empty: every client the network lets in"
    )


class CertificateAuthority(Section):
    """A private CA. None given means the public ones. At most one of the fields."""

    pem: str | None = Field(default=None, description="the certificate itself, PEM")
    existing_secret: ExistingKey | None = Field(
        default=None, description="a key of a Kubernetes Secret that holds it"
    )

    @model_validator(mode="after")
    def _one_certificate(self) -> Self:
        if (self.pem is None) == (self.existing_secret is None):
            raise PydanticCustomError("one_source", "give exactly one of pem and existingSecret")
        if self.pem is not None and "PRIVATE KEY" in self.pem:
            raise PydanticCustomError(
                "private_key", "this holds a private key; give the CA's certificate alone"
            )
        if self.pem is not None and "-----BEGIN CERTIFICATE-----" not in self.pem:
            raise PydanticCustomError("pem", "this is not a certificate in PEM form")
        return self
