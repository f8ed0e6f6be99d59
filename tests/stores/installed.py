"""What no Go module and no wheel has: from npm, Maven, crates.io, installed once into the cache."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from validation.common.cache import cache_folder, filling
from validation.common.progress import Progress

S3RVER, S3PROXY, S3S, GARAGE = "3.7.1", "2.6.0", "0.14.1", "2.5.0"
AXE_CORE = "4.14.1"
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kit.invalid</groupId><artifactId>store</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.gaul</groupId><artifactId>s3proxy</artifactId><version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""


def s3rver() -> Path:
    """Return the command of s3rver."""
    return _from_npm("s3rver", S3RVER) / ".bin" / "s3rver"


def axe_core() -> Path:
    """Return the script of axe-core, which finds what shuts readers out of a page."""
    return _from_npm("axe-core", AXE_CORE) / "axe-core" / "axe.min.js"


def _from_npm(name: str, version: str) -> Path:
    """Return the folder with a package and what it needs; nothing of it is run to install it."""

    def install(folder: Path) -> None:
        plain = ("--no-audit", "--no-fund", "--ignore-scripts")
        _run("npm", "install", *plain, "--prefix", str(folder), f"{name}@{version}")

    return _kept(f"{name}-{version}", "npm", install) / "node_modules"


def s3proxy() -> Path:
    """Return the folder with the jars of s3proxy, from Maven."""

    def install(folder: Path) -> None:
        (folder / "pom.xml").write_text(_POM.format(version=S3PROXY))
        pom, output = str(folder / "pom.xml"), f"-DoutputDirectory={folder / 'jars'}"
        _run("mvn", "-q", "-f", pom, "dependency:copy-dependencies", output)

    return _kept(f"s3proxy-{S3PROXY}", "mvn", install) / "jars"


def s3s() -> Path:
    """Return the command of s3s-fs, from crates.io; it takes long to compile."""

    return _compiled("s3s-fs", S3S, "--features", "binary") / "bin" / "s3s-fs"


def garage() -> Path:
    """Return the command of Garage, from crates.io; it takes longer."""
    return _compiled("garage", GARAGE) / "bin" / "garage"


def _compiled(name: str, version: str, *more: str) -> Path:
    """Return the folder of a crate's commands."""

    def install(folder: Path) -> None:
        _run(
            "cargo", "install", name, "--version", version, "--locked", "--root", str(folder), *more
        )

    return _kept(f"{name}-{version}", "cargo", install)


def _kept(name: str, tool: str, install: Callable[[Path], None]) -> Path:
    folder = cache_folder() / "toolchain" / name
    if not folder.exists():
        if shutil.which(tool) is None:
            pytest.skip(f"missing tool: {tool}, which installs {name}")
        with Progress().step(f"install {name} with {tool} (once)"), filling(folder) as partial:
            if partial is not None:
                install(partial)
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3_600)
    assert done.returncode == 0, f"{' '.join(command[:2])}: {done.stderr[-2_000:]}"
