"""What the errors of an S3 store mean, in words: one mapping for all calls of boto3."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError

from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MeasurementError,
    MilvusKitError,
    UnreachableError,
)
from validation.target import Storage

_REFUSED = frozenset(
    {"403", "401", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
    | {"Forbidden", "InvalidToken", "AllAccessDisabled", "AccountProblem"}
)


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

    def fits(self, error: boto.ClientError) -> bool:
        """Return whether an error answer is of this family."""
        return error_code(error) in self.codes or status_of(error) in self.statuses


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
        "create the bucket, or correct storage.bucket",
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
        frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect"}),
        frozenset({301, 307, 308}),
        "the store expects another region or endpoint",
        "set storage.region to the store's region",
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
    return _FULL.fits(error)


def is_throttled(error: boto.ClientError) -> bool:
    """Return whether the store asks to slow down."""
    return _THROTTLED.fits(error)


def is_failure(error: boto.ClientError) -> bool:
    """Return whether the store failed or is too busy: it has refused nothing then."""
    return status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR or is_throttled(error)


def _from_answer(storage: Storage, error: boto.ClientError) -> MilvusKitError:
    """Return what an S3 error answer means for the user."""
    where = f"{storage.endpoint}, bucket {storage.bucket}, region {storage.region}"
    seen = f"{error.operation_name}: {status_of(error)} {error_code(error)}"
    for meaning in _MEANINGS:
        if meaning.fits(error):
            return meaning.kind(meaning.what, where=where, seen=seen, remedy=meaning.remedy)
    return MeasurementError(
        "the store answered with an error",
        where=where,
        seen=seen,
        remedy="look this code up in the store's documentation, and the request in its log",
    )


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
            return UnreachableError(what, where=where, remedy=remedy)
    return UnreachableError(
        f"the connection to the store broke: {type(error).__name__}",
        where=where,
        remedy="check the network path and the store's log",
    )
