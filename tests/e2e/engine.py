"""The Pulumi engine of one run: its own home, its own backend, plain ``pulumi`` commands."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e.standins.installation import install
from tests.e2e.toolchain.provide import Toolchain
from validation.common.cache import cache_folder
from validation.errors import MilvusKitError

_SECONDS = 1500
_TAIL_LINES = 40


@dataclasses.dataclass(frozen=True)
class Engine:
    """Runs ``pulumi`` in a project as a user would.

    Args:
        root: The project: the folder with ``Pulumi.yaml``.
        folder: Of the run; the state is kept under it, with its secrets encrypted.
        environment: Of the commands.
        standins: Names of the plugins that are stand-ins.
    """

    root: Path
    folder: Path
    environment: dict[str, str] = dataclasses.field(repr=False)
    standins: tuple[str, ...]

    def run(
        self,
        *arguments: str,
        check: bool = True,
        seconds: float = _SECONDS,
        given: str | None = None,
    ) -> str:
        """Run ``pulumi`` and return what it printed; its output is kept in the run's folder.

        Args:
            arguments: Of the command.
            check: Whether a failure is an error.
            seconds: How long it may take.
            given: What it reads, such as a secret.

        Raises:
            MilvusKitError: It failed, and ``check`` is set; with the end of its output.
        """
        started = time.strftime("%H%M%S")
        log = self.folder / "pulumi" / f"{started}-{'-'.join(arguments[:2]).strip('-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                ["pulumi", *arguments, "--non-interactive", "--color=never"],
                cwd=self.root,
                env=self.environment,
                input=(given or "").encode(),
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=seconds,
            )
        text = log.read_text(encoding="utf-8", errors="replace")
        if check and done.returncode:
            tail = "\n".join(text.splitlines()[-_TAIL_LINES:])
            raise MilvusKitError(
                f"`pulumi {arguments[0]}` ended with status {done.returncode}:\n{tail}",
                where=str(log),
                remedy="the lines above name the resource",
            )
        return text

    def output(self, stack: str, name: str) -> Any:
        """Return a stack's output, its secrets in plain text and only in memory."""
        done = subprocess.run(
            ["pulumi", "stack", "output", name, "-s", stack, "--json", "--show-secrets"],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return json.loads(done.stdout)

    def resources(self, stack: str, *, show_secrets: bool = False) -> list[dict[str, Any]]:
        """Return the resources of a stack's state, on demand with secrets, only in memory."""
        shown = ["--show-secrets"] if show_secrets else []
        done = subprocess.run(
            ["pulumi", "stack", "export", "-s", stack, *shown],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return json.loads(done.stdout)["deployment"].get("resources") or []


def engine(tools: Toolchain, root: Path, folder: Path, passphrase: str) -> Engine:
    """Return an engine with a home and a backend under a run's folder.

    Args:
        tools: The toolchain.
        root: Of the project.
        folder: Of the run.
        passphrase: Encrypts the secrets in the state.
    """
    home, backend = folder / "pulumi-home", folder / "state"
    backend.mkdir(parents=True, exist_ok=True)
    standins = install(tools, home)
    environment = {
        **os.environ,
        # This Python is the one that runs programs and dynamic providers.
        "PATH": tools.path(home / "bin", Path(sys.executable).parent),
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_HOME": str(home),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": passphrase,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # Compiled once and not for each command, and not beside the code, which may be a user's.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode"),
        "MILVUS_KIT_STANDIN_SECONDS": "240",
    }
    return Engine(root, folder, environment, tuple(standins))
