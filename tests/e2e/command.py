"""A command of this machine: what it printed, or an error with its last words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from validation.errors import MilvusKitError, MissingToolError

_TAIL = 800


def run(
    command: Sequence[str | Path],
    *,
    where: str,
    remedy: str,
    given: str = "",
    hidden: Iterable[str] = (),
) -> str:
    """Run a command, and return what it printed.

    Args:
        command: With its arguments.
        where: What it is for, or is done to.
        remedy: What to do if it fails.
        given: What it reads.
        hidden: Secrets, masked in what is told of it.

    Raises:
        MissingToolError: There is no such command.
        MilvusKitError: It failed; with the end of what it said.
    """
    arguments = [str(one) for one in command]
    name = Path(arguments[0]).name
    try:
        done = subprocess.run(
            arguments,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise MissingToolError(
            f"there is no {name}, which {where} needs",
            where="PATH",
            remedy=f"install the package that brings {name}",
        ) from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        for secret in hidden:
            said = said.replace(secret, "***")
        raise MilvusKitError(
            f"{name} ended with status {done.returncode}: {said[-_TAIL:]}",
            where=where,
            remedy=remedy,
        )
    return done.stdout
