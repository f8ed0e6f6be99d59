"""The management API of an X10000 whose buckets, policies and users are those of a real store."""

from __future__ import annotations

from typing import Any

from infra.storage.minio.admin import MinioAdmin
from tests.infra.greenlake_server import RefusedError, Store
from validation.errors import OwnershipError


class Effective(Store):
    """What the API takes on happens on a MinIO, with MinIO's own means.

    Args:
        admin: Of the server.
    """

    def __init__(self, admin: MinioAdmin) -> None:
        self._admin = admin

    def make(self, kind: str, name: str, body: dict[str, Any]) -> None:
        """Make a bucket, or an access policy in the words of a MinIO."""
        if kind == "buckets":
            self._admin.make_bucket(name)
        else:
            self._admin.put_policy(name, _in_aws_words(body))

    def remove(self, kind: str, name: str) -> None:
        """Remove it; a bucket that holds objects stays.

        Raises:
            RefusedError: The bucket is not empty.
        """
        removals = {
            "buckets": self._admin.delete_bucket,
            "users": self._admin.delete_user,
            "access-policies": self._admin.delete_policy,
        }
        try:
            removals[kind](name)
        except OwnershipError as error:
            raise RefusedError(error.what) from None

    def give(self, user: str, secret_key: str, policies: list[str]) -> None:
        """Make the user, whose access key is its name, with its policy."""
        (policy,) = policies
        self._admin.put_user(user, secret_key, policy)


def _in_aws_words(body: dict[str, Any]) -> dict[str, Any]:
    statements = [
        {
            "Effect": one["effect"].capitalize(),
            "Action": one["action"],
            "Resource": one["resource"],
        }
        for one in body["statement"]
    ]
    return {"Version": body["version"], "Statement": statements}
