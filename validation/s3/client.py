"""Clients of one S3 store, made from the storage contract, and what their errors mean.

boto3 speaks S3 as users know it; it is set to path style and to checksums only where S3 requires
them, because that is what third-party stores and Milvus's own clients have in common. It does not
retry by itself: a conformance check must see the first answer. The one exception is a kept-alive
connection that turns out to be closed (servers do that after refusing a body they did not read):
there was no answer then, and HTTP clients, Milvus's too, open another one.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.exceptions as boto
from boto3.session import Session
from botocore.config import Config
from botocore.parsers import ResponseParserError

from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MeasurementError,
    MilvusKitError,
    UnreachableError,
)
from validation.target import Storage

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
_LOOKUPS = 8

REFUSED = frozenset(
    {"403", "401", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
    | {"Forbidden", "InvalidToken", "AllAccessDisabled", "AccountProblem"}
)
THROTTLED = frozenset({"SlowDown", "503", "429", "TooManyRequests", "ServiceUnavailable"})
FULL = frozenset(
    {"XMinioStorageFull", "507", "InsufficientStorage", "QuotaExceeded", "InsufficientCapacity"}
)


@dataclasses.dataclass(frozen=True)
class Keys:
    """An access key with its secret. Its text form shows neither."""

    access: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(***)"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where the store listens."""

    host: str
    port: int
    tls: bool

    @property
    def netloc(self) -> str:
        """Host and port as in a Host header: the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.tls else 80
        return host if self.port == usual else f"{host}:{self.port}"


def endpoint_of(storage: Storage) -> Endpoint:
    """Return where a store listens.

    Raises:
        ConfigurationError: The endpoint is not ``http(s)://host[:port]``.
    """
    parts = urlsplit(storage.endpoint)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or port == -1
        or parts.path.strip("/")
        or parts.query
        or parts.username
    ):
        raise ConfigurationError(
            "the S3 endpoint is not a URL of the form http(s)://host:port",
            where="storage.endpoint",
            seen=storage.endpoint if not parts.username else "(holds credentials)",
            remedy="give scheme, host and port only; bucket and keys have fields of their own",
        )
    tls = parts.scheme == "https"
    return Endpoint(parts.hostname, port or (443 if tls else 80), tls)


def addresses_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what an endpoint's name resolves to, as seen from this host.

    It is asked several times: a name that DNS balances may be answered with one address at a time.

    Raises:
        OSError: The name does not resolve.
    """
    found: set[str] = set()
    for _ in range(_LOOKUPS):
        answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        found |= {str(answer[4][0]) for answer in answers}
    return tuple(sorted(found))


def keys_of(storage: Storage) -> Keys:
    """Return the store's key pair.

    Raises:
        ConfigurationError: None is declared, or a reference leads nowhere.
    """
    if storage.access_key is None or storage.secret_key is None:
        raise ConfigurationError(
            "no S3 keys are declared",
            where="storage.access_key, storage.secret_key",
            remedy="give them as references: {env: NAME} or {file: PATH}",
        )
    return Keys(
        storage.access_key.reveal("storage.access_key"),
        storage.secret_key.reveal("storage.secret_key"),
    )


def ca_file_of(storage: Storage) -> Path | None:
    """Return a file with the private CA's certificate; None if the system's store is to be used.

    Raises:
        ConfigurationError: The named file cannot be read.
    """
    if storage.tls.ca_pem is not None:
        return _file_with(storage.tls.ca_pem)
    if storage.tls.ca_file is None:
        return None
    path = storage.tls.ca_file.expanduser()
    if not path.is_file():
        raise ConfigurationError(
            "there is no CA certificate file",
            where=f"storage.tls.ca_file: {path}",
            remedy="give the path of the PEM file with the CA that signed the store's certificate",
        )
    return path


@functools.lru_cache
def _file_with(pem: str) -> Path:
    """Keep a certificate in a file while this process runs: boto3 takes only paths."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as stream:
        stream.write(pem)
    path = Path(stream.name)
    atexit.register(path.unlink, missing_ok=True)
    return path


def tls_context(storage: Storage) -> ssl.SSLContext:
    """Return the TLS settings both of Milvus's clients can meet: a CA file or the system's store.

    The common name is not accepted in place of a subject alternative name, since Go's client,
    which is one of the two, refuses such certificates.

    Raises:
        ConfigurationError: The CA file is no certificate, or the client's own cannot be used.
    """
    ca_file = ca_file_of(storage)
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (ssl.SSLError, OSError):
        raise ConfigurationError(
            "this is not a PEM certificate",
            where=f"storage.tls.ca_file: {ca_file}",
            remedy="give the CA's certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        ) from None
    context.hostname_checks_common_name = False
    tls = storage.tls
    if tls.client_certificate_file is not None:
        try:
            context.load_cert_chain(tls.client_certificate_file, tls.client_key_file)
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"the client certificate and its key cannot be used: {error.strerror or error}",
                where=f"storage.tls: {tls.client_certificate_file}, {tls.client_key_file}",
                remedy="give readable PEM files of a certificate and of the key that belongs to it",
            ) from None
    return context


@functools.lru_cache
def _session() -> Session:
    """One session, so that the service's description is read from disk once."""
    return Session()


def connect(
    storage: Storage,
    *,
    keys: Keys | None = None,
    anonymous: bool = False,
    region: str | None = None,
    checksums: str = "when_required",
    read_seconds: float = READ_SECONDS,
    connections: int = 64,
) -> Any:
    """Return a boto3 S3 client of a store.

    Args:
        storage: The store.
        keys: Used instead of the declared ones.
        anonymous: Sign nothing.
        region: Used instead of the declared one.
        checksums: ``when_required``, or ``when_supported`` as AWS's own clients do by default.
        read_seconds: How long to wait for an answer.
        connections: Size of the connection pool.

    Raises:
        ConfigurationError: The contract's endpoint, keys or CA file cannot be used.
    """
    endpoint = endpoint_of(storage)
    pair = None if anonymous else keys or keys_of(storage)
    tls = storage.tls
    certificate = None
    if tls.client_certificate_file is not None:
        certificate = (str(tls.client_certificate_file), str(tls.client_key_file))
    client = _session().client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=region or storage.region,
        aws_access_key_id=pair.access if pair else None,
        aws_secret_access_key=pair.secret if pair else None,
        verify=(str(ca_file_of(storage) or True) if tls.ca_file or tls.ca_pem else True)
        if endpoint.tls
        else False,
        config=Config(
            signature_version=botocore.UNSIGNED if anonymous else "s3v4",
            s3={"addressing_style": storage.addressing},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=connections,
            client_cert=certificate,
            proxies={},
        ),
    )
    client.meta.events.register("needs-retry.s3", _on_closed_connection)
    return client


def _on_closed_connection(
    attempts: int, caught_exception: Exception | None, **_: object
) -> float | None:
    """Return the seconds after which to send a request again; None if it must not be."""
    closed = isinstance(caught_exception, boto.ConnectionClosedError)
    return 0.0 if closed and attempts == 1 else None


def error_code(error: boto.ClientError) -> str:
    """Return the S3 error code of an answer, e.g. ``NoSuchKey``; the status where there is none."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of an answer that was an error; 0 if unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


@contextmanager
def translated(storage: Storage) -> Iterator[None]:
    """Turn the errors of boto3 inside the block into ours."""
    try:
        yield
    except boto.ClientError as error:
        raise _from_answer(storage, error) from None
    except (boto.BotoCoreError, ResponseParserError) as error:
        raise from_transport(storage, error) from None


@dataclasses.dataclass(frozen=True)
class _Meaning:
    """What a family of S3 error answers means for the user."""

    kind: type[MilvusKitError]
    codes: frozenset[str]
    statuses: frozenset[int]
    what: str
    remedy: str


_MEANINGS = (
    _Meaning(
        ConfigurationError,
        frozenset({"NoSuchBucket"}),
        frozenset({404}),
        "there is no such bucket",
        "create the bucket, or correct storage.bucket",
    ),
    _Meaning(
        ConfigurationError,
        frozenset({"RequestTimeTooSkewed"}),
        frozenset(),
        "this host's clock and the store's differ by more than S3 allows",
        "set both clocks by NTP",
    ),
    _Meaning(
        ConfigurationError,
        frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect"}),
        frozenset({301, 307, 308}),
        "the store expects another region or endpoint",
        "set storage.region to the store's region",
    ),
    _Meaning(
        CredentialsError,
        REFUSED,
        frozenset({401, 403}),
        "the store refuses these keys",
        "check access key, secret and the policy that lets the key use this bucket",
    ),
    _Meaning(
        UnreachableError,
        FULL,
        frozenset({507}),
        "the store is full",
        "free space or raise the quota; Milvus stops writing on a full store",
    ),
    _Meaning(
        UnreachableError,
        THROTTLED,
        frozenset({429, 503}),
        "the store is too busy to answer",
        "wait until its load is lower, or look at its health",
    ),
)


def _from_answer(storage: Storage, error: boto.ClientError) -> MilvusKitError:
    """Return what an S3 error answer means for the user."""
    code, status = error_code(error), status_of(error)
    where = f"{storage.endpoint}, bucket {storage.bucket}, region {storage.region}"
    seen = f"{error.operation_name}: {status} {code}"
    for meaning in _MEANINGS:
        if code in meaning.codes or status in meaning.statuses:
            return meaning.kind(meaning.what, where=where, seen=seen, remedy=meaning.remedy)
    return MeasurementError("the store answered with an error", where=where, seen=seen)


def from_transport(storage: Storage, error: Exception) -> MilvusKitError:
    """Return what a failure without an S3 answer means for the user."""
    where = storage.endpoint
    kinds: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        (
            (boto.SSLError,),
            "the TLS handshake with the store failed",
            "check storage.tls: the CA, and that the certificate names this host",
        ),
        (
            (boto.ConnectTimeoutError, boto.ReadTimeoutError),
            "the store does not answer in time",
            "check the network path and the store's load",
        ),
        (
            (boto.EndpointConnectionError,),
            "nothing answers at this endpoint",
            "check host, port and firewall, and that the store is up",
        ),
        (
            (ResponseParserError,),
            "the answer is not S3's XML",
            "this may be a web console or a proxy: give the S3 data endpoint",
        ),
    )
    for types, what, remedy in kinds:
        if isinstance(error, types):
            return UnreachableError(what, where=where, remedy=remedy)
    return UnreachableError(
        f"the connection to the store broke: {type(error).__name__}",
        where=where,
        remedy="check the network path and the store's log",
    )
