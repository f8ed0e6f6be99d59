"""What Milvus's S3 key may do: everything it needs in its own bucket, and nothing elsewhere."""

from __future__ import annotations

from typing import Any

BUCKET_ACTIONS = (
    "s3:GetBucketLocation",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
)
OBJECT_ACTIONS = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
)


def for_bucket(bucket: str) -> dict[str, Any]:
    """Return the least policy with which Milvus works, as an AWS policy document.

    The bucket belongs to one Milvus alone, so it is the boundary: Milvus's own objects, etcd's
    snapshots and results of validation share it under different prefixes. Making or deleting the
    bucket, its policies, versions and locks are left out on purpose.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": list(BUCKET_ACTIONS),
                "Resource": [f"arn:aws:s3:::{bucket}"],
            },
            {
                "Effect": "Allow",
                "Action": list(OBJECT_ACTIONS),
                "Resource": [f"arn:aws:s3:::{bucket}/*"],
            },
        ],
    }


def same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Tell whether two policy documents allow the same, whatever the order of their parts."""
    return _normal(one) == _normal(other)


def _normal(document: dict[str, Any] | None) -> Any:
    if document is None:
        return None
    return sorted(
        (
            str(statement.get("Effect", "")).lower(),
            tuple(sorted(_list(statement.get("Action")))),
            tuple(sorted(_list(statement.get("Resource")))),
            repr(statement.get("Condition") or None),
        )
        for statement in document.get("Statement", [])
    )


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value or []]
