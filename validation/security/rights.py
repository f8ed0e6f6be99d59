"""What a reader may do: a role, a user and collections are made for it, tried, and removed.

Everything made is named ``mk_RUN_…`` and is gone at the end. Whoever may not do something is told
so before anything is done, so an answer of any other kind is one to somebody who may.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from validation.errors import MilvusKitError, UnsupportedError
from validation.milvus.connection import Connection, connect
from validation.milvus.ownership import Mark, claim, collection_name, drop_ours
from validation.milvus.wire import Endpoint
from validation.security.act import Act, answer_to

SECONDS = 20
KINDS = ("role", "user", "database")
"""What is made besides collections; each is named ``mk_KIND_`` and eight hexadecimal digits."""
SPREAD_SECONDS = 90
"""How long a server may take to tell its proxies of a grant; 2.3.5 took up to 50."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """A user who may read one collection, and what there is besides.

    Args:
        name: Of the user.
        role: Of the user.
        endpoint: The server as the user reaches it.
        own: The collection that the user may read.
        others: A collection that the user may not.
        database: Another database, in which there is a collection of the same name.
    """

    name: str
    role: str
    endpoint: Endpoint
    own: str
    others: str
    database: str


@contextlib.contextmanager
def reader(connection: Connection, run: str) -> Iterator[Reader]:
    """Make a reader of one collection, and remove all that was made for it at the end.

    Raises:
        UnsupportedError: The server knows no roles or databases, or our user may make none.
    """
    client, word = connection.client, secrets.token_urlsafe(18)
    short = secrets.token_hex(4)
    role, user, database = (f"mk_{kind}_{short}" for kind in KINDS)
    own, others = (collection_name(run, kind, short) for kind in ("own", "others"))
    granted = [("Collection", right, own) for right in ("Query", "Search")]
    with contextlib.ExitStack() as undo:

        def made(what: str, make: Callable[[], object], unmake: Callable[[], object]) -> None:
            try:
                with connection.explained(what):
                    make()
            except MilvusKitError as error:
                raise UnsupportedError(f"{what}: {error.what}") from None
            undo.callback(_quietly, connection, f"remove after: {what}", unmake)

        @functools.cache
        def there() -> Connection:
            milvus = connection.target.milvus.model_copy(update={"database": database})
            target = connection.target.model_copy(update={"milvus": milvus})
            return undo.enter_context(connect(target))

        for name in (own, others):
            mark = claim(connection, name, Mark(run, "security"))
            made(
                f"create collection {name}",
                lambda name=name, mark=mark: _create(client, name, mark),
                lambda name=name: drop_ours(connection, name),
            )
        made(
            f"create database {database}",
            lambda: client.create_database(database, timeout=SECONDS),
            lambda: client.drop_database(database, timeout=SECONDS),
        )
        made(
            f"create {own} in {database}",
            lambda: _create(there().client, own, Mark(run, "security").description()),
            lambda: there().client.drop_collection(own, timeout=SECONDS),
        )
        made(
            f"create role {role}",
            lambda: client.create_role(role, timeout=SECONDS),
            lambda: client.drop_role(role, timeout=SECONDS),
        )
        for one in granted:
            made(
                f"grant {one[1]}",
                lambda one=one: client.grant_privilege(role, *one, timeout=SECONDS),
                lambda one=one: client.revoke_privilege(role, *one, timeout=SECONDS),
            )
        made(
            f"create user {user}",
            lambda: client.create_user(user, word, timeout=SECONDS),
            lambda: client.drop_user(user, timeout=SECONDS),
        )
        made(
            f"give {user} its role",
            lambda: client.grant_role(user, role, timeout=SECONDS),
            lambda: client.revoke_role(user, role, timeout=SECONDS),
        )
        theirs = dataclasses.replace(connection.endpoint, token=f"{user}:{word}")
        yield Reader(user, role, theirs, own, others, database)


def _quietly(connection: Connection, what: str, unmake: Callable[[], object]) -> None:
    """Remove one thing; that another cannot be removed must not keep it."""
    with contextlib.suppress(MilvusKitError), connection.explained(what):
        unmake()


def _create(client: Any, name: str, description: str) -> None:
    from pymilvus import DataType  # noqa: PLC0415  (slow to import)

    schema = client.create_schema(description=description)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    client.create_collection(name, schema=schema, timeout=SECONDS)


def tried(given: Reader) -> tuple[bool, list[Act]]:
    """Return whether the reader may read, and what else came of trying.

    Raises:
        grpc.RpcError: The server does not answer.
    """
    from pymilvus.grpc_gen import milvus_pb2 as pb  # noqa: PLC0415  (slow to import)
    from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub  # noqa: PLC0415

    own, others = given.own, given.others
    asks: dict[str, tuple[str, Any]] = {
        "insert": ("Insert", pb.InsertRequest(collection_name=own)),
        "delete rows": ("Delete", pb.DeleteRequest(collection_name=own, expr="id in [1]")),
        "flush": ("Flush", pb.FlushRequest(collection_names=[own])),
        "drop its collection": ("DropCollection", pb.DropCollectionRequest(collection_name=own)),
        "create a collection": (
            "CreateCollection",
            pb.CreateCollectionRequest(collection_name=f"{own}_new"),
        ),
        "read another collection": (
            "Query",
            pb.QueryRequest(collection_name=others, expr="id > 0", output_fields=["id"]),
        ),
        "read in another database": (
            "Query",
            pb.QueryRequest(
                db_name=given.database, collection_name=own, expr="id > 0", output_fields=["id"]
            ),
        ),
        "list users": (
            "SelectUser",
            pb.SelectUserRequest(user=pb.UserEntity(name="root"), include_role_info=True),
        ),
        "give itself the role admin": (
            "OperateUserRole",
            pb.OperateUserRoleRequest(username=given.name, role_name="admin"),
        ),
    }
    reads = pb.QueryRequest(collection_name=own, expr="id > 0", output_fields=["id"])
    found = []
    with given.endpoint.channel() as channel:
        stub = MilvusServiceStub(channel)

        def asked(method: str, request: Any) -> tuple[bool, str]:
            database = getattr(request, "db_name", "") or given.endpoint.database
            headers = dataclasses.replace(given.endpoint, database=database).metadata()
            return answer_to(lambda: _called(getattr(stub, method), request, headers))

        until = time.monotonic() + SPREAD_SECONDS
        kept_out, _ = asked("Query", reads)
        while kept_out and time.monotonic() < until:  # each proxy hears of a grant by itself
            time.sleep(0.5)
            kept_out, _ = asked("Query", reads)
        for name, (method, request) in asks.items():
            refused, said = asked(method, request)
            found.append(Act(name, not refused, said))
    return not kept_out, found


def _called(method: Any, request: Any, headers: Any) -> None:
    """Call; raise a refusal that came as a status inside an answer."""
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415  (slow to import)

    answer = method(request, metadata=headers, timeout=SECONDS)
    status = getattr(answer, "status", answer)
    code = getattr(status, "code", 0) or getattr(status, "error_code", 0)
    if code:
        raise MilvusException(code=int(code), message=str(status.reason))
