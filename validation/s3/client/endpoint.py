"""An S3 store as its contract declares it: where it listens, whose keys it takes, whom we trust.

What every client of the store needs, whichever library it is made with.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import os
import re
import socket
import ssl
import tempfile
from pathlib import Path

from validation.common import addresses
from validation.common.trust import accept_issuers
from validation.errors import ConfigurationError
from validation.target import Storage

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
_LOOKUPS = 8
_CERTIFICATE = re.compile(
    r"-----BEGIN (?:TRUSTED )?CERTIFICATE-----.*?-----END (?:TRUSTED )?CERTIFICATE-----", re.DOTALL
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
        usual = 443 if self.tls else 80
        return addresses.netloc(self.host, None if self.port == usual else self.port)

    @property
    def numeric(self) -> bool:
        """Whether it is an IP address, below which no bucket can have a name."""
        return addresses.is_ip(self.host)

    def of_bucket(self, bucket: str) -> Endpoint:
        """Return where a bucket is asked for in virtual-host style."""
        return dataclasses.replace(self, host=f"{bucket}.{self.host}")


def endpoint_of(storage: Storage, *, where: str = "storage.endpoint") -> Endpoint:
    """Return where a store listens.

    Args:
        storage: The store.
        where: Who gave its endpoint, for the error.

    Raises:
        ConfigurationError: The endpoint is not ``http(s)://host[:port]``.
    """
    try:
        given = addresses.parsed(storage.endpoint, example="http(s)://HOST:PORT")
    except ValueError as error:
        raise ConfigurationError(
            f"the S3 endpoint is not a URL of the form http(s)://host:port: {error}",
            where=where,
            remedy="give scheme, host and port only; bucket and keys have fields of their own",
        ) from None
    return Endpoint(given.host, given.port or (443 if given.tls else 80), given.tls)


def asked_of(storage: Storage) -> Endpoint:
    """Return whom requests for the declared bucket go to: its own name in virtual-host style.

    An address can have no name below it; there the bucket is only named in the Host header.
    """
    endpoint = endpoint_of(storage)
    by_name = storage.addressing == "virtual" and not endpoint.numeric
    return endpoint.of_bucket(storage.bucket) if by_name else endpoint


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


def ca_pem_of(storage: Storage) -> str | None:
    """Return the private CA's certificates, PEM; None if the system's store is to be used.

    What else a file holds, such as comments in whatever encoding, is left out.

    Raises:
        ConfigurationError: The named file cannot be read, or holds no certificate.
    """
    given, where = storage.tls.ca_pem, "storage.tls.ca_pem"
    if storage.tls.ca_file is not None and given is None:
        path = storage.tls.ca_file.expanduser()
        where = f"storage.tls.ca_file: {path}"
        try:
            given = path.read_bytes().decode("latin-1")
        except OSError as error:
            raise ConfigurationError(
                f"there is no CA certificate file: {error.strerror}",
                where=where,
                remedy="give the path of the PEM file with the CA that signed the store's"
                " certificate",
            ) from None
    if given is None:
        return None
    certificates = _CERTIFICATE.findall(given)
    if not certificates:
        raise ConfigurationError(
            "this is not a PEM certificate",
            where=where,
            remedy="give the CA's certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        )
    return "\n".join(certificates) + "\n"


def ca_file_of(storage: Storage) -> Path | None:
    """Return a file with what `ca_pem_of` returns, for clients that take nothing else."""
    pem = ca_pem_of(storage)
    return None if pem is None else _file_with(pem)


def trusted_file_of(storage: Storage) -> Path | None:
    """Return a file of all certificates that are trusted; None if this host has no store of them.

    For clients that take one file and have a list of authorities of their own otherwise (boto3 has
    Mozilla's): with that, a CA that an administrator has put into the system's store would be
    refused here, and accepted by Milvus.

    Raises:
        ConfigurationError: The named file cannot be read.
    """
    return ca_file_of(storage) or _system_store(*_system_paths())


def _system_paths() -> tuple[str | None, str | None]:
    """Return file and folder of the system's store; SSL_CERT_FILE and SSL_CERT_DIR name others."""
    paths = ssl.get_default_verify_paths()
    # Python tells the first of several folders only.
    folders = os.environ.get(paths.openssl_capath_env) or paths.capath
    return paths.cafile, folders


@functools.lru_cache
def _system_store(file: str | None, folders: str | None) -> Path | None:
    """Return one file with the system's store, as OpenSSL reads it: a file and folders."""
    if file and not folders:
        return Path(file)
    found = [Path(file)] if file else []
    for folder in (folders or "").split(os.pathsep):
        # OpenSSL finds certificates by such names alone: a hash, and a number.
        found += sorted(Path(folder).glob("[0-9a-f]*.[0-9]")) if folder else []
    certificates: dict[str, None] = {}  # a folder repeats what is in the file
    for path in found:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        certificates |= dict.fromkeys(_CERTIFICATE.findall(text))
    return _file_with("\n".join(certificates) + "\n") if certificates else None


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
            where="storage.tls",
            remedy="give the CA's certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        ) from None
    context.hostname_checks_common_name = False
    accept_issuers(context)
    identify(storage, context)
    return context


def identify(storage: Storage, context: ssl.SSLContext) -> None:
    """Load the client's own certificate, if one is declared.

    Raises:
        ConfigurationError: It cannot be used.
    """
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
