"""A bucket and a user of a MinIO server, as Pulumi resources with real read, diff and delete."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from infra.kubernetes.portforward import forwarded
from infra.provider import Provider
from infra.storage import policy

if TYPE_CHECKING:
    from infra.storage.minio.admin import MinioAdmin

SECRETS = ["kubeconfig", "root_secret_key", "access_key", "secret_key"]


def admin(props: dict[str, Any]) -> MinioAdmin:
    """Return a client for the server that a resource's properties describe.

    ``address`` (host:port) connects directly; otherwise the API server forwards to ``pod``.
    """
    from infra.storage.minio.admin import MinioAdmin  # noqa: PLC0415  (slow; programs only declare)

    port = int(props["port"])

    def connect() -> contextlib.AbstractContextManager[socket.socket]:
        if props.get("address"):
            host, _, direct = props["address"].rpartition(":")
            return contextlib.closing(socket.create_connection((host, int(direct)), timeout=30))
        return forwarded(props, props["pod"], port)

    return MinioAdmin(
        connect=connect,
        server_name=props["server_name"],
        port=port,
        ca_pem=props.get("ca_pem") or None,
        access_key=props["root_access_key"],
        secret_key=props["root_secret_key"],
        region=props["region"],
    )


def _changed(olds: dict[str, Any], news: dict[str, Any], computed: tuple[str, ...]) -> bool:
    """Tell whether any input differs; how the server is reached counts, for a later delete."""
    keys = (set(olds) | set(news)) - {"__provider", *computed}
    return any(olds.get(key) != news.get(key) for key in keys)


class BucketProvider(Provider):
    """A bucket. Its id is its name."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the bucket, if it is not there."""
        admin(props).make_bucket(props["bucket"])
        return CreateResult(props["bucket"], props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look whether the bucket is there."""
        return ReadResult(id_ if admin(props).has_bucket(id_) else "", props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace it when its name has changed."""
        replaces = ["bucket"] if olds["bucket"] != news["bucket"] else []
        return DiffResult(changes=bool(replaces) or _changed(olds, news, ()), replaces=replaces)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Keep the bucket, or make it again where the server is a new one."""
        admin(news).make_bucket(news["bucket"])
        return UpdateResult(news)

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Delete the bucket if it is empty."""
        admin(props).delete_bucket(id_)


class UserProvider(Provider):
    """A user with a policy of its own, whose name is its id."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make policy and user."""
        # An id stands in the state in plain text, and the access key is kept as a secret.
        return CreateResult(props["policy_name"], self._put(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the user and at what its policy really allows."""
        server = admin(props)
        attached = server.user_policy(props["access_key"])
        if attached is None:
            return ReadResult("", props)
        live = server.policy(props["policy_name"]) or {}
        return ReadResult(id_, {**props, "attached": attached, "policy": live})

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Replace the user when its access key has changed; put anything else right in place."""
        replaces = [key for key in ("access_key", "policy_name") if olds[key] != news[key]]
        drifted = olds.get("attached", news["policy_name"]) != news["policy_name"]
        drifted = drifted or not policy.same(olds["policy"], news["policy"])
        moved = _changed(olds, news, ("attached", "policy"))
        return DiffResult(changes=bool(replaces) or drifted or moved, replaces=replaces)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Put key and policy right."""
        return UpdateResult(self._put(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Delete user and policy."""
        server = admin(props)
        server.delete_user(props["access_key"])
        server.delete_policy(props["policy_name"])

    def _put(self, props: dict[str, Any]) -> dict[str, Any]:
        from infra.storage.minio import key as minio_key  # noqa: PLC0415  (as above)

        server = admin(props)
        server.put_policy(props["policy_name"], props["policy"])
        access_key, secret_key = props["access_key"], props["secret_key"]
        server.put_user(access_key, secret_key, props["policy_name"])
        user = server.as_user(access_key, secret_key)
        minio_key.require_usable(server, user, props["bucket"], props["policy_name"])
        return {**props, "attached": props["policy_name"]}


class MinioBucket(Resource, name="MinioBucket"):
    """A bucket of a MinIO server."""

    def __init__(
        self,
        resource_name: str,
        server: dict[str, pulumi.Input[Any]],
        bucket: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(
            BucketProvider(),
            resource_name,
            {**server, "bucket": bucket},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=SECRETS)
            ),
        )


class MinioUser(Resource, name="MinioUser"):
    """A user of a MinIO server with one policy."""

    def __init__(
        self,
        resource_name: str,
        server: dict[str, pulumi.Input[Any]],
        inputs: dict[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(
            UserProvider(),
            resource_name,
            {**server, **inputs, "attached": None},
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(additional_secret_outputs=SECRETS)
            ),
        )
