"""HPE GreenLake Object Storage, REST v1alpha1: buckets, access policies and users of an X10000.

A write is answered with 202 and the URI of a task, which is polled until it ends; a new user is
answered with 201 and its secret key, shown this once. Where the answer to a write was lost the
client looks before it asks again, and never makes a thing twice.

Sources: the API's published description, and HPE's own COSI driver for users, policies applied to
them, and the states of a task.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from infra.storage.greenlake.session import (
    ASKED_AGAIN,
    LONGEST_PAUSE,
    PAUSE,
    LostAnswerError,
    Session,
    document_of,
)
from validation.errors import MilvusKitError, OwnershipError, UnreachableError

RUNNING = frozenset({"INITIALIZED", "PAUSED", "RUNNING", "SUBMITTED"})
_PAGE = 1000


class TaskFailedError(MilvusKitError):
    """A task ended, and not with success."""


@dataclass(kw_only=True)
class GreenLake:
    """The API of one X10000.

    Args:
        session: With the GreenLake region that manages it.
        system_id: Of the X10000.
        task_timeout: How long a task may take, in seconds.
    """

    session: Session
    system_id: str
    task_timeout: float = 600.0

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return the bucket, user or access policy of that name, or None.

        Args:
            kind: ``buckets``, ``users`` or ``access-policies``.
            name: Its name; names are unique in a system.
        """
        offset = 0
        while True:
            query = {"limit": _PAGE, "offset": offset}
            page = self.session.get(self._path(kind), params=query)
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
        for _ in range(ASKED_AGAIN):
            try:
                self._task(self.session.write("POST", self._path(kind), body))
            except LostAnswerError:
                # It may be on its way: once it shows it is ours, because nothing was there.
                lost = True
                if self._appears(kind, body["name"], ASKED_AGAIN):
                    return
                continue
            except OwnershipError:
                # Nothing was there, and our own first request is in the way of the second.
                if lost and self._appears(kind, body["name"], int(self.task_timeout)):
                    return
                raise
            return
        raise self.session.silent(f"POST {kind}")

    def create_user(self, name: str) -> str:
        """Make a user and return its secret key.

        Raises:
            OwnershipError: An answer was lost and the user cannot be told from another's.
        """
        for _ in range(ASKED_AGAIN):
            try:
                reply = self.session.write("POST", self._path("users"), {"name": name})
            except LostAnswerError:
                # The key was shown to nobody and cannot be asked for: a user that appeared since
                # we looked is worth nothing to anyone and is made anew.
                if self._appears("users", name, ASKED_AGAIN):
                    self.delete("users", name)
                continue
            key = document_of(reply).get("secretKey")
            if not key:
                raise UnreachableError(
                    "a new user came without its secret key",
                    where=f"{self.session.base_url} users/{name}",
                    remedy="delete the user in GreenLake and try again",
                )
            return key
        raise self.session.silent("POST users")

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
        for _ in range(ASKED_AGAIN):
            try:
                reply = self.session.write(method, path, body)
                if method == "DELETE" and reply.status_code == HTTPStatus.NOT_FOUND:
                    return
                self._task(reply)
            except LostAnswerError:
                self.session.sleep(PAUSE)
                continue
            return
        raise self.session.silent(f"{method} {path}")

    def _appears(self, kind: str, name: str, times: int) -> bool:
        """Look for a thing whose making was not answered, a pause between two looks."""
        for _ in range(times):
            if self.find(kind, name) is not None:
                return True
            self.session.sleep(PAUSE)
        return False

    def _path(self, kind: str, name: str = "") -> str:
        system = quote(self.system_id, safe="")
        path = f"/object-storage/v1alpha1/devtype7-storage-systems/{system}/{kind}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _task(self, reply: httpx.Response) -> None:
        """Wait until the task of an answer has ended."""
        document = document_of(reply)
        uri = reply.headers.get("location") or document.get("taskUri")
        if reply.status_code != HTTPStatus.ACCEPTED or not uri:
            return
        end = time.monotonic() + self.task_timeout
        pause = PAUSE
        while True:
            task = self.session.get(uri if uri.startswith("/") else f"/{uri}")
            state = str(task.get("state") or task.get("status") or "UNSPECIFIED").upper()
            if state in {"SUCCEEDED", "SUCCESS", "COMPLETED"}:
                return
            if state not in RUNNING:
                raise TaskFailedError(
                    f"the task ended as {state}: {_reason(task)}",
                    where=f"{self.session.base_url}{uri}",
                    remedy="the reason above is the system's own; mend it and run again",
                )
            if time.monotonic() > end:
                raise TaskFailedError(
                    f"the task has not ended within {self.task_timeout:g} s",
                    where=f"{self.session.base_url}{uri}",
                    seen=state,
                    remedy="look at the system, or raise storage.greenlake.taskTimeoutSeconds",
                )
            self.session.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _reason(task: dict[str, Any]) -> str:
    error = task.get("error")
    if isinstance(error, dict):
        error = error.get("error") or error.get("message")
    logs = task.get("logMessages") or []
    last = logs[-1].get("message") if logs and isinstance(logs[-1], dict) else None
    return str(error or last or task.get("message") or "no reason given")
