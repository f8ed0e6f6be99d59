"""Object storage: MinIO that the kit makes, an HPE Alletra Storage MP X10000, or another S3."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from infra.settings.model import (
    Access,
    CertificateAuthority,
    ConfigSecret,
    DnsName,
    Placement,
    Resources,
    Section,
    Volume,
)
from infra.settings.quantities import Quantity
from validation.common.patterns import shaped
from validation.common.stores import (
    ROOT_PATH,
    BucketName,
    RootPath,
    StoreBucket,
    StoreEndpoint,
    StoreRegion,
)


class _Storage(Section):
    bucket: StoreBucket = Field(default="milvus", description="bucket of this Milvus alone")
    root_path: RootPath = Field(
        default=ROOT_PATH, description="prefix of all of Milvus's objects (minio.rootPath)"
    )
    region: StoreRegion = "us-east-1"
    protect: bool = Field(
        default=False, description="`destroy` refuses to delete it; default in prod: true"
    )
    retain_on_delete: bool = Field(
        default=False,
        description="what holds data stays when it leaves the program; default in prod: true",
    )


class MinioTls(Section):
    """TLS of the MinIO that the kit makes."""

    mode: Literal["generated", "existing", "off"] = Field(
        default="generated", description="generated: a CA of this stack's own signs it"
    )
    existing_secret: DnsName | None = Field(
        default=None, description="mode existing: Secret with tls.crt, tls.key and ca.crt"
    )

    @model_validator(mode="after")
    def _secret_goes_with_existing(self) -> Self:
        if (self.mode == "existing") != (self.existing_secret is not None):
            raise PydanticCustomError(
                "tls", "existingSecret goes with mode: existing, and only with it"
            )
        return self


class Minio(_Storage):
    """MinIO in the cluster: one server with one volume, for development and tests."""

    type: Literal["minio"]
    bucket: BucketName = Field(default="milvus", description="bucket of this Milvus alone")
    volume: Volume = Volume(size="20Gi")
    resources: Resources = Resources(cpu="250m", memory="1Gi")
    placement: Placement = Placement()
    tls: MinioTls = MinioTls()
    access: Access = Field(default=Access(), description="how it is reached from outside")


class S3KeysInConfig(Section):
    """Both halves of an S3 key, as secrets of this stack's configuration."""

    access_key: ConfigSecret
    secret_key: ConfigSecret


class S3KeysInSecret(Section):
    """A Kubernetes Secret in the deployment's namespace that holds an S3 key."""

    name: DnsName
    access_key: str = Field(default="accesskey", description="its key with the access key id")
    secret_key: str = Field(default="secretkey", description="its key with the secret key")


class S3Credentials(Section):
    """Milvus's S3 key. Exactly one of the fields is given."""

    config: S3KeysInConfig | None = None
    existing_secret: S3KeysInSecret | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.config is None) == (self.existing_secret is None):
            raise PydanticCustomError("one_source", "give exactly one of config and existingSecret")
        return self


class Tag(Section):
    """A bucket's tag."""

    key: str = Field(min_length=1, max_length=128)
    value: str = Field(default="", max_length=256)


class GreenLake(Section):
    """The management API of an X10000: HPE GreenLake Object Storage, REST v1alpha1."""

    system_id: Annotated[
        str, shaped(r"^[A-Za-z0-9-]{1,64}$", "an X10000's identifier", "8UW0002928")
    ] = Field(description="the X10000's identifier, e.g. 8UW0002928")
    region: Literal["us-west", "eu-west", "eu-central", "ap-northeast"] | None = Field(
        default=None, description="region of the GreenLake workspace"
    )
    base_url: str | None = Field(default=None, description="instead of region: the API's base URL")
    token_url: str = Field(
        default="https://sso.common.cloud.hpe.com/as/token.oauth2",
        description="where the client credentials are exchanged for a token",
    )
    client_id: ConfigSecret
    client_secret: ConfigSecret
    user_name: Annotated[
        str,
        shaped(
            r"^[A-Za-z0-9_-]{1,64}$", "a name of letters, digits, dashes and underscores", "milvus"
        ),
    ] = Field(default="milvus", description="object user that is created for Milvus")
    policy_name: Annotated[
        str,
        shaped(
            r"^[A-Za-z0-9_-]{1,64}$", "a name of letters, digits, dashes and underscores", "milvus"
        ),
    ] = Field(default="milvus", description="access policy that is created for that user")
    compression: bool = Field(
        default=False, description="vectors hardly compress; measure before switching it on"
    )
    tags: tuple[Tag, ...] = ()
    task_timeout_seconds: Annotated[int, Field(ge=10, le=7200)] = 600

    @field_validator("base_url", "token_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[^\s@?#]+", url):
            raise PydanticCustomError("url", "this is not an http(s) URL without user and query")
        return url.rstrip("/") if url else url

    @model_validator(mode="after")
    def _one_host(self) -> Self:
        if (self.region is None) == (self.base_url is None):
            raise PydanticCustomError("one_source", "give exactly one of region and baseUrl")
        return self

    def url(self) -> str:
        """Return the base URL of the API."""
        return self.base_url or f"https://{self.region}.api.greenlake.hpe.com"


class _Endpoint(_Storage):
    endpoint: StoreEndpoint = Field(
        description="http(s)://host[:port], one address; for several nodes a name balanced by DNS"
    )
    allow_insecure: bool = Field(
        default=False, description="accept http:// in prod: data and keys travel in the clear"
    )
    addressing: Literal["path", "virtual"] = Field(
        default="path", description="how the bucket is named in a request"
    )
    ca: CertificateAuthority | None = Field(
        default=None, description="private CA of the endpoint; none: the public ones"
    )
    credentials: S3Credentials | None = None
    encryption: (
        Annotated[
            str, shaped(r"^[A-Za-z0-9:._-]{1,40}$", "a word for the encryption at rest", "AES256")
        ]
        | None
    ) = Field(
        default=None, description="declared encryption at rest, e.g. AES256; acceptance tests it"
    )
    versioning: Literal["off", "enabled", "suspended"] = Field(
        default="off", description="declared versioning of Milvus's bucket"
    )
    object_lock: bool = Field(default=False, description="declared object lock of the bucket")
    conformance_profile: Path | None = Field(
        default=None,
        description="profile that `milvus-kit preflight` recorded, relative to stacks/; a stack"
        " that contradicts it is refused",
    )
    capacity: Quantity | None = Field(default=None, description="space set aside for this bucket")

    @property
    def secure(self) -> bool:
        """Tell whether the endpoint speaks TLS."""
        return self.endpoint.startswith("https://")


class X10000(_Endpoint):
    """HPE Alletra Storage MP X10000. Its data path is S3 over TCP; Milvus has no use for RDMA."""

    type: Literal["x10000"]
    bucket: BucketName = Field(default="milvus", description="bucket of this Milvus alone")
    mode: Literal["adopt", "provision"] = Field(
        default="adopt",
        description="adopt: bucket and key are there; provision: made through GreenLake",
    )
    greenlake: GreenLake | None = Field(default=None, description="needed by mode: provision")


class S3(_Endpoint):
    """Any other S3 store: bucket and key are there."""

    type: Literal["s3"]


Storage = Annotated[Minio | X10000 | S3, Field(discriminator="type")]
