"""Faults of security, planted for real: in a server with TLS and users, and beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from validation.common.handshakes import Peer
from validation.errors import MeasurementError
from validation.local.secured import WELL_KNOWN, signed
from validation.milvus.connection import Connection, connect
from validation.runs.profiles import Profile
from validation.security import tls
from validation.security.act import answer_to
from validation.security.leaks import secrets_of
from validation.security.rights import SPREAD_SECONDS
from validation.selftest.fault import Fault, Plant, metrics
from validation.selftest.plants import patched
from validation.selftest.scene import SECURITY
from validation.selftest.tls_server import serving
from validation.target import Auth, SecretRef, Target

_LONG, _OVER = 90.0, -1 / 1440
"""Days; the certificate that is over ended a minute ago."""
_SECONDS = 20
_PAUSE_SECONDS = 0.2


def _shown_instead(*, days: float, trusted: bool) -> Plant:
    """Return a plant of a server that shows another certificate in place of Milvus's."""

    @contextlib.contextmanager
    def plant(target: Target, profile: Profile) -> Iterator[Target]:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milvus-kit-")))
            ca = signed(folder, days=days)
            port = stack.enter_context(serving(folder / "server.pem"))

            def make(original: Callable[..., Any], _: Profile) -> Callable[..., Any]:
                def peers(asked: Target) -> dict[str, Peer]:
                    found = original(asked)
                    known = tls.trusting(ca) if trusted else found["milvus"].declared
                    milvus = dataclasses.replace(found["milvus"], port=port, declared=known)
                    return {**found, "milvus": milvus}

                return peers

            yield stack.enter_context(patched(tls, "peers", make)(target, profile))

    return plant


@contextlib.contextmanager
def _root_as_it_came(target: Target, _: Profile) -> Iterator[Target]:
    """Let root have the password that everybody knows, and the suite come as another user."""
    auth = target.milvus.auth
    assert auth is not None  # noqa: S101  (this scene's server has users)
    own, name, word = auth.password.reveal(), "mk_selftest", secrets.token_urlsafe(18)
    with connect(target) as connection:
        client = connection.client
        client.create_user(name, word, timeout=_SECONDS)
        client.grant_role(name, "admin", timeout=_SECONDS)
        client.update_password(auth.user, own, WELL_KNOWN, timeout=_SECONDS)
    with tempfile.NamedTemporaryFile("w", prefix="milvus-kit-") as file:
        file.write(word)
        file.flush()
        another = auth.model_copy(
            update={"user": name, "password": SecretRef(file=Path(file.name))}
        )
        changed = _as(target, another)
        try:
            _await_rights(changed)
            yield changed
        finally:
            came = {"password": SecretRef.model_validate({"value": WELL_KNOWN})}
            with connect(_as(target, auth.model_copy(update=came))) as connection:
                connection.client.update_password(auth.user, WELL_KNOWN, own, timeout=_SECONDS)
            with connect(target) as connection:
                connection.client.revoke_role(name, "admin", timeout=_SECONDS)
                connection.client.drop_user(name, timeout=_SECONDS)


@contextlib.contextmanager
def _public_inserts(target: Target, _: Profile) -> Iterator[Target]:
    """Let every user write into every collection."""
    grant = ("public", "Collection", "Insert", "*")
    with connect(target) as connection:
        connection.client.grant_privilege(*grant, timeout=_SECONDS)
        try:
            _await_inserts(connection)
            yield target
        finally:
            connection.client.revoke_privilege(*grant, timeout=_SECONDS)


def _as(target: Target, auth: Auth) -> Target:
    milvus = target.milvus.model_copy(update={"auth": auth})
    return target.model_copy(update={"milvus": milvus})


def _await_rights(target: Target) -> None:
    """Wait until a new administrator is one."""
    with connect(target) as connection:
        _await(lambda: connection.client.list_users(timeout=_SECONDS))


def _await_inserts(connection: Connection) -> None:
    """Wait until a user without any role may insert."""
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc  # noqa: PLC0415  (slow to import)

    name, word = "mk_selftest", secrets.token_urlsafe(18)
    connection.client.create_user(name, word, timeout=_SECONDS)
    user = dataclasses.replace(connection.endpoint, token=f"{name}:{word}")
    try:
        with user.channel() as channel:
            stub = milvus_pb2_grpc.MilvusServiceStub(channel)
            nothing = milvus_pb2.InsertRequest(collection_name="mk_absent")
            _await(lambda: stub.Insert(nothing, metadata=user.metadata(), timeout=_SECONDS))
    finally:
        connection.client.drop_user(name, timeout=_SECONDS)


def _await(call: Callable[[], object]) -> None:
    """Wait until a call is not refused: Milvus 2.3.5 is told of a grant up to a minute later."""
    until = time.monotonic() + SPREAD_SECONDS
    while answer_to(call)[0]:
        if time.monotonic() > until:
            raise MeasurementError(
                f"Milvus has not heard of a grant within {SPREAD_SECONDS} s",
                where="selftest: security",
                remedy="look at the server's log",
            )
        time.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def _logged_password(target: Target, _: Profile) -> Iterator[Target]:
    """Write root's password into a log of the stack."""
    how = target.restart
    assert how is not None and how.state_file is not None  # noqa: S101, PT018  (an embedded stack)
    log = how.state_file.parent / "logs" / "planted.log"
    log.write_text(f"login as {secrets_of(target)['milvus.auth.password']}", encoding="utf-8")
    try:
        yield target
    finally:
        log.unlink()


FAULTS = (
    Fault(
        "expired-certificate",
        "the certificate of Milvus ended a minute ago",
        metrics("security.certificate_flaws", "security.certificate_days_left"),
        plant=_shown_instead(days=_OVER, trusted=True),
        scene=SECURITY,
    ),
    Fault(
        "foreign-certificate",
        "the certificate of Milvus is signed by somebody else",
        metrics("security.certificate_flaws"),
        plant=_shown_instead(days=_LONG, trusted=False),
        scene=SECURITY,
    ),
    Fault(
        "well-known-password",
        "root has the password that everybody knows",
        metrics("security.let_in"),
        plant=_root_as_it_came,
        scene=SECURITY,
    ),
    Fault(
        "public-inserts",
        "every user may insert into every collection",
        metrics("security.rights_exceeded"),
        plant=_public_inserts,
        scene=SECURITY,
    ),
    Fault(
        "logged-password",
        "root's password stands in a log",
        metrics("security.secrets_found"),
        plant=_logged_password,
        scene=SECURITY,
    ),
)
