"""The whole table of checks, in the order in which they run."""

from __future__ import annotations

# Importing a topic fills the table.
from validation.s3.conformance.access import (  # noqa: F401
    access,
    addresses,
    addressing,
    bucket,
    isolation,
    protection,
    tls,
)
from validation.s3.conformance.listing import (  # noqa: F401
    consistency,
    folders,
    listing,
    names,
    paging,
)
from validation.s3.conformance.model import TABLE
from validation.s3.conformance.writing import (  # noqa: F401
    completions,
    conditional,
    integrity,
    log,
    multipart,
    objects,
    races,
    sdk_parts,
    trailers,
)

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
