"""Type annotations of settings, taken apart."""

from __future__ import annotations

import types
import typing
from typing import Any


def options(hint: Any) -> list[Any]:
    """Return the types that an annotation allows, one by one, without what annotates them."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return options(typing.get_args(hint)[0])
    if origin in {typing.Union, types.UnionType}:
        return [option for argument in typing.get_args(hint) for option in options(argument)]
    return [hint]
