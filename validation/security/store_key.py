"""What the key that Milvus uses for its store may do beyond its bucket: it should be nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import botocore.exceptions as boto

from validation.s3.client.boto import connect
from validation.s3.client.failures import error_code, status_of
from validation.security.act import Act
from validation.target import Storage

_FORBIDDEN = frozenset({401, 403, 405, 501})
"""A store that cannot do a thing at all lets nobody do it."""


def tried(storage: Storage) -> tuple[list[Act], list[str]]:
    """Return what came of trying, and what was answered in a way that says neither.

    Another bucket is nobody's, and is removed at once.

    Raises:
        botocore.exceptions.BotoCoreError: The store did not answer, and nothing was allowed.
    """
    client = connect(storage)
    bucket = f"milvus-kit-{secrets.token_hex(8)}"
    asks: dict[str, Callable[[], str]] = {
        "create another bucket": lambda: _created(client, bucket, storage.region),
        "read the policy of its bucket": lambda: _policy(client, storage.bucket),
        "see the names of other buckets": lambda: _others(client, storage.bucket),
    }
    found, unasked = [], []
    silent: boto.BotoCoreError | None = None
    for name, ask in asks.items():
        try:
            said = ask()
        except boto.ClientError as error:
            answer = f"{status_of(error)} {error_code(error)}"
            if status_of(error) in _FORBIDDEN:
                found.append(Act(name, wrong=False, said=answer))
            else:
                unasked.append(f"{name}: {answer}")
        except boto.BotoCoreError as error:
            silent = error
            unasked.append(f"{name}: {type(error).__name__}")
        else:
            found.append(Act(name, bool(said), said))
    if silent is not None and not any(one.wrong for one in found):
        raise silent
    return found, unasked


def _created(client: Any, bucket: str, region: str) -> str:
    # S3 refuses to be told its default region, and elsewhere not to be told.
    where = {"LocationConstraint": region}
    told = {} if region == "us-east-1" else {"CreateBucketConfiguration": where}
    client.create_bucket(Bucket=bucket, **told)
    try:
        client.delete_bucket(Bucket=bucket)
    except (boto.ClientError, boto.BotoCoreError) as error:
        code = error_code(error) if isinstance(error, boto.ClientError) else type(error).__name__
        return f"allowed; bucket {bucket} could not be removed: {code}; remove it"
    return "allowed"


def _policy(client: Any, bucket: str) -> str:
    try:
        client.get_bucket_policy(Bucket=bucket)
    except boto.ClientError as error:
        if error_code(error) != "NoSuchBucketPolicy":
            raise
    return "allowed"


def _others(client: Any, bucket: str) -> str:
    others = {one["Name"] for one in client.list_buckets()["Buckets"]} - {bucket}
    return f"{len(others)} names" if others else ""
