"""The target: the one document that crosses from a deployment to its validation.

A Pulumi stack exports it as the output ``target``; the embedded stack writes the same document to
a file; a user writes one by hand for a server of their own. Checks never ask where it came from.

It says how to reach Milvus and the S3 store, and what was *declared* of them. What is measured
later is compared with the declaration, so a field that is not known is left out, never guessed.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from validation import strict_yaml
from validation.errors import ConfigurationError
from validation.files import write_whole

SCHEMA = "milvus-kit/target/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _without_credentials(address: str) -> str:
    """Refuse an address with a user or password in it: a target is kept with its run."""
    if "@" in urlsplit(address).netloc:
        raise ValueError("the address holds credentials; give them as references of their own")
    return address


_Address = Annotated[str, AfterValidator(_without_credentials)]


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
            ConfigurationError: The variable or file is missing or empty.
        """
        if self.value is not None:
            return self.value.get_secret_value()
        if self.env is not None:
            found = os.environ.get(self.env, "")
            if not found:
                raise ConfigurationError(
                    f"environment variable {self.env} is not set",
                    where=where,
                    remedy=f"export {self.env} with the secret, or point the target elsewhere",
                )
            return found
        path = Path(str(self.file)).expanduser()
        try:
            found = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the secret file: {error.strerror}",
                where=f"{where}: {path}",
                remedy="create it readable by you alone, or point the target elsewhere",
            ) from None
        if not found:
            raise ConfigurationError(
                "the secret file is empty",
                where=f"{where}: {path}",
                remedy="write the secret to it",
            )
        return found


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

    uri: _Address = Field(description="http(s)://host:port, or a path ending in .db for Lite")
    deployment: Literal["standalone", "cluster", "lite"] = "standalone"
    version: str | None = Field(
        default=None, pattern=r"^v?\d+(\.\d+)*", description="declared version, e.g. 2.6.20"
    )
    database: str = "default"
    tls: Tls = Tls()
    auth: Auth | None = None
    metrics_uri: _Address | None = Field(default=None, description="base URL that serves /metrics")
    wal: Wal | None = None
    roles: tuple[Role, ...] = ()


class Storage(_Part):
    """The S3 storage contract: the same fields whatever the store is."""

    provider: Literal["minio", "x10000", "s3", "emulator"]
    endpoint: _Address = Field(description="http(s)://host:port")
    bucket: str
    root_path: str = Field(default="files", description="prefix of all of Milvus's objects")
    region: str = "us-east-1"
    addressing: Literal["path", "virtual"] = "path"
    tls: Tls = Tls()
    access_key: SecretRef | None = None
    secret_key: SecretRef | None = None
    versioning: Literal["off", "enabled", "suspended"] | None = None
    object_lock: bool | None = None
    encryption: str | None = Field(
        default=None, description="declared encryption at rest, e.g. AES256"
    )


class Restart(_Part):
    """How a run may restart Milvus: it is allowed only where the target says how."""

    kind: Literal["embedded"]
    state_file: Path | None = Field(default=None, description="state of the embedded stack")


class Target(_Part):
    """One deployment to validate."""

    schema_: Literal["milvus-kit/target/1"] = Field(default=SCHEMA, alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    description: str = ""
    milvus: Milvus
    storage: Storage | None = None
    restart: Restart | None = None
    notes: tuple[str, ...] = Field(default=(), description="what a reader of the report must know")
    rules: Path | None = Field(
        default=None, description="relative to a folder of stacks; default: NAME.slo.yaml"
    )
    configuration: str | None = Field(
        default=None,
        description="digest of what the Job in the cluster depends on; its runs carry it",
    )

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

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
    if isinstance(part, BaseModel):
        return any(_holds_value(getattr(part, name)) for name in type(part).model_fields)
    return False
