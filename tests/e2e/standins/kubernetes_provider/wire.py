"""Between the engine's messages and plain data, with secrets remembered by their paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format, struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that is known only after the update."""
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"

Path = tuple[str | int, ...]


def read(message: struct_pb2.Struct) -> tuple[dict[str, Any], set[Path]]:
    """Return plain data, and the paths of the values that arrived as secrets.

    Whole numbers become integers, since the wire knows only floats; nulls are left out.
    """
    secrets: set[Path] = set()
    data = _plain(json_format.MessageToDict(message), (), secrets)
    return (data if isinstance(data, dict) else {}), secrets


def write(data: dict[str, Any], secrets: Iterable[Path] = ()) -> struct_pb2.Struct:
    """Return a message in which the values at the paths are secrets again."""
    message = struct_pb2.Struct()
    json_format.ParseDict(_wrapped(data, (), frozenset(secrets)), message)
    return message


def has_unknown(value: Any) -> bool:
    """Return whether some value is known only after the update."""
    if isinstance(value, dict):
        return any(has_unknown(one) for one in value.values())
    if isinstance(value, list):
        return any(has_unknown(one) for one in value)
    return value == UNKNOWN


def _plain(value: Any, path: Path, secrets: set[Path]) -> Any:
    if isinstance(value, dict):
        signature = value.get(_SIGNATURE)
        if signature == _SECRET:
            secrets.add(path)
            return _plain(value.get("value"), path, secrets)
        if signature is not None:
            raise ValueError(f"{path}: assets, archives and references are not served here")
        return {
            key: _plain(one, (*path, key), secrets) for key, one in value.items() if one is not None
        }
    if isinstance(value, list):
        return [_plain(one, (*path, number), secrets) for number, one in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _wrapped(value: Any, path: Path, secrets: frozenset[Path]) -> Any:
    if path in secrets and path:
        return {_SIGNATURE: _SECRET, "value": _wrapped(value, (), frozenset())}
    if isinstance(value, dict):
        return {key: _wrapped(one, (*path, key), secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_wrapped(one, (*path, number), secrets) for number, one in enumerate(value)]
    return value
