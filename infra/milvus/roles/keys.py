"""Keys of milvus.yaml as Milvus reads them: flattened, in lower case, without separators.

``a.b: x``, ``A: {b: x}`` and ``a_b: x`` are one key to Milvus (its ``formatKey``), and of two that
it reads as one either may win. So everything that compares keys compares them as Milvus reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SEPARATORS = re.compile(r"[._/]")


def as_read(key: str) -> str:
    """Return a key, or the name of an environment variable, as Milvus reads it."""
    return _SEPARATORS.sub("", key).lower()


def leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key of a tree that has a value of its own, dotted, and its value."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from ((f"{key}.{below}", item) for below, item in leaves(value))
        else:
            yield key, value


def nested(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a tree in which dots are nesting, and each key stands once, as first spelled.

    Raises:
        ValueError: Two spellings of one key have values; the message is the dotted key.
    """
    result: dict[str, Any] = {}
    for key, value in tree.items():
        *above, last = str(key).split(".")
        inside = nested(value) if isinstance(value, Mapping) else value
        for part in reversed([*above, last]):
            inside = {part: inside}
        result = _joined(result, inside)
    return result


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two nested trees as one; the second wins, under the spelling of the second."""
    result = dict(base)
    for key, value in over.items():
        mine = _spelling(result, key)
        here = result.pop(mine, None) if mine is not None else None
        both = isinstance(value, Mapping) and isinstance(here, Mapping)
        result[key] = merged(here, value) if both else value  # type: ignore[arg-type]
    return result


def _joined(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in more.items():
        mine = _spelling(result, key)
        if mine is None:
            result[key] = value
        elif isinstance(value, Mapping) and isinstance(result[mine], Mapping):
            try:
                result[mine] = _joined(result[mine], value)
            except ValueError as error:
                raise ValueError(f"{mine}.{error}") from None
        else:
            raise ValueError(mine)
    return result


def _spelling(tree: Mapping[str, Any], key: str) -> str | None:
    """Return how a tree spells a key, or None if it has none that Milvus reads as this one."""
    if key in tree:
        return key
    return next((mine for mine in tree if as_read(mine) == as_read(key)), None)
