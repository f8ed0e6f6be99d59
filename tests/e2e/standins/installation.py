"""Puts the Pulumi CLI and its plugins into a folder: the published ones, or else the stand-ins."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from importlib.metadata import version
from pathlib import Path

from tests.e2e.toolchain.provide import Toolchain

_ROOT = Path(__file__).resolve().parents[3]
LANGUAGE = "pulumi-language-python"
KUBERNETES = "pulumi-resource-kubernetes"
_STANDINS = {
    LANGUAGE: "tests.e2e.standins.language_host",
    KUBERNETES: "tests.e2e.standins.kubernetes_provider",
}


def install(tools: Toolchain, home: Path) -> list[str]:
    """Fill ``home/bin``, and ``home/plugins`` with the Kubernetes provider.

    Args:
        tools: The toolchain.
        home: Pulumi's home folder of one run.

    Returns:
        Which plugins are stand-ins, for the run's output.
    """
    folder = home / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    # The engine looks for plugins beside its own file, and follows links to find that.
    _copy(tools.command("pulumi"), folder / "pulumi")
    for script in sorted(tools.folders["pulumi-sdk"].iterdir()):
        _copy(script, folder / script.name)
    plugin = home / "plugins" / f"resource-kubernetes-v{version('pulumi-kubernetes')}"
    places = {LANGUAGE: folder / LANGUAGE, KUBERNETES: plugin / KUBERNETES}
    used = [name for name in _STANDINS if _published(name, folder) is None]
    for name, place in places.items():
        # One that an earlier run put there would be found before the published one.
        place.unlink(missing_ok=True)
        if name in used:
            place.parent.mkdir(parents=True, exist_ok=True)
            _launcher(place, _STANDINS[name])
    if KUBERNETES not in used:
        shutil.rmtree(plugin, ignore_errors=True)
    return used


def _published(name: str, ours: Path) -> str | None:
    """Return where a published plugin is on PATH, outside the folder of a run's own."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = [folder for folder in folders if Path(folder) != ours]
    return shutil.which(name, path=os.pathsep.join(others))


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _launcher(path: Path, module: str) -> None:
    path.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH={_ROOT}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONSAFEPATH=1 "
        f'exec {sys.executable} -m {module} "$@"\n',
        encoding="utf-8",
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
