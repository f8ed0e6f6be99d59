"""HPE GreenLake Object Storage, REST v1alpha1: buckets, access policies and users of an X10000.

A write is answered with 202 and the URI of a task, which is polled until it ends; a new user is
answered with 201 and its secret key, shown this once. An answer can be lost on its way: then the
write may or may not have happened, so the client looks before it asks again and never makes a
thing twice. Sources: the API's published description, and HPE's own COSI driver for users,
policies applied to them, and the states of a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
)

RUNNING = frozenset({"INITIALIZED", "PAUSED", "RUNNING", "SUBMITTED"})
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_PAGE = 1000
_ASKED_AGAIN = 6
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_SPARE_SECONDS = 60


class LostAnswerError(MilvusKitError):
    """A write was sent and no answer came: it may have happened."""


class TaskFailedError(MilvusKitError):
    """A task ended, and not with success."""


@dataclass(kw_only=True)
class GreenLake:
    """The API of one X10000.

    Args:
        base_url: ``https://REGION.api.greenlake.hpe.com``.
        token_url: Where client credentials are exchanged for a token.
        client_id: Of an API client with permissions for object storage.
        client_secret: Its secret.
        system_id: Of the X10000.
        task_timeout: How long a task may take, in seconds.
        sleep: How to wait.
    """

    base_url: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    system_id: str
    task_timeout: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    _http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=30.0), repr=False, init=False
    )
    _token: str = field(default="", repr=False, init=False)
    _token_ends: float = field(default=0.0, repr=False, init=False)

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return the bucket, user or access policy of that name, or None.

        Args:
            kind: ``buckets``, ``users`` or ``access-policies``.
            name: Its name; names are unique in a system.
        """
        offset = 0
        while True:
            query = {"limit": _PAGE, "offset": offset}
            page = self._get(self._path(kind), params=query)
            items = page.get("items", [])
            for item in items:
                if item.get("name") == name:
                    return item
            offset += len(items)
            if not items or offset >= page.get("total", page.get("count", 0)):
                return None

    def create(self, kind: str, body: dict[str, Any]) -> None:
        """Make a bucket or an access policy; it is there when this returns.

        The caller has looked: nothing of that name was there.

        Raises:
            TaskFailedError: The system refused.
        """
        lost = False
        for _ in range(_ASKED_AGAIN):
            try:
                self._task(self._write("POST", self._path(kind), body))
            except LostAnswerError:
                # It may be on its way: once it shows it is ours, because nothing was there.
                lost = True
                if self._appears(kind, body["name"], _ASKED_AGAIN):
                    return
                continue
            except OwnershipError:
                # Nothing was there, and our own first request is in the way of the second.
                if lost and self._appears(kind, body["name"], int(self.task_timeout)):
                    return
                raise
            return
        raise self._silent(f"POST {kind}")

    def create_user(self, name: str) -> str:
        """Make a user and return its secret key.

        Raises:
            OwnershipError: An answer was lost and the user cannot be told from another's.
        """
        for _ in range(_ASKED_AGAIN):
            try:
                reply = self._write("POST", self._path("users"), {"name": name})
            except LostAnswerError:
                # The key was shown to nobody and cannot be asked for: a user that appeared since
                # we looked is worth nothing to anyone and is made anew.
                if self._appears("users", name, _ASKED_AGAIN):
                    self.delete("users", name)
                continue
            key = _document(reply).get("secretKey")
            if not key:
                raise UnreachableError(
                    "a new user came without its secret key",
                    where=f"{self.base_url} users/{name}",
                    remedy="delete the user in GreenLake and try again",
                )
            return key
        raise self._silent("POST users")

    def update(self, kind: str, name: str, body: dict[str, Any]) -> None:
        """Change a bucket or an access policy. Asking twice changes nothing more."""
        self._repeated("PUT", self._path(kind, name), body)

    def apply_policy(self, user: str, policies: list[str]) -> None:
        """Give a user exactly these access policies."""
        body = {"name": user, "policies": policies, "type": "USER"}
        self._repeated("PUT", self._path("apply-policy"), body)

    def delete(self, kind: str, name: str) -> None:
        """Delete a bucket, user or access policy; it is gone when this returns."""
        self._repeated("DELETE", self._path(kind, name), None)

    def _repeated(self, method: str, path: str, body: dict[str, Any] | None) -> None:
        """Send a write that may be sent twice, until an answer comes."""
        for _ in range(_ASKED_AGAIN):
            try:
                reply = self._write(method, path, body)
                if method == "DELETE" and reply.status_code == HTTPStatus.NOT_FOUND:
                    return
                self._task(reply)
            except LostAnswerError:
                self.sleep(_PAUSE)
                continue
            return
        raise self._silent(f"{method} {path}")

    def _appears(self, kind: str, name: str, times: int) -> bool:
        """Look for a thing whose making was not answered, a pause between two looks."""
        for _ in range(times):
            if self.find(kind, name) is not None:
                return True
            self.sleep(_PAUSE)
        return False

    def _path(self, kind: str, name: str = "") -> str:
        system = quote(self.system_id, safe="")
        path = f"/object-storage/v1alpha1/devtype7-storage-systems/{system}/{kind}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _task(self, reply: httpx.Response) -> None:
        """Wait until the task of an answer has ended."""
        document = _document(reply)
        uri = reply.headers.get("location") or document.get("taskUri")
        if reply.status_code != HTTPStatus.ACCEPTED or not uri:
            return
        end = time.monotonic() + self.task_timeout
        pause = _PAUSE
        while True:
            task = self._get(uri if uri.startswith("/") else f"/{uri}")
            state = str(task.get("state") or task.get("status") or "UNSPECIFIED").upper()
            if state in {"SUCCEEDED", "SUCCESS", "COMPLETED"}:
                return
            if state not in RUNNING:
                raise TaskFailedError(
                    f"the task ended as {state}: {_reason(task)}",
                    where=f"{self.base_url}{uri}",
                    remedy="the reason above is the system's own; mend it and run again",
                )
            if time.monotonic() > end:
                raise TaskFailedError(
                    f"the task has not ended within {self.task_timeout:g} s",
                    where=f"{self.base_url}{uri}",
                    seen=state,
                    remedy="look at the system, or raise storage.greenlake.taskTimeoutSeconds",
                )
            self.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _get(self, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        for _ in range(_ASKED_AGAIN):
            try:
                reply = self._send("GET", path, params=params)
            except LostAnswerError:
                self.sleep(_PAUSE)
                continue
            if reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self.sleep(_PAUSE)
                continue
            return _document(self._judged(reply, f"GET {path}"))
        raise self._silent(f"GET {path}")

    def _write(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        reply = self._send(method, path, json=body)
        if reply.status_code in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}:
            raise LostAnswerError("a gateway lost the answer", where=f"{method} {path}")
        if method == "DELETE" and reply.status_code == HTTPStatus.NOT_FOUND:
            return reply
        return self._judged(reply, f"{method} {path}")

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request: again when the system is busy, once more when the token has ended."""
        renewed = False
        for _ in range(_ASKED_AGAIN):
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            try:
                reply = self._http.request(method, self.base_url + path, headers=headers, **more)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self.sleep(_PAUSE)  # nothing was sent
                continue
            except httpx.TransportError as error:
                raise LostAnswerError(
                    f"no answer: {type(error).__name__}", where=f"{method} {path}"
                ) from None
            if reply.status_code == HTTPStatus.UNAUTHORIZED and not renewed:
                renewed, self._token = True, ""
                continue
            if reply.status_code in _BUSY:
                self.sleep(_wait(reply))
                continue
            return reply
        raise self._silent(f"{method} {path}")

    def _bearer(self) -> str:
        if self._token and time.monotonic() < self._token_ends:
            return self._token
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        for _ in range(_ASKED_AGAIN):
            try:
                reply = self._http.post(self.token_url, data=form)
            except httpx.TransportError:
                self.sleep(_PAUSE)
                continue
            if reply.status_code in _BUSY or reply.is_server_error:
                self.sleep(_wait(reply))
                continue
            found = _document(reply)
            if reply.is_error or not found.get("access_token"):
                raise CredentialsError(
                    f"the client credentials are refused ({reply.status_code})",
                    where=self.token_url,
                    remedy="check storage.greenlake.clientId and clientSecret: the API client may"
                    " have been deleted or its secret reset",
                )
            self._token = found["access_token"]
            lifetime = float(found.get("expires_in") or 0)
            self._token_ends = time.monotonic() + max(lifetime - _SPARE_SECONDS, 1.0)
            return self._token
        raise UnreachableError(
            "no answer", where=self.token_url, remedy="check tokenUrl, DNS, proxy and firewall"
        )

    def _judged(self, reply: httpx.Response, what: str) -> httpx.Response:
        if not reply.is_error:
            return reply
        document = _document(reply)
        reason = document.get("message") or document.get("error") or "no reason given"
        code = document.get("errorCode") or reply.status_code
        where = f"{self.base_url} {what}"
        said = f"{code}: {reason} (debugId {document.get('debugId', 'none')})"
        if reply.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise CredentialsError(
                said, where=where, remedy="give the API client the permissions for object storage"
            )
        if reply.status_code == HTTPStatus.CONFLICT:
            raise OwnershipError(said, where=where, remedy="choose another name, or adopt it")
        if reply.is_client_error:
            raise ConfigurationError(
                said, where=where, remedy="check storage.greenlake: systemId, region and names"
            )
        raise UnreachableError(said, where=where, remedy="try again; the system is at fault")

    def _silent(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"no usable answer in {_ASKED_AGAIN} attempts",
            where=f"{self.base_url} {what}",
            remedy="check region or baseUrl, DNS, proxy and firewall",
        )


def _document(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _wait(reply: httpx.Response) -> float:
    try:
        asked = float(reply.headers.get("retry-after", _PAUSE))
    except ValueError:
        asked = _PAUSE
    return min(max(asked, 0.0), _LONGEST_PAUSE)


def _reason(task: dict[str, Any]) -> str:
    error = task.get("error")
    if isinstance(error, dict):
        error = error.get("error") or error.get("message")
    logs = task.get("logMessages") or []
    last = logs[-1].get("message") if logs and isinstance(logs[-1], dict) else None
    return str(error or last or task.get("message") or "no reason given")
