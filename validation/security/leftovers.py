"""What a killed run left of its reader on a server: a user, a role, and another database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from validation.errors import MilvusKitError
from validation.milvus.connection import Connection, connect
from validation.milvus.ownership import drop_all_ours
from validation.security.rights import KINDS, SECONDS

_OURS = {kind: re.compile(rf"mk_{kind}_[0-9a-f]{{8}}") for kind in KINDS}


def dropped(connection: Connection) -> Iterator[str]:
    """Drop what carries a name of ours; yield each thing, or why it could not be dropped.

    A database is dropped only if every collection in it carries our mark.
    """
    if connection.is_lite:
        return
    client = connection.client
    yield from _each(connection, "user", lambda: client.list_users(timeout=SECONDS), _user)
    yield from _each(connection, "role", lambda: client.list_roles(timeout=SECONDS), _role)
    databases = lambda: client.list_databases(timeout=SECONDS)  # noqa: E731  (as those above)
    yield from _each(connection, "database", databases, _database)


def _each(
    connection: Connection,
    kind: str,
    listed: Callable[[], list[str]],
    drop: Callable[[Connection, str], str],
) -> Iterator[str]:
    try:
        with connection.explained(f"list the {kind}s"):
            names = [name for name in listed() if _OURS[kind].fullmatch(name)]
    except MilvusKitError as error:
        yield f"the {kind}s stay as they are: {error.what}"
        return
    for name in names:
        try:
            with connection.explained(f"drop {kind} {name}"):
                why = drop(connection, name)
        except MilvusKitError as error:
            why = error.what
        yield f"{kind} {name} stays: {why}" if why else f"dropped {kind} {name}"


def _user(connection: Connection, name: str) -> str:
    connection.client.drop_user(name, timeout=SECONDS)
    return ""


def _role(connection: Connection, name: str) -> str:
    client = connection.client  # a role with rights cannot be dropped
    for one in client.describe_role(name, timeout=SECONDS)["privileges"]:
        given = (one["object_type"], one["privilege"], one["object_name"])
        client.revoke_privilege(name, *given, one.get("db_name", ""), timeout=SECONDS)
    client.drop_role(name, timeout=SECONDS)
    return ""


def _database(connection: Connection, name: str) -> str:
    milvus = connection.target.milvus.model_copy(update={"database": name})
    with connect(connection.target.model_copy(update={"milvus": milvus})) as there:
        drop_all_ours(there)
        others = there.client.list_collections(timeout=SECONDS)
    if others:
        return f"there are collections in it that this kit did not make: {', '.join(others)}"
    connection.client.drop_database(name, timeout=SECONDS)
    return ""
