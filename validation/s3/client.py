"""The boto3 client of a store, made from the storage contract.

boto3 speaks S3 as users know it; it is set to path style and to checksums only where S3 requires
them, because that is what third-party stores and Milvus's own clients have in common. It does not
retry by itself: a conformance check must see the first answer. The one exception is a kept-alive
connection that turns out to be closed (servers do that after refusing a body they did not read):
there was no answer then, and HTTP clients, Milvus's too, open another one.
"""

from __future__ import annotations

import functools
from typing import Any

import botocore
import botocore.exceptions as boto
from boto3.session import Session
from botocore.config import Config

from validation.s3.endpoint import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Keys,
    ca_file_of,
    client_certificate_of,
    endpoint_of,
    keys_of,
)
from validation.target import Storage


@functools.lru_cache
def _session() -> Session:
    """One session, so that the service's description is read from disk once."""
    return Session()


def connect(
    storage: Storage,
    *,
    keys: Keys | None = None,
    anonymous: bool = False,
    region: str | None = None,
    checksums: str = "when_required",
    read_seconds: float = READ_SECONDS,
    connections: int = 64,
) -> Any:
    """Return a boto3 S3 client of a store.

    Args:
        storage: The store.
        keys: Used instead of the declared ones.
        anonymous: Sign nothing.
        region: Used instead of the declared one.
        checksums: ``when_required``, or ``when_supported`` as AWS's own clients do by default.
        read_seconds: How long to wait for an answer.
        connections: Size of the connection pool.

    Raises:
        ConfigurationError: The contract's endpoint, keys or CA file cannot be used.
    """
    endpoint = endpoint_of(storage)
    pair = None if anonymous else keys or keys_of(storage)
    tls = storage.tls
    client = _session().client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=region or storage.region,
        aws_access_key_id=pair.access if pair else None,
        aws_secret_access_key=pair.secret if pair else None,
        verify=(str(ca_file_of(storage) or True) if tls.ca_file or tls.ca_pem else True)
        if endpoint.tls
        else False,
        config=Config(
            signature_version=botocore.UNSIGNED if anonymous else "s3v4",
            s3={"addressing_style": storage.addressing},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=connections,
            client_cert=client_certificate_of(storage),
            proxies={},
        ),
    )
    client.meta.events.register("needs-retry.s3", _on_closed_connection)
    return client


def _on_closed_connection(
    attempts: int, caught_exception: Exception | None, **_: object
) -> float | None:
    """Return the seconds after which to send a request again; None if it must not be."""
    closed = isinstance(caught_exception, boto.ConnectionClosedError)
    return 0.0 if closed and attempts == 1 else None
