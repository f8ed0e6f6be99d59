"""Files that people write by hand are read without silent surprises, and with the same errors.

A key given twice is an error, not the last one wins; a file is a mapping of keys. Rules, targets,
stacks and the lock of images are all read here.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from validation.common.patterns import told
from validation.errors import ConfigurationError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *shared` may be overridden
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    problem="a list or mapping cannot be a key", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands here twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path, what: str, *, remedy: str) -> dict[str, Any]:
    """Return the mapping in a YAML or JSON file.

    Args:
        path: The file.
        what: What it is to its reader, such as ``rules file``.
        remedy: What to do when there is no such file, or it is something else.

    Raises:
        ConfigurationError: The file cannot be read, is not YAML, gives a key twice, or holds
            something else than a mapping. The error names file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the {what}: {error.strerror or error}", where=str(path), remedy=remedy
        ) from None
    return parse(content, path, what, remedy=remedy)


def parse(content: bytes, path: Path, what: str, *, remedy: str) -> dict[str, Any]:
    """Return the mapping in the content of a file; as `load`, which reads it first."""
    try:
        text = content.decode("utf-8")
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the {what} is not UTF-8", where=str(path), remedy="save it as UTF-8 text"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigurationError(
            f"not valid YAML: {getattr(error, 'problem', error)}",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            remedy="mend the syntax there",
        ) from None
    except (ValueError, RecursionError) as error:  # a date such as 2024-13-45, or endless nesting
        raise ConfigurationError(
            f"a value cannot be read: {error}", where=str(path), remedy="quote it if it is text"
        ) from None
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"a {what} is a mapping of keys",
            where=str(path),
            seen=type(document).__name__,
            remedy=remedy,
        )
    return document


def wrong_keys(error: ValidationError) -> str:
    """Return every wrong key and why, a line each, to stand behind a message; no value is shown."""
    return "".join(
        f"\n    {'.'.join(map(str, item['loc'])) or '(document)'}: {told(item)}"
        for item in error.errors(include_input=False, include_url=False)
    )
