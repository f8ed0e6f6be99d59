"""One model of an S3 store: what settings of a stack, a target and `preflight` take for it."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from validation.common import addresses
from validation.common.patterns import shaped

ROOT_PATH = "files"
"""Prefix of Milvus's objects where nothing else is said (minio.rootPath)."""


def _endpoint(text: str) -> str:
    try:
        given = addresses.parsed(text, example="http(s)://HOST:PORT")
    except ValueError as error:
        raise ValueError(
            f"an endpoint is http(s)://host[:port], without user, path or query: {error}"
        ) from None
    # A certificate names no dot at the end.
    return str(dataclasses.replace(given, host=given.host.removesuffix(".")))


def _without_slashes(prefix: object) -> object:
    return prefix.strip("/") if isinstance(prefix, str) else prefix


StoreEndpoint = Annotated[str, AfterValidator(_endpoint)]
"""``http(s)://host[:port]``, without a slash at its end."""

BUCKET = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
StoreBucket = Annotated[
    str,
    shaped(
        BUCKET,
        "a bucket's name: at most 63 letters, digits, dots, dashes and underscores",
        "milvus-prod",
    ),
]
"""As Milvus's client in Go takes it: stores have buckets with older names than S3 gives today."""

BucketName = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "a bucket's name: 3 to 63 lower-case letters, digits, dots and dashes",
        "milvus-prod",
    ),
]
"""As S3 gives them today: of a bucket that is made, and of an X10000's."""

StoreRegion = Annotated[
    str,
    shaped(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "a region as the store itself calls it", "us-east-1"
    ),
]

KeyPrefix = Annotated[
    str,
    shaped(
        r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
        "a prefix of keys: letters, digits, dots, dashes and underscores, with / between",
        "milvus/files",
    ),
]
RootPath = Annotated[
    str,
    BeforeValidator(_without_slashes),
    shaped(
        r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
        "a prefix of keys: letters, digits, dots, dashes and underscores, with / between",
        "milvus/files",
    ),
]
"""Of a Milvus that the kit deploys: below a prefix, since other things stand beside it."""

StoreRootPath = Annotated[
    str,
    BeforeValidator(_without_slashes),
    shaped(
        r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$",
        "a prefix of keys, or nothing for the bucket's root",
        "milvus/files",
    ),
]
"""Of any Milvus: empty is the bucket's root. Slashes at its ends do not count."""
