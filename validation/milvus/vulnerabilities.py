"""Published vulnerabilities of Milvus itself: which versions have them, and what mends them.

One table, read in the advisories on the day that `AS_OF` names. Only what somebody without a
password can use over the network stands in it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

AS_OF = dt.date(2026, 11, 30)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, kw_only=True)
class Vulnerability:
    """One published vulnerability.

    Args:
        id: Its CVE number.
        what: What it lets somebody do.
        fixed: By release line, the first patch release without it. Later lines never had it; an
            earlier line, or one between that is not named, has it for good.
        source: The advisory.
        known_since: The day on which it was public at the latest.
    """

    id: str
    what: str
    fixed: Mapping[tuple[int, int], int]
    source: str
    known_since: dt.date

    def affects(self, version: str) -> bool:
        """Tell whether a version has it.

        Args:
            version: As ``2.6.4``; what follows the third number does not count.

        Raises:
            ValueError: It is no version.
        """
        found = _VERSION.match(version)
        if found is None:
            raise ValueError(f"not a version of Milvus: {version!r}")
        major, minor, patch = (int(part) for part in found.groups())
        line = (major, minor)
        if line > max(self.fixed):
            return False
        return line not in self.fixed or patch < self.fixed[line]

    @property
    def fixes(self) -> tuple[str, ...]:
        """Return the first version of each line that is without it, oldest first."""
        return tuple(f"{a}.{b}.{patch}" for (a, b), patch in sorted(self.fixed.items()))


TABLE = (
    Vulnerability(
        id="CVE-2025-64513",
        what="whoever reaches the proxy can pass its authentication with forged headers",
        fixed={(2, 4): 24, (2, 5): 21, (2, 6): 5},
        source="https://github.com/milvus-io/milvus/security/advisories/GHSA-mhjq-8c7m-3f7p",
        known_since=dt.date(2025, 11, 11),
    ),
    Vulnerability(
        id="CVE-2026-26190",
        what="port 9091 serves the whole REST API and /expr without authentication",
        fixed={(2, 5): 27, (2, 6): 10},
        source="https://github.com/milvus-io/milvus/security/advisories/GHSA-7ppg-37fh-vcr6",
        known_since=dt.date(2026, 2, 11),
    ),
)


def of(version: str) -> tuple[Vulnerability, ...]:
    """Return the published vulnerabilities that a version of Milvus has.

    Raises:
        ValueError: It is no version.
    """
    return tuple(one for one in TABLE if one.affects(version))
