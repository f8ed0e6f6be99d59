"""Connect to the Milvus of a target, and say clearly why not."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from validation.common import addresses, proxies
from validation.errors import ConfigurationError, MissingToolError, UnreachableError
from validation.milvus.failures import explained
from validation.milvus.wire import Endpoint, Wire
from validation.target import Target, Tls, is_lite_file

MINIMUM_VERSION = "2.3"
_DEFAULT_PORT = 19530
_VERSION = re.compile(r"(?:milvus[_-]lite[ /_-]?)?v?(\d{1,3}(?:\.\d+)+|\d{1,2})(?:[-+. ].*)?")
_USER = "milvus.auth.password"


class Connection:
    """An open connection; use it as a context manager.

    Args:
        target: What it leads to.
        endpoint: How it is reached.
        client: pymilvus's `MilvusClient`, for administration and searches that are checked; its
            decorators hide the types of its methods from type checkers.
        wire: Raw calls, for what must be fast.
        server_version: What the server calls itself, such as ``v2.3.5-lite``.
        timeout: Of one administrative call, in whole seconds: pymilvus ignores fractions in places.

    Attributes:
        unwanted: While it is set, whoever works with the connection is broken off at the next step.
    """

    def __init__(
        self,
        target: Target,
        endpoint: Endpoint,
        *,
        client: Any,
        wire: Wire,
        server_version: str,
        timeout: int,
        cleanup: contextlib.ExitStack,
    ) -> None:
        self.target = target
        self.endpoint = endpoint
        self.client = client
        self._wire = wire
        self.server_version = server_version
        self.timeout = timeout
        self._cleanup = cleanup
        self.unwanted = threading.Event()

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version as numbers, such as ``(2, 3, 5)``; empty if it is not known."""
        return parse_version(self.server_version)

    @property
    def is_lite(self) -> bool:
        """Whether this is Milvus Lite, whose version numbers are its own."""
        return self.server_version.startswith("milvus_lite") or is_lite(self.target)

    def require_version(self, minimum: str) -> None:
        """Make sure that the server is not too old; Milvus Lite counts from 2.5 features on.

        One that calls itself by a commit or a branch, or not at all, may be of any version.

        Raises:
            UnreachableError: It is too old.
        """
        if not self.is_lite and () < self.version < parse_version(minimum):
            raise UnreachableError(
                f"the server is older than Milvus {minimum}",
                where=self.endpoint.name,
                seen=self.server_version,
                remedy=f"upgrade Milvus to {minimum} or later",
            )

    def explained(self, doing: str) -> contextlib.AbstractContextManager[None]:
        """Turn whatever pymilvus raises in the block into an error that names the endpoint."""
        self._go_on()
        return explained(self.endpoint.name, doing)

    @property
    def wire(self) -> Wire:
        """Raw calls, for what must be fast."""
        self._go_on()
        return self._wire

    def _go_on(self) -> None:
        if self.unwanted.is_set():
            raise CancelledError("nobody waits for this any more")

    def close(self) -> None:
        """Close it, and stop Milvus Lite if nobody else uses it."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(target: Target, *, timeout: float = 10) -> Connection:
    """Connect to a target's Milvus and make sure that it is one, and knows us.

    Args:
        target: Where and as whom.
        timeout: In seconds, of each step; rounded up to whole seconds.

    Raises:
        ConfigurationError: URI, database, secret or certificate file is wrong.
        MissingToolError: Milvus Lite is not installed.
        UnreachableError: Nothing answers there, or something else, or a too old server.
        CredentialsError: It refuses the user.
    """
    seconds = max(1, -int(-timeout // 1))
    with contextlib.ExitStack() as cleanup:
        endpoint = endpoint_of(target, cleanup)
        client = _client(endpoint, seconds, cleanup)
        with explained(endpoint.name, "connect"):
            version = str(client.get_server_version(timeout=seconds))
            client.list_collections(timeout=seconds)
        wire = Wire(endpoint)
        cleanup.callback(wire.close)
        connection = Connection(
            target,
            endpoint,
            client=client,
            wire=wire,
            server_version=version,
            timeout=max(seconds, 30),
            cleanup=cleanup.pop_all(),
        )
    try:
        connection.require_version(MINIMUM_VERSION)
    except UnreachableError:
        connection.close()
        raise
    return connection


def is_lite(target: Target) -> bool:
    """Whether the target is a file of Milvus Lite."""
    return is_lite_file(target.milvus.uri)


def parse_version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, such as ``(2, 3, 5)`` for ``v2.3.5-lite``.

    Empty for what is no version: a commit, a branch, a date.
    """
    found = _VERSION.fullmatch(text.strip())
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def endpoint_of(target: Target, cleanup: contextlib.ExitStack) -> Endpoint:
    """Return how a target's Milvus is reached; Milvus Lite runs until the clean-up.

    Raises:
        ConfigurationError: URI, secret or certificate file is wrong.
        MissingToolError: Milvus Lite is not installed.
    """
    milvus = target.milvus
    if is_lite(target):
        return Endpoint(milvus.uri, cleanup.enter_context(_lite_server(milvus.uri)))
    given = addresses.parsed(milvus.uri, example="http://HOST:19530")
    tls, secure = milvus.tls, given.tls or milvus.tls.mode != "off"
    certificate, key = _own_certificate(tls)
    token = ""
    if milvus.auth is not None:
        token = f"{milvus.auth.user}:{milvus.auth.password.reveal(_USER)}"
    port = given.port or (443 if given.tls else _DEFAULT_PORT)
    return Endpoint(
        name=str(given),
        address=addresses.netloc(given.host, port),
        database=milvus.database,
        token=token,
        secure=secure,
        root_certificates=_authority(tls),
        certificate=certificate,
        key=key,
        server_name=tls.server_name or "",
    )


def _authority(tls: Tls) -> bytes | None:
    if tls.ca_pem is not None:
        return tls.ca_pem.encode()
    return _read(tls.ca_file, "milvus.tls.ca_file") if tls.ca_file else None


def _own_certificate(tls: Tls) -> tuple[bytes | None, bytes | None]:
    if tls.mode != "mutual":
        return None, None
    if tls.client_certificate_file is None or tls.client_key_file is None:
        raise ConfigurationError(
            "mutual TLS needs a certificate of our own",
            where="milvus.tls",
            remedy="set client_certificate_file and client_key_file",
        )
    if tls.ca_file is None and tls.ca_pem is None:
        raise ConfigurationError(
            "mutual TLS needs the CA of the server",
            where="milvus.tls",
            remedy="set ca_file or ca_pem",
        )
    return (
        _read(tls.client_certificate_file, "milvus.tls.client_certificate_file"),
        _read(tls.client_key_file, "milvus.tls.client_key_file"),
    )


def _read(path: Path, key: str) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the file: {error.strerror}",
            where=f"{key}: {path}",
            remedy="give the path of a PEM file that you may read",
        ) from None


def _client(endpoint: Endpoint, seconds: int, cleanup: contextlib.ExitStack) -> Any:
    from pymilvus import MilvusClient  # noqa: PLC0415  (slow to import)

    _silence()
    options: dict[str, Any] = {"secure": endpoint.secure, **_pem_files(endpoint, cleanup)}
    with explained(endpoint.name, "connect"):
        client = MilvusClient(
            f"{'https' if endpoint.secure else 'http'}://{endpoint.address}",
            token=endpoint.token,
            db_name=endpoint.database,
            timeout=seconds,
            # pymilvus shares a channel between clients of one address, even if one has TLS.
            dedicated=True,
            grpc_options=proxies.GRPC_OPTIONS,
            **options,
        )
    cleanup.callback(client.close)
    return client


def _pem_files(endpoint: Endpoint, cleanup: contextlib.ExitStack) -> dict[str, str]:
    """Write what pymilvus only takes as files to a folder that goes with the connection."""
    if not endpoint.secure:
        return {}
    given = {"server_name": endpoint.server_name} if endpoint.server_name else {}
    mutual = endpoint.certificate is not None
    parts = {
        "ca_pem_path" if mutual else "server_pem_path": endpoint.root_certificates,
        "client_pem_path": endpoint.certificate,
        "client_key_path": endpoint.key,
    }
    if not any(parts.values()):
        return given
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="milvus-kit-")))
    for name, content in parts.items():
        if content is not None:
            path = folder / f"{name}.pem"
            path.touch(0o600)
            path.write_bytes(content)
            given[name] = str(path)
    return given


def _silence() -> None:
    """Take pymilvus's and Milvus Lite's handlers away: they print a traceback for every error."""
    for name in ("pymilvus", "pymilvus.milvus_client", "pymilvus.bulk_writer", "milvus_lite"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)


_lite_users: Counter[str] = Counter()
_lite_lock = threading.Lock()


@contextlib.contextmanager
def _lite_server(uri: str) -> Iterator[str]:
    """Run Milvus Lite in this process while anybody here uses it; yield its address."""
    path = Path(uri).expanduser().absolute()
    if not path.parent.is_dir():
        raise ConfigurationError(
            "the folder of the Milvus Lite file does not exist",
            where=f"milvus.uri: {uri}",
            remedy=f"create {path.parent}, or give another path",
        )
    try:
        from milvus_lite.server_manager import server_manager_instance as manager  # noqa: PLC0415
    except ImportError:
        raise MissingToolError(
            "Milvus Lite is not installed",
            where=f"milvus.uri: {uri}",
            remedy="install milvus-kit[embedded], or give the address of a server",
        ) from None
    _silence()
    with _lite_lock:
        address = manager.start_and_get_uri(str(path))
        if address is None:
            raise UnreachableError(
                "Milvus Lite does not start on this file",
                where=str(path),
                remedy="check that it is a folder of Milvus Lite 3 and no other process uses it",
            )
        _lite_users[str(path)] += 1
    try:
        yield address.removeprefix("http://")
    finally:
        with _lite_lock:
            _lite_users[str(path)] -= 1
            if not _lite_users[str(path)]:
                manager.release_server(str(path))
