"""The few calls to a MinIO server that make a bucket, a policy and a user.

MinIO's own image need not hold a client, and no setup image is wanted in a cluster, so the program
speaks to the server itself: S3 for the bucket, the admin API (v3) for the rest. All calls are
idempotent: asking twice changes nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from infra.patience import patiently
from infra.storage.minio.crypto import encrypted
from validation.errors import CredentialsError, OwnershipError, UnreachableError

Connect = Callable[[], AbstractContextManager[Any]]
_PATIENCE_SECONDS = 90.0


class _NotReadyError(Exception):
    """The server is starting, or the connection broke: ask again."""


@dataclass(frozen=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: bytes

    def document(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class MinioAdmin:
    """A MinIO server and its root key.

    Args:
        connect: Yields a connected socket.
        server_name: Name the server is addressed by, and the one in its certificate.
        port: Its port.
        ca_pem: CA of its certificate; None: plain HTTP.
        access_key: Root's.
        secret_key: Root's.
        region: Region that requests are signed for.
    """

    connect: Connect
    server_name: str
    port: int
    ca_pem: str | None
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def as_user(self, access_key: str, secret_key: str) -> MinioAdmin:
        """Return a client for the same server with another key."""
        return replace(self, access_key=access_key, secret_key=secret_key)

    def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """Send one S3 request and return the answer, whatever its status.

        Raises:
            UnreachableError: The server does not answer, or its volume is full.
        """
        target = quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            reply = patiently(
                lambda: self._once(method, target, body),
                on=_NotReadyError,
                seconds=_PATIENCE_SECONDS,
                first_wait=0.25,
            )
        except _NotReadyError as error:
            raise UnreachableError(
                f"MinIO does not answer: {error}",
                where=f"{self.server_name}:{self.port}",
                remedy="look at the pod's events and log",
            ) from None
        if reply.status == http.HTTPStatus.INSUFFICIENT_STORAGE:
            raise UnreachableError(
                f"MinIO's volume is full: it refuses {method} {path}",
                where=f"{self.server_name}:{self.port}",
                remedy="enlarge storage.volume.size, or free space on the disk behind the volume",
            )
        return reply

    def has_bucket(self, bucket: str) -> bool:
        """Tell whether the bucket is there."""
        return self._call("HEAD", f"/{bucket}", allow={404}).status != http.HTTPStatus.NOT_FOUND

    def make_bucket(self, bucket: str) -> None:
        """Make the bucket, if it is not there."""
        # 409: it is there already, and root owns every bucket of this server.
        self._call("PUT", f"/{bucket}", allow={409})

    def delete_bucket(self, bucket: str) -> None:
        """Delete the bucket, if it is there.

        Raises:
            OwnershipError: It holds objects, and objects are never deleted here.
        """
        reply = self._call("DELETE", f"/{bucket}", allow={404, 409})
        if reply.status == http.HTTPStatus.CONFLICT:
            raise OwnershipError(
                "the bucket is not empty, so it is not deleted",
                where=f"MinIO bucket {bucket}",
                remedy="copy or delete its objects yourself, then run again",
            )

    def policy(self, name: str) -> dict[str, Any] | None:
        """Return a policy document, or None."""
        query = {"name": name, "v": "2"}
        reply = self._admin("GET", "info-canned-policy", query, allow={404})
        return reply.document().get("Policy") if reply.status == http.HTTPStatus.OK else None

    def put_policy(self, name: str, document: dict[str, Any]) -> None:
        """Make or change a policy."""
        body = json.dumps(document).encode()
        self._admin("PUT", "add-canned-policy", {"name": name}, body)

    def delete_policy(self, name: str) -> None:
        """Delete a policy, if it is there."""
        self._admin("DELETE", "remove-canned-policy", {"name": name}, allow={404})

    def user_policy(self, user: str) -> str | None:
        """Return the name of the policy of an enabled user, or None if there is no such user."""
        reply = self._admin("GET", "user-info", {"accessKey": user}, allow={404})
        if reply.status == http.HTTPStatus.NOT_FOUND:
            return None
        info = reply.document()
        return info.get("policyName", "") if info.get("status") == "enabled" else ""

    def put_user(self, user: str, secret_key: str, policy: str) -> None:
        """Make a user or change its key, and give it exactly one policy."""
        entry = json.dumps({"secretKey": secret_key, "status": "enabled"}).encode()
        body = encrypted(self.secret_key, entry)
        self._admin("PUT", "add-user", {"accessKey": user}, body)
        query = {"policyName": policy, "userOrGroup": user, "isGroup": "false"}
        self._admin("PUT", "set-user-or-group-policy", query)

    def delete_user(self, user: str) -> None:
        """Delete a user, if it is there."""
        self._admin("DELETE", "remove-user", {"accessKey": user}, allow={404})

    def _admin(
        self,
        method: str,
        call: str,
        query: dict[str, str],
        body: bytes = b"",
        *,
        allow: set[int] | frozenset[int] = frozenset(),
    ) -> Reply:
        return self._call(method, f"/minio/admin/v3/{call}", query, body, allow=allow)

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        allow: set[int] | frozenset[int] = frozenset(),
    ) -> Reply:
        reply = self.ask(method, path, query, body)
        if reply.status < http.HTTPStatus.BAD_REQUEST or reply.status in allow:
            return reply
        if reply.status == http.HTTPStatus.FORBIDDEN:
            raise CredentialsError(
                "MinIO refuses its root key",
                where=f"{self.server_name}:{self.port}",
                remedy="the volume may belong to an earlier deployment: delete its claim, or"
                " import the earlier stack",
            )
        raise UnreachableError(
            f"MinIO answers {reply.status} to {method} {path}",
            where=f"{self.server_name}:{self.port}",
            remedy="look at MinIO's log",
        )

    def _once(self, method: str, target: str, body: bytes) -> Reply:
        headers = self._signed(method, target, body)
        try:
            connection = http.client.HTTPConnection(self.server_name, self.port)
            with self.connect() as plain, contextlib.closing(connection):
                connection.sock = self._secured(plain)
                connection.request(method, target, body or None, headers)
                answer = connection.getresponse()
                reply = Reply(answer.status, answer.read())
        except CredentialsError:
            raise  # the API server's own, which no patience changes
        except (OSError, http.client.HTTPException, UnreachableError) as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                raise UnreachableError(
                    f"its certificate is not accepted: {error.verify_message}",
                    where=f"{self.server_name}:{self.port}",
                    remedy="the server may still run with an earlier certificate: restart it",
                ) from None
            raise _NotReadyError(str(error) or type(error).__name__) from None
        full = reply.status == http.HTTPStatus.INSUFFICIENT_STORAGE
        if reply.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR and not full:
            raise _NotReadyError(f"status {reply.status}")
        return reply

    def _secured(self, plain: Any) -> Any:
        if self.ca_pem is None:
            return plain
        context = ssl.create_default_context(cadata=self.ca_pem)
        return context.wrap_socket(plain, server_hostname=self.server_name)

    def _signed(self, method: str, target: str, body: bytes) -> dict[str, str]:
        scheme = "http" if self.ca_pem is None else "https"
        url = f"{scheme}://{self.server_name}:{self.port}{target}"
        request = AWSRequest(method=method, url=url, data=body)
        request.headers["Host"] = f"{self.server_name}:{self.port}"
        request.context["payload_signing_enabled"] = True  # the admin API refuses unsigned bodies
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", self.region).add_auth(
            request
        )
        return dict(request.headers.items())
