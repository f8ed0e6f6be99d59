"""Whether a key may do in its bucket what Milvus does: tried, not read from its policy.

A policy that was written and one that works are two things. A key that may not write is found here,
when it is made, and by the action's name; Milvus itself would say so minutes later, in its log.
"""

from __future__ import annotations

import http
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from infra.storage.minio.admin import MinioAdmin, Reply
from validation.errors import CredentialsError, UnreachableError

PREFIX = "milvus-kit-probe"


def require_usable(server: MinioAdmin, user: MinioAdmin, bucket: str, policy: str) -> None:
    """Make sure that a key may do everything that `infra.storage.policy` gives it.

    Args:
        server: With root's key, which lays out what is tried, and removes what is left.
        user: The same server with the key in question.
        bucket: That the key is for.
        policy: Name of the key's policy, for the message.

    Raises:
        CredentialsError: It may not; every action that was refused is named.
        UnreachableError: The server does not answer as one, or its volume is full.
    """
    key = f"/{bucket}/{PREFIX}/{secrets.token_hex(8)}"
    _expect(server.ask("PUT", key, body=b"milvus-kit"), f"PUT {key}")
    try:
        refused = list(_refused(server, user, bucket, key))
    finally:
        server.ask("DELETE", key)
    if refused:
        raise CredentialsError(
            f"the key that was made for Milvus may not {', '.join(refused)}",
            where=f"MinIO bucket {bucket}, policy {policy}",
            remedy="its policy must allow these actions on the bucket and its objects; mend the"
            " policy, then run `pulumi up` again",
        )


def _refused(server: MinioAdmin, user: MinioAdmin, bucket: str, key: str) -> Iterator[str]:
    """Yield the actions that are refused, each tried on its own."""
    listing = {"list-type": "2", "max-keys": "1", "prefix": PREFIX}
    upload = {"uploadId": _upload(server, key)}
    tried = {
        "s3:GetBucketLocation": ("GET", f"/{bucket}", {"location": ""}),
        "s3:ListBucket": ("GET", f"/{bucket}", listing),
        "s3:ListBucketMultipartUploads": ("GET", f"/{bucket}", {"uploads": "", "prefix": key}),
        "s3:GetObject": ("GET", key, {}),
        "s3:PutObject": ("PUT", key, {}),
        "s3:DeleteObject": ("DELETE", key, {}),
        "s3:ListMultipartUploadParts": ("GET", key, upload),
        "s3:AbortMultipartUpload": ("DELETE", key, upload),
    }
    try:
        for action, (method, path, query) in tried.items():
            reply = user.ask(method, path, query)
            if reply.status == http.HTTPStatus.FORBIDDEN:
                yield action
            else:
                _expect(reply, f"{method} {path} ({action})")
    finally:
        # Aborted already, unless that was refused or never tried.
        server.ask("DELETE", key, upload)


def _upload(server: MinioAdmin, key: str) -> str:
    reply = server.ask("POST", key, {"uploads": ""})
    _expect(reply, f"POST {key}")
    found = ET.fromstring(reply.body).find("{*}UploadId")  # noqa: S314  (our own server's answer)
    return found.text or "" if found is not None else ""


def _expect(reply: Reply, request: str) -> None:
    if reply.status >= http.HTTPStatus.BAD_REQUEST:
        raise UnreachableError(
            f"MinIO answers {reply.status} to {request}", remedy="look at MinIO's log"
        )
