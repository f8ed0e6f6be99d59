"""Builds the commands of a Go module as static binaries, from the module proxy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.e2e.toolchain.parts import GoPart
from validation.errors import MilvusKitError, MissingToolError

_STAGING = re.compile(r"^\s*(?:replace\s+)?(\S+)\s+=>\s+\./staging/", re.MULTILINE)
_TAIL_LINES = 15
_SECONDS = 3600
"""For one command of Go's: a slow proxy or a busy machine is waited for, one that hangs is not."""


def build(part: GoPart, folder: Path, say: Callable[[str], None]) -> None:
    """Build every command of a part.

    Args:
        part: What to build.
        folder: Gets ``bin/COMMAND`` for each.
        say: Shows which command is being built.

    Raises:
        MissingToolError: There is no Go compiler.
        MilvusKitError: The build failed; with the end of the compiler's output.
    """
    if shutil.which("go") is None:
        raise MissingToolError(
            f"{part.name} {part.version} has to be built and there is no Go compiler",
            where="PATH",
            remedy="install Go 1.26 or later, or name a folder with ready-made binaries in "
            "MILVUS_KIT_TOOLCHAIN_SEED",
        )
    work = folder / "work"
    work.mkdir()
    say("resolving the module")
    if part.program is not None:
        shutil.copytree(part.program, work, dirs_exist_ok=True)
        _go(["mod", "tidy"], work, part)
    else:
        (work / "go.mod").write_text(_module_file(part, work), encoding="utf-8")
        packages = sorted({f"{one}@{part.module_version}" for one in part.commands.values()})
        _go(["get", "-tool", *packages], work, part)
    flags = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in part.variables.items())])
    for number, (command, package) in enumerate(part.commands.items(), start=1):
        say(f"{command}, {number} of {len(part.commands)}")
        output = str(folder / "bin" / command)
        _go(["build", "-trimpath", f"-ldflags={flags}", "-o", output, package], work, part)
    shutil.rmtree(work)


def module_folder(module: str, version: str) -> Path:
    """Return the folder of a downloaded module's source."""
    found = json.loads(_go(["mod", "download", "-json", f"{module}@{version}"], Path("/"), None))
    return Path(found["Dir"])


def _module_file(part: GoPart, work: Path) -> str:
    lines = ["module kit.invalid/toolchain", "", "go 1.26.0", ""]
    if part.staging_version:
        text = _go(["mod", "download", "-json", f"{part.module}@{part.module_version}"], work, part)
        own = Path(json.loads(text)["GoMod"]).read_text(encoding="utf-8")
        godebug = re.search(r"^godebug .*$", own, re.MULTILINE)
        lines += [godebug.group(0), ""] if godebug else []
        lines += [f"replace {m} => {m} {part.staging_version}" for m in _STAGING.findall(own)]
    return "\n".join(lines) + "\n"


def _go(arguments: Sequence[str], folder: Path, part: GoPart | None) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
    where = part.folder if part else " ".join(arguments[-1:])
    try:
        done = subprocess.run(
            ["go", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MilvusKitError(
            f"`go {arguments[0]}` did not end within {_SECONDS / 60:.0f} minutes",
            where=where,
            remedy="check that the Go module proxy answers",
        ) from None
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-_TAIL_LINES:])
        raise MilvusKitError(
            f"`go {arguments[0]}` failed; the end of its output:\n{tail}",
            where=where,
            remedy="check that the Go module proxy answers and that the disk has 5 GB free",
        )
    return done.stdout
