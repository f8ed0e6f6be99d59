"""Host packages from Debian: asked for by what they bring, installed only where missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from validation.common.progress import Progress
from validation.errors import MissingToolError


def missing(packages: Mapping[str, str]) -> list[str]:
    """Return the packages whose command or file is not on this host."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [
        package
        for package, shown_by in packages.items()
        if not (
            Path(shown_by).exists() if shown_by.startswith("/") else shutil.which(shown_by, 0, path)
        )
    ]


def install(packages: Mapping[str, str], progress: Progress) -> None:
    """Install what is missing.

    Raises:
        MissingToolError: This is not a Debian, or not root, or the installation failed.
    """
    names = missing(packages)
    if not names:
        return
    remedy = "as root: apt-get install --no-install-recommends " + " ".join(names)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingToolError(
            "host packages are missing", where="PATH", seen=", ".join(names), remedy=remedy
        )
    with progress.step(f"install {', '.join(names)} from Debian"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "install", "--no-install-recommends", "-y", *names],
        ):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise MissingToolError(
                    "host packages could not be installed: " + done.stderr.strip()[-400:],
                    where=" ".join(command[:2]),
                    remedy=remedy,
                )
