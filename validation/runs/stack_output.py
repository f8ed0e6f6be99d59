"""The target that a command is given: a document, or a Pulumi stack's output ``target``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from validation.errors import ConfigurationError, MissingToolError, UsageError
from validation.target import Target, load, parse

OUTPUT = "target"
_TIMEOUT_SECONDS = 120


@contextmanager
def target_given(
    file: Path | None, stack: str | None, *, command: str, wanted: str, state: bool = False
) -> Iterator[Target]:
    """Yield the target that a command was given: by ``--target``, or by ``--stack``.

    Args:
        file: The target's document.
        stack: Name of the stack whose output it is.
        command: The command's name, for the error.
        wanted: What has to be said, for the error.
        state: Whether the stack's state is wanted too, as `Target.state_file`.

    Raises:
        UsageError: Not exactly one of them was given.
        MissingToolError: There is no Pulumi CLI.
        ConfigurationError: What was given cannot be used.
    """
    if (file is None) == (stack is None):
        raise UsageError(
            wanted,
            where=f"milvus-kit {command}",
            remedy="give --target FILE or -s STACK, one of them",
        )
    with (
        target_of_stack(stack, state=state) if stack else nullcontext(load(file or Path())) as found
    ):
        yield found


@contextmanager
def target_of_stack(stack: str, *, state: bool = False) -> Iterator[Target]:
    """Yield a stack's target while its secrets lie in files that only this user can read.

    The files are removed at the end: a target that holds secrets itself is never written down.

    Args:
        stack: Name of the stack, as for ``pulumi -s``; its Pulumi.yaml is in the current folder.
        state: Whether its state is wanted too, as `Target.state_file`; secrets in it are encrypted.

    Raises:
        MissingToolError: There is no Pulumi CLI.
        ConfigurationError: The stack is unknown or has no such output.
    """
    document = _output(stack)
    with TemporaryDirectory(prefix="milvus-kit-") as folder:
        parsed = parse(_in_files(document, Path(folder)), source=f"output {OUTPUT} of {stack}")
        if state:
            exported = Path(folder, "state")
            exported.write_text(_pulumi(stack, "stack", "export"), encoding="utf-8")
            parsed = parsed.model_copy(update={"state_file": exported})
        yield parsed


def _output(stack: str) -> Any:
    said = _pulumi(stack, "stack", "output", OUTPUT, "--json", "--show-secrets")
    try:
        return json.loads(said)
    except json.JSONDecodeError:
        raise ConfigurationError(
            f"the output {OUTPUT} is not JSON",
            where=f"stack {stack}",
            remedy=f"see what `pulumi stack output {OUTPUT} --json -s {stack}` says; it may be an"
            " older Pulumi CLI",
        ) from None


def _pulumi(stack: str, *command: str) -> str:
    """Return what a command of Pulumi's says about a stack."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        raise MissingToolError(
            "the Pulumi CLI is not on PATH",
            where=f"stack {stack}",
            remedy="install Pulumi, or give the target document itself with --target",
        )
    done = subprocess.run(
        [pulumi, *command, "--stack", stack, "--non-interactive"],
        env={"PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ConfigurationError(
            f"pulumi cannot say the output {OUTPUT}: {said[-1] if said else 'no message'}",
            where=f"stack {stack} in {Path.cwd()}",
            remedy=f"run `pulumi up -s {stack}` first, from the folder with Pulumi.yaml",
        )
    return done.stdout


def _in_files(part: Any, folder: Path, name: str = OUTPUT) -> Any:
    """Return the document with every ``{value: ...}`` replaced by a reference to a private file."""
    if isinstance(part, dict):
        if set(part) == {"value"} and isinstance(part["value"], str):
            path = folder / name
            path.touch(0o600)
            path.write_text(part["value"], encoding="utf-8")
            return {"file": str(path)}
        return {key: _in_files(value, folder, f"{name}.{key}") for key, value in part.items()}
    if isinstance(part, list):
        return [_in_files(value, folder, f"{name}.{at}") for at, value in enumerate(part)]
    return part
