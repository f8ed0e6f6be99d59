"""The files that Milvus's image ships beside its configuration, for a Milvus from PyPI."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

_PLACEHOLDER = re.compile(r"\{\{\s*\w+(?:\([^)]*\))?\s*(?::\s*([^}]*?))?\s*\}\}")


def files(template: Path) -> dict[str, str]:
    """Return the files by name; without glog.conf, 2.3.5 ends as soon as it has started.

    Args:
        template: The package's ``config.yaml.template``.
    """
    return {
        "milvus.yaml": yaml.safe_dump(milvus_yaml(template)),
        "glog.conf": "--logtostdout=true\n",
    }


def milvus_yaml(template: Path) -> dict[str, object]:
    """Return the package's own configuration, its placeholders replaced by their defaults."""
    text = template.read_text(encoding="utf-8")
    plain = _PLACEHOLDER.sub(lambda found: found.group(1) or "", text)
    return _without_empty(yaml.safe_load(plain))


def _without_empty(tree: dict[str, object]) -> dict[str, object]:
    kept = {key: _without_empty(one) if isinstance(one, dict) else one for key, one in tree.items()}
    return {key: one for key, one in kept.items() if one is not None}
