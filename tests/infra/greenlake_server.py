"""A local server that speaks the documented part of HPE GreenLake Object Storage, v1alpha1.

It keeps buckets, users and access policies of one system, answers writes with 202 and a task that
takes some polls to end, shows a new user's secret key once, and breaks on request: answers lost
before or after the deed, 401, 429, 503, tasks that fail. What it does can be made to take effect on
a real store, which may also refuse it.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

CLIENT_ID, CLIENT_SECRET, SYSTEM = "client", "planted-client-secret", "8UW0000001"
_PREFIX = f"/object-storage/v1alpha1/devtype7-storage-systems/{SYSTEM}/"
_KINDS = ("buckets", "users", "access-policies")


@dataclass
class Fault:
    """What goes wrong with the next request that fits.

    ``how``: ``lost-before`` and ``lost-after`` close the connection before or after the deed;
    ``task-fails`` accepts and fails later; a number is answered as a status.
    """

    method: str
    path: str
    how: str | int
    times: int = 1


class RefusedError(Exception):
    """The store refuses what the API took on: the task fails, with this reason."""


class Store:
    """What buckets, policies and users take effect on; this one keeps nothing."""

    def make(self, kind: str, name: str, body: dict[str, Any]) -> None:
        """Make or change a bucket or an access policy."""

    def remove(self, kind: str, name: str) -> None:
        """Remove a bucket, an access policy or a user."""

    def give(self, user: str, secret_key: str, policies: list[str]) -> None:
        """Give a user its access policies, and only these."""


@dataclass
class State:
    """What the system holds, and what it was asked."""

    things: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {kind: {} for kind in _KINDS}
    )
    applied: dict[str, list[str]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unattended: list[str] = field(default_factory=list)
    client_secret: str = CLIENT_SECRET
    polls: int = 2
    page: int = 1000
    conflicts_while_busy: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    store: Store = field(default_factory=Store)

    def count(self, method: str, path: str) -> int:
        return sum(one == (method, path) for one in self.requests)


class GreenLakeServer:
    """The server on a port of this host, a free one if none is named; ``with`` runs it."""

    def __init__(self, store: Store | None = None, port: int = 0) -> None:
        self.state = State(store=store or Store())
        state = self.state

        class Handler(_Handler):
            pass

        Handler.state = state
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def token_url(self) -> str:
        return f"{self.url}/as/token.oauth2"

    def connection(self) -> dict[str, Any]:
        """What a resource needs to reach it."""
        return {
            "base_url": self.url,
            "token_url": self.token_url,
            "system_id": SYSTEM,
            "client_id": CLIENT_ID,
            "client_secret": self.state.client_secret,
            "task_timeout": 30,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: State
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its own name)
        pass

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = urlsplit(self.path).path
        short = path.removeprefix(_PREFIX)
        with self.state.lock:
            self.state.requests.append((method, short))
            for task in self.state.unattended:
                self._poll(task)
            fault = self._fault(method, short)
            if fault == "lost-before":
                self._vanish()
                return
            if isinstance(fault, int):
                self._answer(fault, _error(fault), {"retry-after": "0"} if fault == 429 else {})
                return
            if path == "/as/token.oauth2":
                self._token(body)
                return
            if self.headers.get("authorization", "").removeprefix("Bearer ") not in (
                self.state.tokens
            ):
                self._answer(401, _error(401))
                return
            status, document = self._do(method, path, short, body, fault == "task-fails")
        if fault == "lost-after":
            # Nobody knows its task, and the system works on it all the same.
            self.state.unattended.append(str(document.get("taskUri", "")).rsplit("/", 1)[-1])
            self._vanish()
            return
        self._answer(status, document)

    def _fault(self, method: str, short: str) -> str | int | None:
        for fault in self.state.faults:
            if fault.times and fault.method == method and short.startswith(fault.path):
                fault.times -= 1
                return fault.how
        return None

    def _vanish(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _token(self, body: bytes) -> None:
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (
            CLIENT_ID,
            self.state.client_secret,
        ):
            self._answer(401, {"error": "invalid_client"})
            return
        token = secrets.token_hex(8)
        self.state.tokens.add(token)
        self._answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 7199})

    def _do(
        self, method: str, path: str, short: str, body: bytes, fails: bool
    ) -> tuple[int, dict[str, Any]]:
        if path.startswith("/rest/vega/v1/tasks/"):
            return self._poll(path.rsplit("/", 1)[-1])
        if not path.startswith(_PREFIX):
            return 404, _error(404)
        kind, _, name = short.partition("/")
        document = json.loads(body) if body else {}
        if kind == "apply-policy" and method == "PUT":
            return self._task(lambda: self._apply(document), fails)
        if kind not in _KINDS:
            return 404, _error(404)
        act = {"GET": self._list, "POST": self._create, "PUT": self._edit, "DELETE": self._delete}
        return act[method](kind, unquote(name), document, fails)

    def _list(self, kind: str, name: str, _: Any, __: bool) -> tuple[int, dict[str, Any]]:
        things = self.state.things[kind]
        if name:
            return (200, things[name]) if name in things else (404, _error(404))
        query = parse_qs(urlsplit(self.path).query)
        offset, limit = int(query["offset"][0]), min(int(query["limit"][0]), self.state.page)
        items = list(things.values())[offset : offset + limit]
        return 200, {"count": len(items), "offset": offset, "total": len(things), "items": items}

    def _create(self, kind: str, _: str, body: Any, fails: bool) -> tuple[int, dict[str, Any]]:
        name = body["name"]
        busy = self.state.conflicts_while_busy and self.state.unattended
        if name in self.state.things[kind] or busy:
            return 409, _error(409)
        if kind == "users":
            self.state.things[kind][name] = {"id": name, "name": name, "policies": []}
            self.state.keys[name] = secrets.token_urlsafe(24)
            return 201, {"name": name, "secretKey": self.state.keys[name]}

        def deed() -> None:
            shown = {**body, "id": name}
            if kind == "buckets":
                shown |= {"compression": body.get("compression") == "ENABLED"}
                shown |= {"versioning": "Disabled"}
            self.state.store.make(kind, name, shown)
            self.state.things[kind][name] = shown

        return self._task(deed, fails)

    def _edit(self, kind: str, name: str, body: Any, fails: bool) -> tuple[int, dict[str, Any]]:
        if name not in self.state.things[kind]:
            return 404, _error(404)
        if kind == "buckets" and "compression" in body:
            body = {**body, "compression": body["compression"] == "ENABLED"}

        def deed() -> None:
            self.state.store.make(kind, name, {**self.state.things[kind][name], **body})
            self.state.things[kind][name].update(body)

        return self._task(deed, fails)

    def _delete(self, kind: str, name: str, _: Any, fails: bool) -> tuple[int, dict[str, Any]]:
        if name not in self.state.things[kind]:
            return 404, _error(404)

        def deed() -> None:
            self.state.store.remove(kind, name)
            self.state.things[kind].pop(name, None)

        return self._task(deed, fails)

    def _apply(self, body: Any) -> None:
        user, policies = body["name"], body["policies"]
        self.state.store.give(user, self.state.keys[user], policies)
        self.state.things["users"][user]["policies"] = policies
        self.state.applied[user] = policies

    def _task(self, deed: Callable[[], Any], fails: bool) -> tuple[int, dict[str, Any]]:
        task = secrets.token_hex(8)
        reason = "no space left" if fails else ""
        self.state.tasks[task] = {"deed": deed, "left": self.state.polls, "fails": reason}
        if not self.state.polls:
            self._poll(task)
        uri = f"/rest/vega/v1/tasks/{task}"
        return 202, {"taskUri": uri, "message": "Successfully submitted", "status": "SUBMITTED"}

    def _poll(self, name: str) -> tuple[int, dict[str, Any]]:
        task = self.state.tasks.get(name)
        if task is None:
            return 404, _error(404)
        if task["left"]:
            task["left"] -= 1
            return 200, {"id": name, "state": "RUNNING"}
        if task["deed"] and not task["fails"]:
            deed, task["deed"] = task["deed"], None
            try:
                deed()
            except RefusedError as error:
                task["fails"] = str(error)
        if task["fails"]:
            return 200, {"id": name, "state": "FAILED", "error": {"error": task["fails"]}}
        return 200, {"id": name, "state": "SUCCEEDED"}


def _error(status: int) -> dict[str, Any]:
    return {
        "httpStatusCode": status,
        "errorCode": "ERR_RESOURCE_NOT_FOUND" if status == 404 else f"HPE_GL_{status}",
        "message": "a planted error",
        "debugId": "f57dcca3345820eb",
    }
