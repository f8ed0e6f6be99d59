"""Texts of a given shape, told in words and by an example: a pattern is no message."""

from __future__ import annotations

from typing import Any

from pydantic import Field

MISMATCH = "string_pattern_mismatch"
"""pydantic's name of the error."""
_WANTED: dict[str, str] = {}


def shaped(pattern: str, words: str, example: str, **more: Any) -> Any:
    """Return a pydantic field for a text of one shape.

    Args:
        pattern: The shape, as a regular expression.
        words: What it is to whoever writes it, such as ``an amount of memory``.
        example: One of its kind.
        more: Further arguments of ``pydantic.Field``.
    """
    _WANTED[pattern] = f"{words}, such as {example}"
    return Field(pattern=pattern, examples=[example], **more)


def told(item: Any) -> str:
    """Return the message of an item of ``ValidationError.errors()``, without any pattern."""
    if item["type"] == MISMATCH:
        wanted = _WANTED.get(item["ctx"]["pattern"])
        return f"this must be {wanted}" if wanted else "this has another shape than is wanted"
    return str(item["msg"]).removeprefix("Value error, ")
