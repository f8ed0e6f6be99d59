"""The boto3 client of a store, made from the storage contract.

boto3 speaks S3 as users know it; it is set to path style and to checksums only where S3 requires
them, because that is what third-party stores and Milvus's own clients have in common. It does not
retry by itself: a conformance check must see the first answer. There are two exceptions, in which
there was no answer. One is a kept-alive connection that turns out to be closed (servers do that
after refusing a body they did not read): HTTP clients, Milvus's too, open another one. The other is
a fault of this client: urllib3 writes the ALPN names into the TLS context that all its connections
share, anew for each, so of many that connect at once one in thousands says a garbled hello, which
the store refuses with the alert decode_error. Nor does it follow
redirects: a store that sends clients elsewhere is to be named, and botocore follows without end.

The contract alone says how the store is reached. Profiles and files of AWS's tools, a session token
and proxies in the environment are passed over: the pods of Milvus have none of them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import botocore
import botocore.exceptions as boto
from boto3.session import Session
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.session import Session as Core

from validation.common.trust import accept_issuers
from validation.s3.client.endpoint import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Keys,
    client_certificate_of,
    endpoint_of,
    keys_of,
    trusted_file_of,
)
from validation.s3.client.wire import is_page
from validation.target import Storage

_GARBLED = "ALERT_DECODE_ERROR"
"""What OpenSSL calls the alert by which a server refuses a hello that it cannot read."""


class WebPageError(ResponseParserError):
    """A web page came in place of S3's answer."""


@functools.lru_cache
def _session() -> Session:
    """One session, so that the service's description is read from disk once.

    It reads no file of AWS's tools and knows no profile: one that AWS_PROFILE names, and that is
    not there, would end every call.
    """
    core = Core()
    for name in ("config_file", "credentials_file"):
        core.set_config_variable(name, os.devnull)
    core.get_component("config_store").set_config_variable("profile", None)
    return Session(botocore_session=core)


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
    client = _session().client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=region or storage.region,
        aws_access_key_id=pair.access if pair else None,
        aws_secret_access_key=pair.secret if pair else None,
        verify=_verified(storage) if endpoint.tls else False,
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
    accept_issuers_of(client)
    events = client.meta.events
    events.register("needs-retry.s3", _where_nothing_was_answered)
    # Redirects are followed by what this handler notes of a request, and by nothing else.
    events.register_last("before-parameter-build.s3", _follow_no_redirect)
    # Wildcards come first: botocore would have made a 500 of a success that it cannot read.
    events.register("before-parse.*.*", _refuse_web_page)
    if storage.addressing == "virtual" and not endpoint.numeric:
        events.register_last("before-endpoint-resolution.s3", _name_bucket_in_host)
    return client


def accept_issuers_of(client: Any) -> None:
    """Let a client of boto3 trust as Milvus's do: see `accept_issuers`.

    botocore has no setting for it; its connection pools share the context that is changed here.
    """
    pools = client._endpoint.http_session._manager  # noqa: SLF001
    accept_issuers(pools.connection_pool_kw["ssl_context"])


def _verified(storage: Storage) -> str | bool:
    """Return the certificates to trust, as botocore takes them."""
    found = trusted_file_of(storage)
    return True if found is None else str(found)


def _where_nothing_was_answered(
    attempts: int, caught_exception: Exception | None, **_: object
) -> float | None:
    """Return the seconds after which to send a request again; None if it must not be."""
    closed = isinstance(caught_exception, boto.ConnectionClosedError)
    garbled = isinstance(caught_exception, boto.SSLError) and _GARBLED in str(caught_exception)
    return 0.0 if (closed or garbled) and attempts == 1 else None


def _follow_no_redirect(context: dict[str, Any], **_: object) -> None:
    """Let botocore believe that it has followed the one redirect that it allows a request."""
    context.setdefault("s3_redirect", {})["redirected"] = True


def _name_bucket_in_host(builtins: dict[str, Any], **_: object) -> None:
    """Let botocore ask for the bucket's location as for all else; it would name it in the path."""
    builtins["AWS::S3::ForcePathStyle"] = False


_OBJECTS = frozenset({"GetObject", "HeadObject"})
"""What these answer has the type that the object's writer gave it, and an ETag."""


def _refuse_web_page(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse a success that is a web page, such as a proxy's that tells of maintenance.

    Where nothing has to be in the answer botocore takes it for one of S3's. By its type alone it is
    not known: there are stores that give it to answers of S3.

    Raises:
        WebPageError: It is.
    """
    headers, body = response_dict["headers"], response_dict["body"]
    if operation_model.name in _OBJECTS:  # the body is a stream, and may be a page of the user's
        html = (headers.get("content-type") or "").startswith("text/html")
        page = html and "etag" not in headers
    else:
        page = isinstance(body, bytes) and is_page(body)
    status = response_dict["status_code"]
    if page and status in {200, 204, 206}:
        raise WebPageError(f"{operation_model.name} was answered {status} with a web page")
