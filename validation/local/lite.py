"""Milvus Lite as a target: a Milvus in Python that runs inside the process that connects to it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

from validation import target as targets
from validation.errors import MissingToolError
from validation.target import Target

NAME = "local-lite"
NOTE = (
    "this is Milvus Lite, a Milvus in Python inside the client's process, on local files: no S3,"
    " no separate server; its latency is not evidence of a Milvus server's"
)


def lite_target(folder: Path, *, why: str = "") -> Target:
    """Return a target for Milvus Lite with its data in a folder.

    Nothing is started here: pymilvus starts it when a client connects to a path ending in ``.db``,
    inside that process, and it ends with that process. One process at a time may use the path.

    Args:
        folder: Home of its data; made if missing.
        why: Why it is used instead of a server; told in the target's notes.

    Raises:
        MissingToolError: The package is not installed.
    """
    if importlib.util.find_spec("milvus_lite") is None:
        raise MissingToolError(
            "Milvus Lite is not installed",
            where="package milvus-lite",
            remedy="pip install 'milvus-kit[embedded]'",
        )
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return Target(
        name=NAME,
        description="Milvus Lite in this process",
        milvus=targets.Milvus(
            uri=str(folder / "lite.db"), deployment="lite", version=version("milvus-lite")
        ),
        notes=(f"{why}: {NOTE}" if why else NOTE,),
    )
