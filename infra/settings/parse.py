"""From a document to ``Settings``: every wrong key at once, with its value and the remedy.

Three sources give the same document: a stack file (``from_file``), the running Pulumi program
(``from_pulumi``) and a test. Secrets are only named in it, so a check needs neither Pulumi nor a
passphrase.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from infra.settings import PROJECT, Settings, rules
from infra.settings.defaults import filled
from infra.settings.model import secrets_in
from infra.settings.problem import Problem, raise_all, shown
from validation import strict_yaml
from validation.errors import ConfigurationError

_STACK_FILE = "a stack NAME has a file stacks/Pulumi.NAME.yaml: copy Pulumi.dev.yaml and change it"


def parse(
    document: dict[str, Any], *, secrets: Iterable[str], source: str, recorded: bool = True
) -> Settings:
    """Return the settings that a document describes.

    Args:
        document: Top-level keys without the project's name, secrets left out.
        secrets: Names of the top-level keys that are Pulumi secrets.
        source: Where the document came from, for errors.
        recorded: Hold the store's recorded profile against the settings; false for who is to
            record it.

    Raises:
        ConfigurationError: With every wrong key at once.
    """
    known = set(secrets)
    document = filled(document)
    problems: list[Problem] = []
    sections = _sections(document, problems)
    used = _secret_problems(sections, document, known, problems)
    problems += _unknown_keys(document, used)
    problems += _useless_secrets(known - used, sections)
    problems += rules.problems(sections, recorded=recorded)
    raise_all(problems, source)
    return Settings.model_construct(**sections)


def _sections(document: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """Return the sections that are right by themselves; note what is wrong with the others."""
    sections: dict[str, Any] = {}
    annotations = typing.get_type_hints(Settings, include_extras=True)
    for name, field in Settings.model_fields.items():
        if name not in document:
            if field.is_required():
                problems.append(_missing(name))
            else:
                sections[name] = field.default
            continue
        try:
            sections[name] = TypeAdapter(annotations[name]).validate_python(document[name])
        except ValidationError as error:
            problems += [_problem(name, annotations[name], item) for item in error.errors()]
    return sections


def _missing(key: str) -> Problem:
    return Problem(key, "this key is missing", remedy=f"add {key}; docs/settings.md shows it")


def _problem(section: str, annotation: Any, item: Any) -> Problem:
    path = [section, *(str(part) for part in _without_tags(annotation, item["loc"]))]
    kind = item["type"]
    if path[-1] == "[key]":
        path.pop()
    key = ".".join(path)
    if kind == "missing":
        return _missing(key)
    if kind == "extra_forbidden":
        near = _nearest(path[-1], _keys_beside(annotation, item["loc"]))
        hint = f"did you mean {near}?" if near else "remove it; docs/settings.md lists the keys"
        return Problem(key, "unknown key", remedy=hint)
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        context = item["ctx"]
        discriminator = context["discriminator"].strip("'")
        given = context.get("tag")
        tags = [tag for model in _models(annotation) for tag in _tags(model)]
        expected = ", ".join(tags)
        near = _nearest(str(given), tags)
        return Problem(
            f"{key}.{discriminator}",
            f"this must be one of {expected}" if given else "this key is missing",
            seen=repr(given) if given else None,
            remedy=f"did you mean {near}?" if near else f"use one of {expected}",
        )
    return _wrong_value(path, kind, item)


def _wrong_value(path: list[str], kind: str, item: Any) -> Problem:
    message, value = item["msg"], item["input"]
    words = re.findall(r"'([^']*)'", message) if kind in {"literal_error", "enum"} else []
    near = _nearest(str(value), words)
    remedy = f"did you mean {near}?" if near else ""
    if isinstance(value, bool) and {"on", "off", "yes", "no"} & set(words):
        remedy = "write it in quotes: YAML reads a bare off as false, and on as true"
    elif kind == "string_type" and isinstance(value, (int, float)):
        remedy = "write it in quotes, so that YAML reads it as text"
    if message.startswith("Input should"):
        message = "this must" + message.removeprefix("Input should")
    return Problem(".".join(path), message, seen=shown(path, kind, value), remedy=remedy)


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
    for option in _options(annotation):
        if typing.get_origin(option) is tuple:
            return typing.get_args(option)[0]
        if typing.get_origin(option) is dict:
            return typing.get_args(option)[1]
    return None


def _options(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _options(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType}:
        return [option for arg in typing.get_args(annotation) for option in _options(arg)]
    return [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [
        option
        for option in _options(annotation)
        if isinstance(option, type) and issubclass(option, BaseModel)
    ]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return tuple(
        tag
        for name in ("type", "provider")
        if name in model.model_fields
        for tag in typing.get_args(model.model_fields[name].annotation)
    )


def _secret_problems(
    sections: dict[str, Any], document: dict[str, Any], known: set[str], problems: list[Problem]
) -> set[str]:
    """Check that each secret that is named is there and is one; return the names."""
    used: set[str] = set()
    for section, part in sections.items():
        for path, name in secrets_in(part):
            used.add(str(name))
            if str(name) in known:
                continue
            plain = name in document
            problems.append(
                Problem(
                    f"{section}.{path}",
                    f"the configuration key {name} is in plain text"
                    if plain
                    else f"the configuration has no secret of that name: {name}",
                    remedy=("change the secret where it is used, then `" if plain else "`")
                    + f"pulumi config set --secret {name}`",
                )
            )
    return used


def _unknown_keys(document: dict[str, Any], used: set[str]) -> list[Problem]:
    return [
        Problem(
            key,
            "unknown key",
            remedy=f"did you mean {near}?"
            if (near := _nearest(key, list(Settings.model_fields)))
            else "remove it, or name it where a secret is expected and set it with --secret",
        )
        for key in document
        if key not in Settings.model_fields and key not in used
    ]


def _useless_secrets(names: set[str], sections: dict[str, Any]) -> list[Problem]:
    problems = []
    for name in sorted(names):
        if name in Settings.model_fields:
            problems.append(
                Problem(
                    name,
                    "a secret stands inside this section",
                    remedy="give the secret a top-level key of its own and name that key here",
                )
            )
        elif len(sections) == len(Settings.model_fields):
            near = _nearest(name, list(Settings.model_fields))
            problems.append(
                Problem(
                    name,
                    "no section uses this secret",
                    remedy=f"did you mean {near}?"
                    if near
                    else f"remove it: `pulumi config rm {name}`",
                )
            )
    return problems


def _nearest(word: str, words: list[str]) -> str | None:
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return found[0] if found else None


def from_file(path: Path, *, recorded: bool = True) -> Settings:
    """Return the settings in a stack file, without Pulumi and without its passphrase.

    Args:
        path: ``stacks/Pulumi.NAME.yaml``.
        recorded: As in `parse`.

    Raises:
        ConfigurationError: The file cannot be read, or with every wrong key at once.
    """
    config = strict_yaml.load(path, "stack file", remedy=_STACK_FILE).get("config")
    if not isinstance(config, dict):
        raise ConfigurationError(
            "a stack file has a mapping named config", where=str(path), remedy=_STACK_FILE
        )
    ours = {
        str(key).removeprefix(PROJECT + ":"): value
        for key, value in config.items()
        if str(key).startswith(PROJECT + ":") or ":" not in str(key)
    }
    secrets = {key for key, value in ours.items() if _has_secure(value)}
    plain = {key: value for key, value in ours.items() if not _is_secure(value)}
    return parse(plain, secrets=secrets, source=str(path), recorded=recorded)


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _has_secure(value: Any) -> bool:
    if isinstance(value, dict):
        return _is_secure(value) or any(_has_secure(item) for item in value.values())
    return isinstance(value, list) and any(_has_secure(item) for item in value)


def from_pulumi(config: dict[str, str], secret_keys: Iterable[str], stack: str) -> Settings:
    """Return the settings of the running Pulumi program.

    Args:
        config: Full keys to their text, as the engine gives them.
        secret_keys: Full keys that are secrets.
        stack: The stack's name, for errors.

    Raises:
        ConfigurationError: With every wrong key at once.
    """
    prefix = PROJECT + ":"
    secrets = {key.removeprefix(prefix) for key in secret_keys if key.startswith(prefix)}
    document = {
        key.removeprefix(prefix): _value(key.removeprefix(prefix), text)
        for key, text in config.items()
        if key.startswith(prefix)
    }
    plain = {
        key: value
        for key, value in document.items()
        if key not in secrets or key in Settings.model_fields
    }
    return parse(plain, secrets=secrets, source=f"stack {stack}")


def _value(key: str, text: str) -> Any:
    if key not in Settings.model_fields or key == "environment":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
