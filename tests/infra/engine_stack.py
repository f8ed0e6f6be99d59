"""A stack under the real engine: the CLI, with the plugin of dynamic resources beside it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi import automation

from validation.common.cache import cache_folder

PLUGIN = "pulumi-resource-pulumi-python"


def engine_home(folder: Path) -> dict[str, str]:
    """Return the environment of an engine that has its programs and its state in a folder."""
    (folder / "bin").mkdir()
    (folder / "state").mkdir()
    cache = cache_folder() / "toolchain"
    for name in ("pulumi", PLUGIN):
        found = shutil.which(name) or next(map(str, cache.glob(f"pulumi*/bin/{name}")), None)
        if found is None:
            pytest.skip(f"needs the program {name}, on PATH or in {cache}: `make e2e` builds it")
        shutil.copy2(found, folder / "bin" / name)
    return {
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "planted-passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def engine_stack(
    name: str, program: Callable[[], None], environment: dict[str, str], folder: Path
) -> automation.Stack:
    """Return a new stack of an inline program."""
    work = automation.LocalWorkspaceOptions(
        env_vars=environment,
        work_dir=str(folder),
        pulumi_command=automation.PulumiCommand(str(folder)),
        project_settings=automation.ProjectSettings("milvus-kit", "python"),
    )
    return automation.create_stack(name, project_name="milvus-kit", program=program, opts=work)
