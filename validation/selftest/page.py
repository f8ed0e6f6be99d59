"""What a selftest found, as one HTML page."""

from __future__ import annotations

from pathlib import Path

from validation.common.files import write_whole
from validation.report.html import rendered
from validation.report.store import REPORT
from validation.selftest.record import SelfTest


def write(record: SelfTest, folder: Path) -> Path:
    """Write ``report.html`` and return its path."""
    return write_whole(folder / REPORT, rendered("selftest.html", record=record))
