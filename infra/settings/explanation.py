"""What pydantic finds wrong, told as it was written: the user's own path, value and likely intent.

Pydantic names models, tags of unions and types; a user wrote keys. So a location is followed
through the models once more, which also tells the keys that could have been meant.
"""

from __future__ import annotations

import difflib
import re
import typing
from typing import Any

from pydantic import BaseModel

from infra.settings.hints import options
from infra.settings.problem import Problem, shown
from validation.common.patterns import told


def nearest(word: str, words: list[str]) -> str | None:
    """Return which of some words was probably meant, if any comes near."""
    low = {one.lower(): one for one in words}
    found = difflib.get_close_matches(word.lower(), low, n=1, cutoff=0.6)
    return low[found[0]] if found else None


def missing(key: str) -> Problem:
    """Return that a key is missing."""
    return Problem(key, "this key is missing", remedy=f"add {key}; docs/settings.md shows it")


def explained(section: str, annotation: Any, item: Any) -> Problem:
    """Return what pydantic finds wrong with a key of a section.

    Args:
        section: Name of the section.
        annotation: Its type, as `Settings` declares it.
        item: One of a ``ValidationError``'s errors.
    """
    path = [section, *(str(part) for part in _without_tags(annotation, item["loc"]))]
    kind = item["type"]
    if path[-1] == "[key]":
        path.pop()
    key = ".".join(path)
    if kind == "missing":
        return missing(key)
    if kind == "extra_forbidden":
        near = nearest(path[-1], _keys_beside(annotation, item["loc"]))
        hint = f"did you mean {near}?" if near else "remove it; docs/settings.md lists the keys"
        return Problem(key, "unknown key", remedy=hint)
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        context = item["ctx"]
        discriminator = context["discriminator"].strip("'")
        given = context.get("tag")
        tags = [tag for model in _models(annotation) for tag in _tags(model)]
        expected = ", ".join(tags)
        near = nearest(str(given), tags)
        return Problem(
            f"{key}.{discriminator}",
            f"this must be one of {expected}" if given else "this key is missing",
            seen=repr(given) if given else None,
            remedy=f"did you mean {near}?" if near else f"use one of {expected}",
        )
    return _wrong_value(path, kind, item)


_SHAPES = {
    "tuple_type": ("this must be a list", "write it as a list: [first, second]"),
    "dict_type": ("this must have keys of its own", "write it as a mapping: {key: value}"),
    "model_type": ("this must have keys of its own", "write it as a mapping: {key: value}"),
}
"""What pydantic says in words of Python, as somebody who writes YAML knows it."""


def _wrong_value(path: list[str], kind: str, item: Any) -> Problem:
    message, value = told(item), item["input"]
    words = re.findall(r"'([^']*)'", message) if kind in {"literal_error", "enum"} else []
    near = nearest(str(value), words)
    remedy = f"did you mean {near}?" if near else ""
    if isinstance(value, bool) and {"on", "off", "yes", "no"} & set(words):
        remedy = "write it in quotes: YAML reads a bare off as false, and on as true"
    elif kind == "string_type" and isinstance(value, (int, float)):
        remedy = "write it in quotes, so that YAML reads it as text"
    elif kind in _SHAPES:
        message, remedy = _SHAPES[kind]
    message = re.sub(r"^(Input|String|Value|Tuple) should", "this must", message)
    seen = None if "(seen: " in message else shown(path, kind, value)
    return Problem(".".join(path), message, seen=seen, remedy=remedy)


def _without_tags(annotation: Any, loc: tuple[Any, ...]) -> list[Any]:
    """Drop the union tags that pydantic puts into a location; no user wrote them."""
    path: list[Any] = []
    here = annotation
    for part in loc:
        models = _models(here)
        if len(models) > 1 and any(part in _tags(model) for model in models):
            here = next(model for model in models if part in _tags(model))
            continue
        path.append(part)
        here = _below(here, part)
    return path


def _keys_beside(annotation: Any, loc: tuple[Any, ...]) -> list[str]:
    here = annotation
    for part in loc[:-1]:
        models = _models(here)
        tagged = [model for model in models if part in _tags(model)] if len(models) > 1 else []
        here = tagged[0] if tagged else _below(here, part)
    return [field.alias or "" for model in _models(here) for field in model.model_fields.values()]


def _below(annotation: Any, part: Any) -> Any:
    for model in _models(annotation):
        for field in model.model_fields.values():
            if field.alias == part:
                return field.rebuild_annotation()
    if isinstance(part, int) or not _models(annotation):
        return _item(annotation)
    return None


def _item(annotation: Any) -> Any:
    """Return what a tuple or mapping holds."""
    for option in options(annotation):
        if typing.get_origin(option) is tuple:
            return typing.get_args(option)[0]
        if typing.get_origin(option) is dict:
            return typing.get_args(option)[1]
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [
        option
        for option in options(annotation)
        if isinstance(option, type) and issubclass(option, BaseModel)
    ]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return tuple(
        tag
        for name in ("type", "provider")
        if name in model.model_fields
        for tag in typing.get_args(model.model_fields[name].annotation)
    )
