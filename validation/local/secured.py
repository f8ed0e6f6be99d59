"""An embedded Milvus with TLS and users: a CA of its own, and a password of its own for root."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

from infra.secrets import x509
from infra.secrets.x509 import KeyPair
from validation.common.files import write_secret
from validation.errors import CredentialsError
from validation.target import Auth, SecretRef, Target, Tls

HOST = "127.0.0.1"
WELL_KNOWN = "Milvus"
"""Root's password until somebody changes it."""
_DAYS = 397


@dataclasses.dataclass(frozen=True)
class Secured:
    """The files of a server with TLS and users, in the ``secrets`` of its stack's folder."""

    home: Path

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.home / "milvus_ca.pem"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.home / "milvus.pem"

    @property
    def key(self) -> Path:
        """Its key."""
        return self.home / "milvus.key"

    @property
    def password(self) -> Path:
        """Root's password."""
        return self.home / "root_password"

    @property
    def tls(self) -> Tls:
        """What a client has to know of the certificate."""
        return Tls(mode="server", ca_file=self.ca)

    @property
    def auth(self) -> Auth:
        """Whom a client is let in as."""
        return Auth(user="root", password=SecretRef(file=self.password))


def made(folder: Path) -> Secured:
    """Return the files of a stack's server; made up on first use.

    The CA's key is kept nowhere: nothing else will ever be signed by it.
    """
    found = Secured(folder / "secrets")
    found.home.mkdir(mode=0o700, exist_ok=True)
    if not found.password.exists():
        write_secret(found.password, secrets.token_urlsafe(24))
    if not found.certificate.exists():
        ca, server = _issued(_DAYS)
        found.ca.write_text(ca, encoding="ascii")
        write_secret(found.key, server.key)
        found.certificate.write_text(server.certificate, encoding="ascii")
    return found


def _issued(days: float) -> tuple[str, KeyPair]:
    """Return the certificate of a new CA, and a server's on this host that it signed."""
    ca = x509.authority("milvus-kit embedded stack", days=_DAYS)
    return ca.certificate, x509.issue(ca, "milvus", [HOST, "localhost"], client=False, days=days)


def signed(folder: Path, *, days: float) -> str:
    """Write a certificate with its key to ``server.pem`` of a folder; return its CA's.

    Args:
        folder: Where.
        days: How long the certificate holds; it is over where this is negative.
    """
    ca, server = _issued(days)
    write_secret(folder / "server.pem", server.certificate + server.key)
    return ca


def take_over(target: Target) -> None:
    """Give root the password that the target declares, where it still has the well-known one."""
    from validation.milvus.connection import connect  # noqa: PLC0415  (pymilvus is slow to import)

    auth = target.milvus.auth
    assert auth is not None  # noqa: S101  (a secured stack always declares it)
    try:
        with connect(target):
            return
    except CredentialsError:
        pass
    known = auth.model_copy(update={"password": SecretRef.model_validate({"value": WELL_KNOWN})})
    milvus = target.milvus.model_copy(update={"auth": known})
    with connect(target.model_copy(update={"milvus": milvus})) as connection:
        wanted = auth.password.reveal("milvus.auth.password")
        with connection.explained("change root's password"):
            connection.client.update_password(auth.user, WELL_KNOWN, wanted)
