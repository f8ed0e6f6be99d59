from __future__ import annotations

import datetime as dt

import pytest

from validation.milvus import vulnerabilities

PROXY, PORT = "CVE-2025-64513", "CVE-2026-26190"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.3.5", {PROXY, PORT}),  # this line never got a fix
        ("2.4.23", {PROXY, PORT}),
        ("2.4.24", {PORT}),  # nor did this one, of the second
        ("2.5.20", {PROXY, PORT}),
        ("2.5.21", {PORT}),
        ("2.5.26", {PORT}),
        ("2.5.27", set()),
        ("2.6.4", {PROXY, PORT}),
        ("2.6.5", {PORT}),
        ("2.6.9", {PORT}),
        ("2.6.10", set()),
        ("v2.6.10-gpu", set()),
        ("3.0.0", set()),
        ("10.0.0", set()),
    ],
)
def test_a_version_has_what_its_line_has_not_mended(version, expected):
    assert {one.id for one in vulnerabilities.of(version)} == expected


def test_what_is_no_version_is_not_called_safe():
    with pytest.raises(ValueError, match="not a version"):
        vulnerabilities.of("cebbe1e4da")


def test_each_row_has_its_source_and_no_day_after_the_tables_own():
    for one in vulnerabilities.TABLE:
        assert one.source.startswith("https://")
        assert one.known_since <= vulnerabilities.AS_OF <= dt.datetime.now(dt.UTC).date()
