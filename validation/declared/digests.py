"""What tells one configuration from another without saying what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CONFIGURATION = "milvus-kit/configuration"
"""Annotation of pods: the digest of the files that they were started with."""
_DEFAULTS = {"apiVersion": "v1", "divisor": "0"}
"""Of references to fields and resources of a pod, as the API server fills them in."""


def checksum(content: str) -> str:
    """Return what tells one text from another, short enough for an annotation."""
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def files(data: Mapping[str, str]) -> str:
    """Return the digest of a ConfigMap's files and their names."""
    return checksum("".join(f"{name}\0{data[name]}\0" for name in sorted(data)))


def environment(container: Mapping[str, Any]) -> str:
    """Return the digest of a container's variables: values, and what others are taken from.

    Args:
        container: As the API server has it, or as it is sent there.
    """
    variables = container.get("env") or ()
    named = {
        str(one["name"]): _plain(one.get("valueFrom")) or str(one.get("value") or "")
        for one in variables
    }
    taken = [_plain(one) for one in container.get("envFrom") or ()]
    return checksum(json.dumps([named, taken], sort_keys=True))


def _plain(source: Any) -> Any:
    """Return a reference without what the API server adds to one by itself, or leaves out."""
    if not isinstance(source, Mapping):
        return source
    added = (None, False, "", {})
    found = {
        name: _plain(one) for name, one in source.items() if (name, one) not in _DEFAULTS.items()
    }
    return {name: one for name, one in found.items() if one not in added}
