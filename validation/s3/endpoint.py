"""An S3 store as its contract declares it: where it listens, whose keys it takes, whom we trust.

What every client of the store needs, whichever library it is made with.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import socket
import ssl
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from validation.errors import ConfigurationError
from validation.target import Storage

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
_LOOKUPS = 8


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


def client_certificate_of(storage: Storage) -> tuple[str, str] | None:
    """Return the files of our own certificate and of its key; None if we show none.

    Without a file for the key, the certificate's holds both.
    """
    certificate = storage.tls.client_certificate_file
    if certificate is None:
        return None
    key = storage.tls.client_key_file or certificate
    return str(certificate.expanduser()), str(key.expanduser())


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
    own = client_certificate_of(storage)
    if own is not None:
        try:
            context.load_cert_chain(*own)
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"the client certificate and its key cannot be used: {error.strerror or error}",
                where=f"storage.tls: {', '.join(own)}",
                remedy="give readable PEM files of a certificate and of the key that belongs to it",
            ) from None
    return context
