"""What a column of metadata may be called, so that a filter can name it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from validation.errors import DatasetError

RESERVED = ("id", "vector", "text", "sparse")
"""Fields that the kit's collections have themselves."""

SYSTEM = ("RowID", "Timestamp")
"""Fields that every collection of Milvus has without being asked."""

WORDS = (
    *("and", "or", "not", "in", "like", "exists", "is", "null", "true", "false"),
    *("json_contains", "json_contains_all", "json_contains_any"),
    *("array_contains", "array_contains_all", "array_contains_any", "array_length"),
    *("text_match", "phrase_match", "minimum_should_match", "random_sample", "element_filter"),
    *("match_all", "match_any", "match_least", "match_most", "match_exact", "any", "all"),
    *("threshold", "interval", "iso"),
    *("st_equals", "st_touches", "st_overlaps", "st_crosses", "st_contains", "st_intersects"),
    *("st_within", "st_dwithin", "st_isvalid"),
)
"""Words of Milvus's filter language up to 3.0, and of Milvus Lite's (their grammars' keywords).

Milvus stores a column of such a name, and refuses every filter that names it.
"""

_SPELLINGS = {*WORDS, *(word.upper() for word in WORDS), "True", "False"}
"""The grammars know each word in lower and in upper case alone."""

MAX_BYTES = 255
"""Milvus's ``proxy.maxNameLength``."""
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def why_not(name: str) -> str:
    """Return why a column cannot have this name; empty if it can."""
    if name in RESERVED:
        return "a field of the kit's own collections"
    if name in SYSTEM:
        return "a field of Milvus itself"
    if name in _SPELLINGS:
        return "a word of the filter language"
    if len(name.encode()) > MAX_BYTES:
        return f"longer than {MAX_BYTES} bytes"
    if not _IDENTIFIER.fullmatch(name):
        return "not made of letters, digits and underscores, with no digit in front"
    return ""


def check(names: Iterable[str], *, where: str) -> None:
    """Make sure that a filter can name each column.

    Args:
        names: Of the columns.
        where: What they belong to, for the error.

    Raises:
        DatasetError: With every name that cannot be, and all words that are taken.
    """
    wrong = {name: reason for name in names if (reason := why_not(name))}
    if wrong:
        raise DatasetError(
            "columns cannot be stored and filtered under these names: "
            + "; ".join(f"{name!r} is {reason}" for name, reason in wrong.items()),
            where=where,
            seen=sorted(wrong),
            remedy=f"rename them; taken are {', '.join((*RESERVED, *SYSTEM, *WORDS))}",
        )
