"""From a document to ``Settings``: every wrong key at once, with its value and the remedy.

Three sources give the same document: a stack file (``from_file``), the running Pulumi program
(``from_pulumi``) and a test. Secrets are only named in it, so a check needs neither Pulumi nor a
passphrase.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from infra.settings import PROJECT, Settings, rules
from infra.settings.defaults import filled
from infra.settings.explanation import explained, missing, nearest
from infra.settings.model import secrets_in
from infra.settings.problem import Problem, raise_all
from validation.common import strict_yaml
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
                problems.append(missing(name))
            else:
                sections[name] = field.default
            continue
        try:
            sections[name] = TypeAdapter(annotations[name]).validate_python(document[name])
        except ValidationError as error:
            problems += [explained(name, annotations[name], item) for item in error.errors()]
    return sections


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
            if (near := nearest(key, list(Settings.model_fields)))
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
            near = nearest(name, list(Settings.model_fields))
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
