"""The whole table of checks, in the order in which they run."""

from __future__ import annotations

from validation.s3.conformance import (  # noqa: F401  (importing a topic fills the table)
    bucket,
    multipart,
    objects,
)
from validation.s3.conformance.model import TABLE

CHECKS = tuple(TABLE.values())
"""Every check; TLS and bucket first, because nothing else can be measured without them."""
