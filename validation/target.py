"""The target: the one document that crosses from a deployment to its validation.

A Pulumi stack exports it as the output ``target``; the embedded stack writes the same document to
a file; a user writes one by hand for a server of their own. Checks never ask where it came from.

It says how to reach Milvus and the S3 store, and what was *declared* of them. What is measured
later is compared with the declaration, so a field that is not known is left out, never guessed.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from validation.common import addresses, strict_yaml
from validation.common.files import write_whole
from validation.common.patterns import shaped
from validation.common.schemas import refuse_newer
from validation.common.secret_text import why_unusable
from validation.common.stores import (
    ROOT_PATH,
    BucketName,
    StoreBucket,
    StoreEndpoint,
    StoreRegion,
    StoreRootPath,
)
from validation.errors import ConfigurationError

SCHEMA = "milvus-kit/target/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _milvus_address(text: str) -> str:
    if is_lite_file(text):
        return text
    addresses.parsed(text, example="http(s)://HOST:19530/DATABASE, or a path ending in .db")
    return text


def _base_url(text: str) -> str:
    addresses.parsed(text, example="http(s)://HOST:9091", path=True)
    return text


MilvusAddress = Annotated[str, AfterValidator(_milvus_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]


def is_lite_file(uri: str) -> bool:
    """Return whether a URI is the path of a file of Milvus Lite."""
    return uri.endswith(".db") and "://" not in uri


_URI_WITH_PATH = re.compile(r"(https?://[^/?#]+)/+([^/?#]+)/*")
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,254}")


class SecretRef(_Part):
    """Where a secret is. Exactly one of the fields is set.

    ``value`` exists only in memory: it is how a Pulumi secret output arrives, and a document that
    holds one refuses to be written to a file.
    """

    env: str | None = Field(default=None, description="name of an environment variable")
    file: Path | None = Field(default=None, description="path of a file that holds nothing else")
    value: SecretStr | None = Field(default=None, description="the secret itself, in memory only")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("env", "file", "value") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of env, file, value; got {given or 'none'}")
        return self

    def reveal(self, where: str = "secret") -> str:
        """Return the secret.

        Args:
            where: What the secret is for; it appears in the error, the secret never does.

        Raises:
            ConfigurationError: The variable or file is missing, or holds what can be no secret:
                nothing, or white space around it. The line ends of a file are no part of it.
        """
        if self.value is not None:
            found, source = self.value.get_secret_value(), ""
            remedy = "set it again, without a line end"
        elif self.env is not None:
            found, source = _variable(self.env, where), f"environment variable {self.env}"
            remedy = f"export {self.env} again, without a line end or spaces around the secret"
        else:
            path = Path(str(self.file)).expanduser()
            found, source = _content(path, where), str(path)
            remedy = "write the secret alone to it"
        wrong = why_unusable(found)
        if wrong:
            at = f"{where}: {source}" if source else where
            raise ConfigurationError(wrong, where=at, remedy=remedy)
        return found


def _variable(name: str, where: str) -> str:
    found = os.environ.get(name, "")
    if not found:
        raise ConfigurationError(
            f"environment variable {name} is not set",
            where=where,
            remedy=f"export {name} with the secret, or point the target elsewhere",
        )
    return found


def _content(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"cannot read the secret file: {why}",
            where=f"{where}: {path}",
            remedy="create it readable by you alone, or point the target elsewhere",
        ) from None


class Tls(_Part):
    """TLS of one endpoint. ``mode`` mutual also presents a client certificate."""

    mode: Literal["off", "server", "mutual"] = "off"
    ca_pem: str | None = Field(default=None, description="the private CA's certificate, PEM")
    ca_file: Path | None = Field(default=None, description="the same, as a file")
    server_name: str | None = Field(
        default=None, description="name in the certificate, if not the host"
    )
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None


class Auth(_Part):
    """A user of Milvus."""

    user: str
    password: SecretRef


class Role(_Part):
    """One Milvus role as declared, e.g. querynode."""

    name: str
    replicas: Annotated[int, Field(ge=0)] = 1
    image: str | None = None


class Wal(StrEnum):
    """The log that Milvus writes before it acknowledges a row."""

    ROCKSMQ = "rocksmq"
    KAFKA = "kafka"
    PULSAR = "pulsar"
    WOODPECKER_EMBEDDED = "woodpecker-embedded"
    WOODPECKER_SERVICE = "woodpecker-service"


class Milvus(_Part):
    """How Milvus is reached and what was declared of it."""

    uri: MilvusAddress = Field(
        description="http(s)://host:port[/database], or a path ending in .db for Lite"
    )
    deployment: Literal["standalone", "cluster", "lite"] = "standalone"
    version: str | None = shaped(
        r"^v?\d+(\.\d+)*", "a version", "2.6.20", default=None, description="declared version"
    )
    database: str = "default"
    tls: Tls = Tls()
    auth: Auth | None = None
    metrics_uri: BaseUrl | None = Field(default=None, description="base URL that serves /metrics")
    wal: Wal | None = None
    roles: tuple[Role, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _database_of_the_uri(cls, data: Any) -> Any:
        """Take the database that a URI names, as pymilvus does."""
        uri = data.get("uri") if isinstance(data, dict) else None
        if not isinstance(uri, str) or is_lite_file(uri):
            return data
        parts = _URI_WITH_PATH.fullmatch(uri)
        if parts is None:
            return data
        plain, named = parts.groups()
        if not _DATABASE.fullmatch(named):
            raise ValueError(f"the path of milvus.uri is no database's name (seen: {named!r})")
        if data.get("database", named) != named:
            raise ValueError(
                f"milvus.uri names the database {named}, and milvus.database another; name one"
            )
        return {**data, "uri": plain, "database": named}


class Storage(_Part):
    """The S3 storage contract: the same fields whatever the store is."""

    provider: Literal["minio", "x10000", "s3", "emulator"]
    endpoint: StoreEndpoint = Field(description="http(s)://host:port")
    bucket: StoreBucket
    root_path: StoreRootPath | None = Field(
        default=None,
        description="prefix of Milvus's objects; empty: the bucket's root; left out: unknown",
    )
    region: StoreRegion = "us-east-1"
    addressing: Literal["path", "virtual"] = "path"
    tls: Tls = Tls()
    access_key: SecretRef | None = None
    secret_key: SecretRef | None = None
    versioning: Literal["off", "enabled", "suspended"] | None = None
    object_lock: bool | None = None
    encryption: str | None = Field(
        default=None, description="declared encryption at rest, e.g. AES256"
    )

    @model_validator(mode="after")
    def _bucket_of_its_store(self) -> Self:
        if self.provider == "x10000":
            TypeAdapter(BucketName).validate_python(self.bucket)
        return self

    @property
    def root(self) -> str:
        """Below which prefix checks write: Milvus's own, its usual one where that is unknown."""
        return ROOT_PATH if self.root_path is None else self.root_path


class Workload(_Part):
    """A Deployment or StatefulSet of Milvus as declared; for digests see `declared.digests`."""

    kind: Literal["Deployment", "StatefulSet"]
    name: str
    replicas: int | None = Field(default=None, description="left out: an autoscaler's business")
    image: str
    resources: dict[str, dict[str, str]] = Field(
        default={}, description="requests and limits of the container"
    )
    command: tuple[str, ...] | None = Field(
        default=None, description="of the container; left out, as in older targets: not compared"
    )
    arguments: tuple[str, ...] = ()
    configuration: str | None = Field(default=None, description="digest of the ConfigMap's files")
    environment: str | None = Field(default=None, description="digest of the container's variables")
    nvme: str | None = Field(default=None, description="folder for DiskANN: on local NVMe")


class Kubernetes(_Part):
    """Where a deployment runs, for whoever may look there, and what was declared of its objects."""

    namespace: str
    kubeconfig: SecretRef | None = Field(
        default=None, description="left out: KUBECONFIG or ~/.kube/config"
    )
    context: str | None = None
    workloads: tuple[Workload, ...] = ()


class Host(_Part):
    """A machine that the deployment runs on, and what it must have."""

    name: str = shaped(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", "letters, digits, dashes and dots", "node-1"
    )
    address: str | None = Field(default=None, description="left out: this very machine")
    user: str = shaped(r"^[a-z_][a-z0-9_.-]*$", "a user of the host", "root", default="root")
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    private_key: SecretRef | None = Field(default=None, description="left out: ssh's own")
    host_key: str | None = shaped(
        r"^[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+$",
        "type and base64, as in known_hosts",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
        default=None,
        description="left out: ssh's own known_hosts",
    )
    node: Literal["control-plane", "worker"] | None = Field(
        default=None, description="of Kubernetes; left out: none"
    )
    nvme: str | None = shaped(
        r"^/[^\s]*$",
        "an absolute path",
        "/var/lib/milvus",
        default=None,
        description="folder for DiskANN: on local NVMe",
    )
    gpus: Annotated[int, Field(ge=0)] = 0

    @field_validator("address")
    @classmethod
    def _reached(cls, address: str | None) -> str | None:
        return None if address is None else addresses.host(address)


class Restart(_Part):
    """How a run may restart Milvus: it is allowed only where the target says how."""

    kind: Literal["embedded"]
    state_file: Path | None = Field(default=None, description="state of the embedded stack")


class Target(_Part):
    """One deployment to validate."""

    schema_: Literal["milvus-kit/target/1"] = Field(default=SCHEMA, alias="schema")
    name: Annotated[
        str,
        shaped(
            r"^[a-z0-9][a-z0-9-]{0,40}$",
            "at most 41 lower-case letters, digits and dashes",
            "my-milvus",
        ),
    ]
    description: str = ""
    milvus: Milvus
    storage: Storage | None = None
    restart: Restart | None = None
    kubernetes: Kubernetes | None = None
    state_file: Path | None = Field(
        default=None, description="what Pulumi knows of it, as `pulumi stack export` writes it"
    )
    hosts: tuple[Host, ...] = Field(default=(), description="machines that it runs on")
    notes: tuple[str, ...] = Field(default=(), description="what a reader of the report must know")
    rules: Path | None = Field(
        default=None, description="relative to a folder of stacks; default: NAME.slo.yaml"
    )
    configuration: str | None = Field(
        default=None,
        description="digest of what the Job in the cluster depends on; its runs carry it",
    )

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @field_validator("hosts")
    @classmethod
    def _told_apart(cls, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        names = [one.name for one in hosts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two hosts have the same name: {', '.join(twice)}")
        return hosts

    def document(self, *, reveal: bool = False) -> dict[str, Any]:
        """Return the document as plain data, secrets masked.

        Args:
            reveal: Keep in-memory secrets as plain text. Only for handing the document to Pulumi
                as a secret output; never for a file.
        """
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=False)
        return _with_secrets(data, self) if reveal else data


def storage_of(target: Target, *, where: str) -> Storage:
    """Return the storage contract of a target that cannot do without.

    Args:
        target: The target.
        where: Where it comes from, for the error.

    Raises:
        ConfigurationError: It declares none.
    """
    if target.storage is None:
        raise ConfigurationError(
            "this target declares no storage",
            where=where,
            remedy="add a storage section with endpoint, bucket and key references",
        )
    return target.storage


def _with_secrets(data: Any, part: Any) -> Any:
    """Put the plain text of in-memory secrets back where the dump has masked them."""
    if isinstance(part, SecretRef) and part.value is not None:
        return {"value": part.value.get_secret_value()}
    if isinstance(part, tuple):
        return [_with_secrets(dumped, one) for dumped, one in zip(data, part, strict=True)]
    if isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            key = field.alias or name
            if key in data:
                data[key] = _with_secrets(data[key], getattr(part, name))
    return data


def parse(document: Any, *, source: str) -> Target:
    """Return the target that a document describes.

    Args:
        document: Plain data as read from YAML, JSON or a stack output.
        source: Where it came from, for errors: a path or a stack's name.

    Raises:
        ConfigurationError: With every wrong key at once.
    """
    if not isinstance(document, dict):
        raise ConfigurationError(
            "a target is a mapping of keys",
            where=source,
            seen=type(document).__name__,
            remedy="see docs/target.md for an example",
        )
    refuse_newer(document, SCHEMA, "target", where=source)
    try:
        return Target.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(
            f"this is not a target of schema {SCHEMA}" + strict_yaml.wrong_keys(error),
            where=source,
            remedy="mend the keys named above; docs/target.md lists them all",
        ) from None


def load(path: Path) -> Target:
    """Return the target in a YAML or JSON file.

    Raises:
        ConfigurationError: The file is missing, is not YAML, or is not a target.
    """
    document = strict_yaml.load(
        path,
        "target file",
        remedy="`milvus-kit local up` writes one; docs/target.md shows how to write your own",
    )
    return parse(document, source=str(path))


def save(target: Target, path: Path) -> None:
    """Write a target to a YAML file that may be kept.

    Raises:
        ConfigurationError: The target holds a secret in memory; only references may be kept.
    """
    if _holds_value(target):
        raise ConfigurationError(
            "this target holds a secret itself, so it is not written to a file",
            where=str(path),
            remedy="give the secret as a reference: {env: NAME} or {file: PATH}",
        )
    text = yaml.safe_dump(target.document(), sort_keys=False, allow_unicode=True)
    write_whole(path, text)


def _holds_value(part: Any) -> bool:
    if isinstance(part, SecretRef):
        return part.value is not None
    if isinstance(part, tuple):
        return any(_holds_value(one) for one in part)
    if isinstance(part, BaseModel):
        return any(_holds_value(getattr(part, name)) for name in type(part).model_fields)
    return False
