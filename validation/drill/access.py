"""How Milvus reaches its store in the second half of a drill: by TLS, with a key of its own.

As far as this host can do that: what it lacks is a reason, not an error, and the faults that need
it are then not measured.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from validation.drill.certificates import Certificates
from validation.drill.keys import Key, KeyRing
from validation.drill.watching import WatchedProxy
from validation.errors import UnsupportedError
from validation.local.stack import EmbeddedStack
from validation.local.state import StoreAccess


class OwnAccess:
    """A proxy that speaks TLS, and a key that can be taken away.

    Args:
        stack: Started.
        store: The store's own endpoint, plain HTTP.
        closing: Closes the proxy in the end.

    Attributes:
        proxy: The proxy; it speaks plain HTTP where TLS cannot be had.
        key: Milvus's key; None where the store has no keys to give.
    """

    def __init__(self, stack: EmbeddedStack, store: str, closing: ExitStack) -> None:
        self._certificates: Certificates | None = None
        self._keys: KeyRing | None = None
        self._lacking: dict[str, str] = {}
        self.key: Key | None = None
        try:
            self._certificates = Certificates(stack.folder / "secrets" / "tls")
        except UnsupportedError as error:
            self._lacking["TLS"] = error.what
        try:
            self._keys = KeyRing(stack)
            self.key = self._keys.make()
        except UnsupportedError as error:
            self._lacking["keys"] = error.what
        good = self._certificates.sign() if self._certificates else None
        self.proxy = closing.enter_context(WatchedProxy(store, certificate=good))

    @property
    def certificates(self) -> Certificates:
        """The CA behind the proxy's certificate.

        Raises:
            UnsupportedError: There is no TLS.
        """
        if self._certificates is None:
            raise UnsupportedError(self._lacking["TLS"])
        return self._certificates

    @property
    def keys(self) -> KeyRing:
        """The store's keys.

        Raises:
            UnsupportedError: They cannot be changed.
        """
        if self._keys is None:
            raise UnsupportedError(self._lacking["keys"])
        return self._keys

    def access(self) -> StoreAccess:
        """Return what Milvus has to be started with."""
        trusted: Path | None = self._certificates.trusted if self._certificates else None
        return StoreAccess(
            port=int(self.proxy.endpoint.rpartition(":")[2]),
            trusted=trusted,
            key_files=self.key.files if self.key else None,
        )
