"""What tells one configuration from another without saying what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

CONFIGURATION = "milvus-kit/configuration"
"""Annotation of pods: the digest of the files that they were started with."""


def checksum(content: str) -> str:
    """Return what tells one text from another, short enough for an annotation."""
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def files(data: Mapping[str, str]) -> str:
    """Return the digest of a ConfigMap's files."""
    return checksum("".join(data[name] for name in sorted(data)))


def environment(variables: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest of a container's variables, as far as their values stand in it."""
    plain = {
        str(one["name"]): str(one.get("value") or "")
        for one in variables
        if not one.get("valueFrom")
    }
    return checksum("\0".join(f"{name}={plain[name]}" for name in sorted(plain)))
