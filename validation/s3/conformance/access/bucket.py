"""The bucket: Milvus asks for it at start."""

from __future__ import annotations

from http import HTTPStatus

import botocore.exceptions as boto

from validation.errors import UnsupportedError
from validation.s3.client.failures import error_code, is_failure, is_full, status_of
from validation.s3.conformance.model import Evidence, Need, NotDeclaredError, check, require
from validation.s3.workspace import Workspace

_AT_START = "every role, at start (minio-go BucketExists)"


@check("bucket.head", by=_AT_START, breaks="Milvus does not start: it cannot tell if it is there")
def head(space: Workspace) -> Evidence:
    """HeadBucket finds the declared bucket."""
    space.s3.head_bucket(Bucket=space.bucket)


@check("bucket.missing", by=_AT_START, breaks="Milvus goes on with a bucket that does not exist")
def missing(space: Workspace) -> Evidence:
    """HeadBucket answers 404 (or 403) for a bucket that does not exist."""
    name = f"milvus-kit-preflight-{space.run}-absent"
    try:
        space.s3.head_bucket(Bucket=name)
    except boto.ClientError as error:
        status = status_of(error)
        require(status in {403, 404}, "an absent bucket is not answered with 404", status=status)
        return {"status": status}
    require(False, "HeadBucket says that a bucket exists which nobody made")
    return None


@check(
    "bucket.location",
    by="minio-go, where no region is configured",
    breaks="clients that ask for the region sign for another one and are refused",
    need=Need.OPERATION,
)
def location(space: Workspace) -> Evidence:
    """GetBucketLocation names the declared region."""
    found = space.s3.get_bucket_location(Bucket=space.bucket).get("LocationConstraint")
    region = found or "us-east-1"  # S3 calls its default region by no name
    require(
        region == space.storage.region,
        f"the bucket is in {region}, declared is {space.storage.region}",
        region=region,
    )
    return {"region": region}


@check(
    "bucket.creation",
    by="Milvus creates a missing bucket by itself",
    breaks="a misspelt bucket is created silently, or a fresh installation stops",
    need=Need.DECLARED,
)
def creation(space: Workspace) -> Evidence:
    """The key may make buckets, or may not, as declared."""
    declared = space.permissions.bucket_creation
    if declared is None:
        raise NotDeclaredError("whether the key may make buckets was not declared")
    name = f"milvus-kit-preflight-{space.run}-creation"
    try:
        space.try_bucket(name)
    except boto.ClientError as error:
        if is_failure(error) and status_of(error) != HTTPStatus.NOT_IMPLEMENTED:
            raise
        require(declared == "refused", f"CreateBucket was refused: {error_code(error)}")
        if is_full(error) or error_code(error) == "TooManyBuckets":
            raise UnsupportedError(
                f"no bucket was made for want of room ({error_code(error)}), which does not say"
                " whether the key may"
            ) from None
        return {"refused": error_code(error)}
    require(declared == "allowed", "CreateBucket was allowed, declared is: refused")
    return {"allowed": True}
