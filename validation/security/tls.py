"""TLS of Milvus and of its store: certificate, protocol and ciphers, each asked by a handshake."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import grpc

from validation.common import addresses, handshakes
from validation.common.handshakes import Peer, Shaken
from validation.common.trust import accept_issuers
from validation.errors import UnsupportedError
from validation.milvus.connection import endpoint_of
from validation.milvus.wire import Endpoint
from validation.s3.client.endpoint import endpoint_of as store_of
from validation.s3.conformance.access.tls import peer_of
from validation.security.act import Act
from validation.target import Target, is_lite_file

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 says first: the preface and its settings, which are none."""
_SETTINGS = 4
_OF_MILVUS = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""What only a server says that a client has reached."""


def peers(target: Target) -> dict[str, Peer]:
    """Return the endpoints of a target that it declares to have TLS, by who is behind them."""
    found = {}
    if not is_lite_file(target.milvus.uri):
        with contextlib.ExitStack() as cleanup:
            milvus = endpoint_of(target, cleanup)
        if milvus.secure:
            host, port = addresses.split(milvus.address)
            found["milvus"] = Peer(
                host,
                port,
                milvus.server_name or host,
                functools.partial(_declared, milvus),
                functools.partial(_identify, milvus),
                alpn=("h2",),
            )
    if target.storage is not None and store_of(target.storage).tls:
        found["s3"] = peer_of(target.storage)
    return found


def trusting(ca_pem: str) -> Callable[[], ssl.SSLContext]:
    """Return what makes the settings of a client of Milvus that trusts one CA."""
    endpoint = Endpoint("", "", root_certificates=ca_pem.encode())
    return functools.partial(_declared, endpoint)


def _declared(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the settings of Milvus's clients."""
    pem = endpoint.root_certificates
    context = ssl.create_default_context(cadata=pem.decode() if pem else None)
    accept_issuers(context)
    _identify(endpoint, context)
    return context


def _identify(endpoint: Endpoint, context: ssl.SSLContext) -> None:
    """Load the clients' own certificate, if they have one."""
    if endpoint.certificate is not None and endpoint.key is not None:
        with tempfile.NamedTemporaryFile(prefix="milvus-kit-") as file:  # 0600; ssl takes files
            Path(file.name).write_bytes(endpoint.key + b"\n" + endpoint.certificate)
            context.load_cert_chain(file.name)


def certificate(peer: Peer) -> list[Act]:
    """Return whether a certificate is whom we trust, the endpoint's own, and valid.

    Raises:
        OSError: It does not answer, or not in TLS, and no flaw was seen.
    """
    asked: dict[str, Callable[[Peer], str]] = {
        "chain": handshakes.untrusted,
        "name": handshakes.misnamed,
        "time": handshakes.out_of_time,
    }

    def flaw(name: str) -> Act:
        why = asked[name](peer)
        return Act(name, bool(why), why)

    return _tried(functools.partial(flaw, name) for name in asked)[0]


def protocol(peer: Peer) -> tuple[list[Act], list[str]]:
    """Return what of broken protocols and ciphers is accepted, and what could not be asked.

    Raises:
        OSError: It does not answer, or not in TLS, and nothing was accepted.
    """
    asked = {
        "TLS 1.1 or older": handshakes.old_protocol,
        "broken ciphers": handshakes.weak_cipher,
    }

    def accepted(name: str) -> Act:
        came = asked[name](peer)
        taken = isinstance(came, Shaken)
        said = f"{came.protocol} with {came.cipher}" if isinstance(came, Shaken) else came
        return Act(name, taken, said)

    return _tried(functools.partial(accepted, name) for name in asked)


def strangers(target: Target) -> list[Act]:
    """Return whether Milvus talks without TLS, and without a certificate where it wants one.

    Raises:
        OSError: It does not answer, or not even to a client with its certificate, and nobody was
            let in.
    """
    with contextlib.ExitStack() as cleanup:
        endpoint = endpoint_of(target, cleanup)
    asks = [functools.partial(_in_plain_text, endpoint)]
    if target.milvus.tls.mode == "mutual":
        asks.append(functools.partial(_uncertified, endpoint))
    return _tried(asks)[0]


def _tried(asks: Iterable[Callable[[], Act]]) -> tuple[list[Act], list[str]]:
    """Return what came of all that is asked, and what could not be.

    Raises:
        OSError: One was not answered, and none came out wrong: what did is told all the same.
    """
    found: list[Act] = []
    unasked: list[str] = []
    silent: OSError | None = None
    for ask in asks:
        try:
            found.append(ask())
        except UnsupportedError as error:
            unasked.append(error.what)
        except OSError as error:
            silent = silent or error
    if silent is not None and not any(one.wrong for one in found):
        raise silent
    return found, unasked


def _uncertified(endpoint: Endpoint) -> Act:
    """Ask for the version as a client without a certificate: an ingress may greet even those.

    Only a server that answers our own certificate has refused a client for having none.
    """
    if (own := _no_version(endpoint)) not in {None, *_OF_MILVUS}:
        raise ConnectionError(f"it does not answer a client with its certificate either: {own}")
    code = _no_version(dataclasses.replace(endpoint, certificate=None, key=None, token=""))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise TimeoutError("no answer to a client without a certificate")
    talks = code is None or code in _OF_MILVUS
    return Act("no client certificate", talks, str(code) if code else "it answers")


def _no_version(endpoint: Endpoint) -> grpc.StatusCode | None:
    """Ask for the version; return why there was none."""
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc  # noqa: PLC0415  (slow to import)

    with endpoint.channel() as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        try:
            stub.GetVersion(
                milvus_pb2.GetVersionRequest(),
                metadata=endpoint.metadata(),
                timeout=handshakes.SECONDS,
            )
        except grpc.RpcError as error:
            return error.code()
    return None


def _in_plain_text(endpoint: Endpoint) -> Act:
    """Greet as a client without TLS would; a server that lets it in answers with its settings."""
    host, port = addresses.split(endpoint.address)
    with socket.create_connection((host, port), handshakes.SECONDS) as opened:
        try:
            opened.sendall(_HELLO)
            first = opened.recv(9)
        except (ConnectionResetError, BrokenPipeError) as error:
            return Act("plain text", wrong=False, said=type(error).__name__)
    lets_in = len(first) > 3 and first[3] == _SETTINGS  # noqa: PLR2004  (the frame's type)
    return Act("plain text", lets_in, "answered in HTTP/2" if lets_in else "refused")
