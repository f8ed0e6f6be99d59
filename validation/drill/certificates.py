"""A private CA for one drill, and the certificates it signs for the proxy on loopback."""

from __future__ import annotations

from pathlib import Path

from validation.common.files import write_secret
from validation.errors import UnsupportedError
from validation.local import trust
from validation.s3.faults.proxy import Certificate

_HOST = "127.0.0.1"
_DAYS_GOOD = 1.0
_DAYS_EXPIRED = -1 / 1440
"""It ended a minute ago."""


class Certificates:
    """A CA that a server started by the kit can be made to trust.

    Args:
        folder: For keys and certificates; made if missing.

    Attributes:
        trusted: File that stands in place of the system's certificates.

    Raises:
        UnsupportedError: No certificate can be made, or no server can be made to trust it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from infra.secrets import x509  # noqa: PLC0415  (an extra)
        except ImportError:
            raise UnsupportedError(
                "certificates cannot be made: install milvus-kit[infra]"
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        self._x509, self._folder, self._made = x509, folder, 0
        self._ca = x509.authority("milvus-kit drill", days=1)
        self.trusted = trust.bundle(self._ca.certificate, folder / "trusted.crt")
        reason = trust.why_not(self.trusted)
        if reason:
            raise UnsupportedError(reason)

    def sign(self, *, expired: bool = False) -> Certificate:
        """Return a new certificate for loopback, which may have expired a minute ago."""
        days = _DAYS_EXPIRED if expired else _DAYS_GOOD
        pair = self._x509.issue(self._ca, "store", [_HOST], client=False, days=days)
        self._made += 1
        found = Certificate(self._folder / f"{self._made}.crt", self._folder / f"{self._made}.key")
        found.certificate.write_text(pair.certificate, encoding="ascii")
        write_secret(found.key, pair.key)
        return found
