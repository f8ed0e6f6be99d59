"""What a message of the kit tells its reader to write is what the kit reads."""

from __future__ import annotations

import ast
import copy
import functools
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from infra.settings import Settings
from infra.settings.parse import parse
from infra.settings.reference import _models, _step
from validation.cli import app
from validation.errors import ConfigurationError
from validation.target import Target
from validation.verdicts.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
_DOTTED = r"(?<![\w./*{-])([a-z][A-Za-z]*(?:\.[A-Za-z_]+)+)(?![\w*/])"
KEY = re.compile(_DOTTED)
SET = re.compile(
    r"\b(?:set|or|and) `?" + _DOTTED + r"`?(?::| to) `?(\{[^{}]*\}|\[[^][]*\]|[\w.-]+)"
)
HOLE = "\0"
"""Stands for what a message puts in."""

COMMAND = re.compile(r"`milvus-kit ([^`]+)`")
NOT_OURS = re.compile(
    r"\.(yaml|json|io|pid|lzma|py|log|pem)$|^milvus\.key$|^log\.(dirs|retention)|\.example\.com|^validation\."
)
"""Files, labels of Kubernetes, Kafka's own keys, hosts and modules."""

LEAST: dict[str, Any] = {
    "environment": "dev",
    "kubernetes": {"provider": "existing"},
    "storage": {"type": "minio"},
    "milvus": {"version": "3.0.5", "mode": "cluster"},
    "log": {"type": "woodpecker", "mode": "service"},
}
BASES = [
    LEAST,
    *(LEAST | {"log": {"type": name}} for name in ("kafka", "pulsar", "rocksmq")),
    *(LEAST | {"storage": {"type": name}} for name in ("x10000", "s3")),
    *(LEAST | {"kubernetes": {"provider": name}} for name in ("kind", "kubeadm")),
]
ROOMS = ("infra", "validation")
ANY = "NAME"
"""Stands for any name."""


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    hints = typing.get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        yield key
        if _step(hints[name]) == f".{ANY}.":
            yield f"{key}.{ANY}"
        for inner in _models(hints[name]):
            yield from keys_of(inner, key + _step(hints[name]).replace("[]", ""))


def known(key: str, keys: set[str]) -> bool:
    """Return whether there is such a key; under a mapping any name is one."""
    parts = key.split(".")
    return any(
        len(parts) == len(others)
        and all(other in (part, ANY) for part, other in zip(parts, others, strict=True))
        for others in (other.split(".") for other in keys)
    )


@functools.cache
def texts(room: str) -> list[tuple[str, str]]:
    """Return every text in the code that may be shown to somebody, and where it stands."""
    found = []
    for path in sorted((ROOT / room).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        joined = [node for node in nodes if isinstance(node, ast.JoinedStr)]
        beside = prose | {id(part) for node in joined for part in node.values}
        for node in joined:
            parts = [part.value if isinstance(part, ast.Constant) else HOLE for part in node.values]
            found.append((f"{path.relative_to(ROOT)}:{node.lineno}", "".join(map(str, parts))))
        found += [
            (f"{path.relative_to(ROOT)}:{node.lineno}", node.value)
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in beside
        ]
    return found


SETTINGS = set(keys_of(Settings))
TARGET = set(keys_of(Target))


def named(room: str, *documents: set[str]) -> list[tuple[str, str]]:
    """Return the keys of some documents that messages name, and where."""
    first = {key.partition(".")[0] for keys in documents for key in keys}
    return [
        (where, key)
        for where, text in texts(room)
        for key in KEY.findall(text)
        if key.partition(".")[0] in first and not NOT_OURS.search(key)
    ]


@pytest.mark.parametrize(("room", "least"), [("infra", 100), ("validation", 80)])
def test_every_key_that_a_message_names_is_one_that_is_read(room, least):
    found = named(room, SETTINGS, TARGET)
    assert len(found) > least
    there = SETTINGS | TARGET | set(CATALOGUE)
    assert [(where, key) for where, key in found if not known(key, there)] == []


def written() -> list[tuple[str, str, str]]:
    """Return the keys that messages say to set, with the values."""
    return [
        (where, key, value)
        for room in ROOMS
        for where, text in texts(room)
        for key, value in SET.findall(text)
        if known(key, SETTINGS)
    ]


def refusals(key: str, value: Any) -> list[str]:
    """Return, for each kind of stack, what its settings say of a key with a value."""
    said = []
    for base in BASES:
        document = copy.deepcopy(base)
        here, (*parents, last) = document, key.split(".")
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
        try:
            parse(document, secrets=(), source="test")
        except ConfigurationError as error:
            lines = (line.strip() for line in str(error).splitlines())
            said.append("\n".join(line for line in lines if line.startswith(f"{key}:")))
        else:
            said.append("")
    return said


def test_every_value_that_a_message_says_to_set_is_taken():
    found = written()
    assert ("etcd.auth", "false") in {(key, value) for _, key, value in found}
    for where, key, value in found:
        assert "" in refusals(key, yaml.safe_load(value)), where


def test_a_value_that_the_settings_do_not_take_is_noticed():
    assert "" not in refusals("etcd.auth", "perhaps")
    assert "" not in refusals("etcd.authority", True)


def test_every_command_that_a_message_says_to_run_is_one_with_these_options():
    lines = [
        (where, line)
        for room in ROOMS
        for where, text in texts(room)
        for line in COMMAND.findall(text)
    ]
    assert len(lines) > 10
    for where, line in lines:
        command: Any = typer.main.get_command(app)
        for word in line.replace(HOLE, " ").split():
            if word.startswith("-"):
                options = {name for one in command.params for name in one.opts}
                assert word.partition("=")[0] in options, (where, line)
            elif word in getattr(command, "commands", {}):
                command = command.commands[word]
        # A group that is a command of its own may be run without one of its commands.
        assert getattr(command, "invoke_without_command", True), (where, line)
