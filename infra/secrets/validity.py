"""How long certificates are valid, and when they are signed again."""

from __future__ import annotations

import datetime as dt

CA_DAYS = 3650
LEAF_DAYS = 397
RENEW_LEAF_DAYS = 30
RENEW_CA_DAYS = LEAF_DAYS + RENEW_LEAF_DAYS
"""No certificate of this CA may outlive it."""


def days_left(not_after: str) -> float:
    """Return how many days are left until a certificate ends.

    Args:
        not_after: Its last day, ISO 8601 with a time zone.
    """
    end = dt.datetime.fromisoformat(not_after)
    return (end - dt.datetime.now(dt.UTC)).total_seconds() / 86400
