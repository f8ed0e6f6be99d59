"""A session with HPE GreenLake's REST services: its token, its pauses, and what an answer means.

A token is asked for with client credentials and renewed when it ends. A busy system is asked again,
and so is one that cannot be connected to. An answer to a write can be lost on its way: that is told
apart, because the write may have happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from validation.common.proxies import obeyed
from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
)

ASKED_AGAIN = 6
"""How often a request is sent until it is given up."""
PAUSE, LONGEST_PAUSE = 1.0, 30.0
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_SPARE_SECONDS = 60
_DIRECTLY: dict[str, httpx.BaseTransport | None] = {
    "all://localhost": None,
    "all://127.0.0.1": None,
    "all://[::1]": None,
}
"""Who is asked without the proxy that the environment names; None is httpx's word for that."""


class LostAnswerError(MilvusKitError):
    """A write was sent and no answer came: it may have happened."""


@dataclass(kw_only=True)
class Session:
    """Requests with a bearer token.

    Args:
        base_url: ``https://REGION.api.greenlake.hpe.com``.
        token_url: Where client credentials are exchanged for a token.
        client_id: Of an API client with permissions for object storage.
        client_secret: Its secret.
        sleep: How to wait.
    """

    base_url: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    _http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=30.0, mounts=_DIRECTLY),
        repr=False,
        init=False,
    )
    _token: str = field(default="", repr=False, init=False)
    _token_ends: float = field(default=0.0, repr=False, init=False)

    def get(self, path: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a document; a lost answer is asked for again.

        Raises:
            CredentialsError: The client credentials or their permissions do not suffice.
            ConfigurationError: There is no such thing.
            UnreachableError: No usable answer came.
        """
        for _ in range(ASKED_AGAIN):
            try:
                reply = self._send("GET", path, params=params)
            except LostAnswerError:
                self.sleep(PAUSE)
                continue
            if reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self.sleep(PAUSE)
                continue
            return document_of(self._judged(reply, f"GET {path}"))
        raise self.silent(f"GET {path}")

    def write(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """Send a write and return its answer: a success, or 404 to a DELETE.

        It is sent again only where it surely did not happen.

        Raises:
            LostAnswerError: It was sent and no answer came; look before asking again.
            OwnershipError: The name is taken.
            CredentialsError: As `get`.
            ConfigurationError: The system refuses what is asked.
            UnreachableError: The system is at fault, or not there.
        """
        reply = self._send(method, path, json=body)
        if reply.status_code in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}:
            raise LostAnswerError("a gateway lost the answer", where=f"{method} {path}")
        if method == "DELETE" and reply.status_code == HTTPStatus.NOT_FOUND:
            return reply
        return self._judged(reply, f"{method} {path}")

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request: again when the system is busy, once more when the token has ended."""
        renewed = False
        for _ in range(ASKED_AGAIN):
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            try:
                reply = self._http.request(method, self.base_url + path, headers=headers, **more)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self.sleep(PAUSE)  # nothing was sent
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
        raise self.silent(f"{method} {path}")

    def _bearer(self) -> str:
        if self._token and time.monotonic() < self._token_ends:
            return self._token
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        for _ in range(ASKED_AGAIN):
            try:
                reply = self._http.post(self.token_url, data=form)
            except httpx.TransportError:
                self.sleep(PAUSE)
                continue
            if reply.status_code in _BUSY or reply.is_server_error:
                self.sleep(_wait(reply))
                continue
            found = document_of(reply)
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
            "no answer",
            where=self.token_url,
            remedy=obeyed("check tokenUrl, DNS, proxy and firewall"),
        )

    def _judged(self, reply: httpx.Response, what: str) -> httpx.Response:
        if not reply.is_error:
            return reply
        document = document_of(reply)
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

    def silent(self, what: str) -> UnreachableError:
        """Return the error for a request that was given up."""
        return UnreachableError(
            f"no usable answer in {ASKED_AGAIN} attempts",
            where=f"{self.base_url} {what}",
            remedy=obeyed("check region or baseUrl, DNS, proxy and firewall"),
        )


def document_of(reply: httpx.Response) -> dict[str, Any]:
    """Return an answer's document; empty if it holds none."""
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _wait(reply: httpx.Response) -> float:
    try:
        asked = float(reply.headers.get("retry-after", PAUSE))
    except ValueError:
        asked = PAUSE
    return min(max(asked, 0.0), LONGEST_PAUSE)
