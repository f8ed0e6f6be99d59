"""The whole table of checks, in the order in which they run."""

from __future__ import annotations

from validation.s3 import protection  # noqa: F401  (importing a topic fills the table)
from validation.s3.conformance import (  # noqa: F401
    access,
    addresses,
    addressing,
    bucket,
    conditional,
    consistency,
    integrity,
    isolation,
    listing,
    multipart,
    names,
    objects,
    paging,
    races,
    tls,
    trailers,
)
from validation.s3.conformance.model import TABLE

_ORDER = (
    "tls",
    "bucket",
    "objects",
    "multipart",
    "listing",
    "consistency",
    "integrity",
    "conditional",
    "addressing",
    "access",
    "protection",
)

CHECKS = tuple(sorted(TABLE.values(), key=lambda one: _ORDER.index(one.id.split(".")[0])))
"""Every check: TLS and bucket first, because nothing else can be measured without them."""
