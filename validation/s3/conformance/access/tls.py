"""TLS: what each of Milvus's two clients accepts, each cause of a refusal told apart.

Go verifies with the system's store or SSL_CERT_FILE and wants a subject alternative name; the C++
client reads a CA file through OpenSSL. Both are met by a chain to the declared CA.
"""

from __future__ import annotations

import functools
import ssl

from validation.common import handshakes
from validation.common.handshakes import Peer, Shaken
from validation.s3.client.endpoint import asked_of, identify, tls_context
from validation.s3.conformance.model import Evidence, Need, NotDeclaredError, check, require
from validation.s3.workspace import Workspace
from validation.target import Storage

_BY = "every role: Go client and C++ client"


def peer_of(storage: Storage) -> Peer:
    """Return the store's endpoint, whom requests for the bucket go to."""
    endpoint = asked_of(storage)
    return Peer(
        endpoint.host,
        endpoint.port,
        endpoint.host,
        functools.partial(tls_context, storage),
        functools.partial(identify, storage),
    )


def _peer(space: Workspace) -> Peer:
    if not asked_of(space.storage).tls:
        raise NotDeclaredError("the endpoint is plain HTTP")
    return peer_of(space.storage)


@check("tls.trusted", by=_BY, breaks="Milvus cannot reach the store (x509: unknown authority)")
def trusted(space: Workspace) -> Evidence:
    """The certificate chains to the declared CA, or to one the system trusts."""
    peer = _peer(space)
    wrong = handshakes.untrusted(peer)
    require(not wrong, f"the certificate is not trusted: {wrong}")
    return {"protocol": _shown(peer).protocol, "system_store": _system_trusts(peer)}


def _shown(peer: Peer) -> Shaken:
    context = peer.declared()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return handshakes.handshake(peer, context)


def _system_trusts(peer: Peer) -> bool:
    system = Peer(peer.host, peer.port, peer.name, ssl.create_default_context)
    try:
        return not handshakes.untrusted(system)
    except ssl.SSLError:
        return False


@check("tls.host-name", by=_BY, breaks="Milvus cannot reach the store (certificate not valid for)")
def host_name(space: Workspace) -> Evidence:
    """The certificate names the endpoint's host as a subject alternative name."""
    peer = _peer(space)
    wrong = handshakes.misnamed(peer)
    require(not wrong, f"the certificate names another host: {wrong}")
    names = handshakes.parsed(peer).get("subjectAltName", ())
    return {"names": [value for _, value in names]}


@check("tls.validity", by=_BY, breaks="Milvus cannot reach the store (certificate has expired)")
def validity(space: Workspace) -> Evidence:
    """The certificate and all that sign it are valid now."""
    peer = _peer(space)
    wrong = handshakes.out_of_time(peer)
    require(not wrong, wrong)
    return {"days_left": handshakes.days_left(peer)}


@check(
    "tls.protocol",
    by="security policy",
    breaks="traffic can be downgraded to protocols that are broken (RFC 8996)",
    need=Need.OPERATION,
)
def protocol(space: Workspace) -> Evidence:
    """TLS 1.1 and older are refused."""
    came_of_it = handshakes.old_protocol(_peer(space))
    if isinstance(came_of_it, Shaken):
        require(False, f"{came_of_it.protocol} was accepted")
    return {"refused": came_of_it}
