"""What the errors of an S3 store mean, in words: one mapping for all calls of boto3."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError

from validation.common.addresses import is_ip
from validation.common.proxies import passed_over
from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MilvusKitError,
    UnreachableError,
)
from validation.s3.client.endpoint import endpoint_of
from validation.target import Storage

_REFUSED = frozenset(
    {"403", "401", "AccessDenied", "InvalidAccessKeyId", "ExpiredToken"}
    | {"Forbidden", "InvalidToken", "AllAccessDisabled", "AccountProblem"}
)


_REDIRECTS = range(300, 400)


def error_code(error: boto.ClientError) -> str:
    """Return the S3 error code of an answer, e.g. ``NoSuchKey``; the status where there is none."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of an answer that was an error; 0 if unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


@contextmanager
def translated(storage: Storage) -> Iterator[None]:
    """Turn the errors of boto3 inside the block into ours."""
    try:
        yield
    except boto.ClientError as error:
        raise _from_answer(storage, error) from None
    except (boto.BotoCoreError, ResponseParserError) as error:
        raise _from_transport(storage, error) from None


@dataclasses.dataclass(frozen=True)
class _Meaning:
    """What a family of S3 error answers means for the user."""

    kind: type[MilvusKitError]
    codes: frozenset[str]
    statuses: frozenset[int]
    what: str
    remedy: str

    def fits(self, code: str, status: int) -> bool:
        """Return whether an error answer is of this family."""
        return code in self.codes or status in self.statuses


_FULL = _Meaning(
    UnreachableError,
    frozenset(
        {"XMinioStorageFull", "507", "InsufficientStorage", "QuotaExceeded", "InsufficientCapacity"}
    ),
    frozenset({507}),
    "the store is full",
    "free space or raise the quota; Milvus stops writing on a full store",
)
_THROTTLED = _Meaning(
    UnreachableError,
    frozenset({"SlowDown", "503", "429", "TooManyRequests", "ServiceUnavailable"}),
    frozenset({429, 503}),
    "the store is too busy to answer",
    "wait until its load is lower, or look at its health",
)
_MEANINGS = (
    _Meaning(
        ConfigurationError,
        frozenset({"NoSuchBucket"}),
        frozenset({404}),
        "there is no such bucket",
        "create the bucket, or correct its name: --bucket, or storage.bucket",
    ),
    _Meaning(
        ConfigurationError,
        frozenset({"RequestTimeTooSkewed"}),
        frozenset(),
        "this host's clock and the store's differ by more than S3 allows",
        "set both clocks by NTP",
    ),
    _Meaning(
        ConfigurationError,
        frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}),
        frozenset(),
        "the store expects another region",
        "give the store's own region: --region, or storage.region",
    ),
    _Meaning(
        CredentialsError,
        frozenset({"SignatureDoesNotMatch"}),
        frozenset(),
        "the store computes another signature than these keys give",
        "check the secret key; if it is right, something between here and the store rewrites the"
        " Host header or the path (a proxy, a load balancer): let it pass both as they are",
    ),
    _Meaning(
        CredentialsError,
        _REFUSED,
        frozenset({401, 403}),
        "the store refuses these keys",
        "check access key, secret and the policy that lets the key use this bucket",
    ),
    _FULL,
    _THROTTLED,
)


def is_full(error: boto.ClientError) -> bool:
    """Return whether the store refused for want of space."""
    return says_full(error_code(error), status_of(error))


def says_full(code: str, status: int) -> bool:
    """Return whether an answer with this code and status says that the store is full."""
    return _FULL.fits(code, status)


def is_throttled(error: boto.ClientError) -> bool:
    """Return whether the store asks to slow down."""
    return _THROTTLED.fits(error_code(error), status_of(error))


def is_failure(error: boto.ClientError) -> bool:
    """Return whether the store failed or is too busy: it has refused nothing then."""
    return status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR or is_throttled(error)


def _from_answer(storage: Storage, error: boto.ClientError) -> MilvusKitError:
    """Return what an S3 error answer means for the user."""
    where = f"{storage.endpoint}, bucket {storage.bucket}, region {storage.region}"
    code, status = error_code(error), status_of(error)
    seen = f"{error.operation_name}: {status} {code if code != str(status) else ''}".strip()
    if status in _REDIRECTS:
        return _redirected(storage, error, where=where, seen=seen)
    for meaning in _MEANINGS:
        if meaning.fits(code, status):
            remedy, region = meaning.remedy, _region_named(error)
            if region and meaning.kind is ConfigurationError and "region" in remedy:
                remedy = f"sign for {region}: --region {region}, or storage.region"
            remedy = bucket_in_host(storage) or remedy
            if meaning.kind is CredentialsError and os.environ.get("AWS_SESSION_TOKEN"):
                remedy += "; AWS_SESSION_TOKEN is not used, since Milvus has a key pair alone"
            return meaning.kind(meaning.what, where=where, seen=seen, remedy=remedy)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnreachableError(
            "the store fails to answer",
            where=where,
            seen=seen,
            remedy="look at the store's log and health",
        )
    return UnreachableError(
        "the store refuses what S3 clients ask",
        where=where,
        seen=seen,
        remedy="check the region (--region, storage.region) and that this is the S3 data"
        " endpoint; the store's log tells why it refused",
    )


def bucket_in_host(storage: Storage) -> str:
    """Return what to do where the endpoint's host begins with the bucket; empty if it does not.

    Such a name already asks for the bucket, in virtual-host style; it would be named twice.
    """
    endpoint = endpoint_of(storage)
    outer = endpoint.host.removeprefix(f"{storage.bucket}.")
    if outer == endpoint.host or is_ip(endpoint.host):
        return ""
    named = storage.endpoint.replace(endpoint.host, outer, 1)
    return (
        f"the endpoint's host begins with the bucket's name: if that is the bucket, give {named}"
        " and virtual-host style (--addressing virtual, storage.addressing)"
    )


def _region_named(error: boto.ClientError) -> str:
    """Return the region that an answer names as the right one; empty if it names none."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    said = error.response.get("Error", {})
    found = headers.get("x-amz-bucket-region") or said.get("Region")
    if not found:
        match = re.search(r"expecting '([A-Za-z0-9-]+)'", str(said.get("Message", "")))
        found = match.group(1) if match else ""
    return found if re.fullmatch(r"[A-Za-z0-9-]{1,40}", found) else ""


def _redirected(
    storage: Storage, error: boto.ClientError, *, where: str, seen: str
) -> MilvusKitError:
    """Return what a redirect means: S3's own names a region or endpoint, others lead elsewhere."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    to = urlsplit(headers.get("location", "")).netloc or error.response["Error"].get("Endpoint", "")
    region = _region_named(error)
    what = f"the store sends requests elsewhere{f', to {to}' if to else ''}; Milvus does not follow"
    remedy = "give the S3 data endpoint itself, not a console or a redirector"
    if region and region != storage.region:
        remedy = f"sign for {region}: --region {region}, or storage.region"
    elif to == urlsplit(storage.endpoint).netloc:
        what = "the endpoint redirects signed requests to itself, in a loop"
        remedy += "; if it is that, look at the proxy or load balancer before it"
    elif to:
        remedy = f"give the endpoint that it names, if that is this store's S3 data endpoint: {to}"
    return ConfigurationError(what, where=where, seen=seen, remedy=remedy)


def _from_transport(storage: Storage, error: Exception) -> MilvusKitError:
    """Return what a failure without an S3 answer means for the user."""
    where = storage.endpoint
    kinds: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        (
            (boto.SSLError,),
            "the TLS handshake with the store failed",
            "check storage.tls: the CA, and that the certificate names this host",
        ),
        (
            (boto.ConnectTimeoutError, boto.ReadTimeoutError),
            "the store does not answer in time",
            "check the network path and the store's load",
        ),
        (
            (boto.EndpointConnectionError,),
            "nothing answers at this endpoint",
            "check host, port and firewall, and that the store is up",
        ),
        (
            (ResponseParserError,),
            "the answer is not S3's XML",
            "this may be a web console or a proxy: give the S3 data endpoint",
        ),
    )
    for types, what, remedy in kinds:
        if isinstance(error, types):
            return UnreachableError(what, where=where, remedy=passed_over(remedy))
    return UnreachableError(
        f"the connection to the store broke: {type(error).__name__}",
        where=where,
        remedy=passed_over("check the network path and the store's log"),
    )
