"""docs/settings.md, written from the models: every key, what it takes, its default, its meaning."""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from infra.settings import PROJECT, Settings
from infra.settings.defaults import PROD
from infra.settings.hints import options
from infra.settings.model import ConfigSecret

_HEAD = f"""# Settings of a stack

<!-- Written by `milvus-kit config reference`; do not edit by hand. -->

A stack NAME is configured in `stacks/Pulumi.NAME.yaml`, under the keys `{PROJECT}:SECTION` below.
`milvus-kit config check -s NAME` checks the file without Pulumi, a cluster or a passphrase, and
names every mistake at once; `pulumi preview` makes the same check.

Unknown keys are refused. Words that YAML takes for a truth value, such as `off`, stand in quotes.

## Secrets

No secret stands in a section. It is either a secret of the stack's configuration,

    pulumi config set --secret s3SecretKey

which a section refers to by its name (`config: s3SecretKey`), or a Kubernetes Secret that is
already in the deployment's namespace, named by `existingSecret`. A plain-text secret is refused,
and so is a secret that no section uses.
"""


def markdown() -> str:
    """Return the whole page."""
    parts = [_HEAD, *_prod_defaults()]
    annotations = typing.get_type_hints(Settings, include_extras=True)
    for name, field in Settings.model_fields.items():
        required = "" if not field.is_required() else " (required)"
        parts.append(f"\n## {name}{required}\n\n{_sentence(field)}\n")
        models = _models(annotations[name])
        if not models:
            parts.append(f"\nTakes {_kind(annotations[name])}.\n")
        for model in models:
            parts.append(_heading(model) if len(models) > 1 else "")
            parts.append(_table(model))
    return "".join(parts)


def _prod_defaults() -> list[str]:
    rows = "".join(f"| `{key}` | `{_plain(value)}` |\n" for key, value in _leaves(PROD))
    return [
        f"""
## Defaults that prod changes

`environment: prod` puts these under what the stack says itself:

| key | default in prod |
|---|---|
{rows}"""
    ]


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _heading(model: type[BaseModel]) -> str:
    field = next(name for name in ("type", "provider") if name in model.model_fields)
    (tag,) = typing.get_args(model.model_fields[field].annotation)
    summary = (model.__doc__ or "").strip().splitlines()[0]
    return f"\n### {field}: {tag}\n\n{summary}\n"


def _table(model: type[BaseModel]) -> str:
    rows = "".join(_rows(model, ""))
    return f"\n| key | takes | default | meaning |\n|---|---|---|---|\n{rows}"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        if name in {"type", "provider"} and not prefix:
            continue
        key = f"{prefix}{field.alias or name}"
        hint = hints[name]
        cells = (f"`{key}`", _kind(hint), _default(field), _sentence(field))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
        for inner in _models(hint):
            yield from _rows(inner, key + _step(hint))


def _step(hint: Any) -> str:
    origins = {typing.get_origin(option) for option in options(hint)}
    if tuple in origins:
        return "[]."
    return ".NAME." if dict in origins else "."


def _sentence(field: FieldInfo) -> str:
    text = field.description or ""
    return text[:1].upper() + text[1:] + ("." if text and not text.endswith(".") else "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default is None:
        return ""
    return f"`{_plain(field.default)}`"


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (enum.Enum, Path)):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    return str(value)


def _models(hint: Any) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for option in options(hint):
        if isinstance(option, type) and issubclass(option, BaseModel):
            found.append(option)
        elif typing.get_origin(option) is tuple:
            found += _models(typing.get_args(option)[0])
        elif typing.get_origin(option) is dict:
            found += _models(typing.get_args(option)[1])
    return found


_WORDS = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true, false",
    Path: "path",
    ConfigSecret: "name of a secret",
    type(None): "",
}


def _kind(hint: Any) -> str:
    words = [word for option in options(hint) if (word := _word(option))]
    return ", ".join(dict.fromkeys(words))


def _word(option: Any) -> str:
    origin, arguments = typing.get_origin(option), typing.get_args(option)
    if origin is typing.Literal:
        return ", ".join(str(value) for value in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0]) or 'sections'}"
    if origin is dict:
        return "mapping"
    if issubclass(option, enum.Enum):
        return ", ".join(str(member.value) for member in option)
    return "section" if issubclass(option, BaseModel) else _WORDS.get(option, "text")
