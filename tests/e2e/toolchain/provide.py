"""Provides every tool: found in the cache, taken from a seed, or built."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.e2e.toolchain import debian, gobuild, parts, seed
from validation.common.cache import cache_folder, filling
from validation.common.progress import Progress


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """Where the tools are.

    Args:
        folders: The folder with the commands of each part, by the part's name.
    """

    folders: Mapping[str, Path]

    def command(self, part: str, name: str | None = None) -> Path:
        """Return the path of a command of a part; the one named like the part if left out."""
        return self.folders[part] / (name or part)

    def path(self, *first: Path) -> str:
        """Return a PATH with these folders, then the tools, then what was there before."""
        ours = [*first, *self.folders.values()]
        return os.pathsep.join([*map(str, ours), os.environ.get("PATH", os.defpath)])


def provide(
    progress: Progress,
    *,
    wanted: Iterable[parts.GoPart] = parts.GO_PARTS,
    packages: Mapping[str, str] = parts.DEBIAN_PACKAGES,
) -> Toolchain:
    """Make sure that the tools are there.

    Args:
        progress: Shows what is installed, unpacked or built.
        wanted: Which parts; all of them if left out.
        packages: Which Debian packages, as in `parts.DEBIAN_PACKAGES`.

    Raises:
        MissingToolError: A compiler or package is missing and cannot be installed.
        MilvusKitError: A build failed.
    """
    debian.install(packages, progress)
    folders = {part.name: provide_part(part, progress) for part in wanted}
    folders["pulumi-sdk"] = _sdk_scripts(progress)
    return Toolchain(folders)


def provide_part(part: parts.GoPart, progress: Progress) -> Path:
    """Return the folder with a part's commands, made first if it is not there."""
    folder = cache_folder() / "toolchain" / part.folder
    if not folder.exists():
        with progress.step(f"provide {part.name} {part.version}") as say:
            say("waiting for another process that provides it")
            with filling(folder) as partial:
                if partial is not None:
                    (partial / "bin").mkdir()
                    if not seed.take(part, partial):
                        gobuild.build(part, partial, say)
    return folder / "bin"


def _sdk_scripts(progress: Progress) -> Path:
    folder = cache_folder() / "toolchain" / f"pulumi-sdk-{parts.PULUMI_VERSION}"
    if not folder.exists():
        with (
            progress.step(f"provide the scripts of the Pulumi SDK {parts.PULUMI_VERSION}"),
            filling(folder) as partial,
        ):
            if partial is not None:
                source = gobuild.module_folder(parts.SDK_MODULE, f"v{parts.PULUMI_VERSION}")
                (partial / "bin").mkdir()
                for name, path in parts.SDK_SCRIPTS.items():
                    # Files of the module cache are read-only and cannot be run.
                    shutil.copyfile(source / path, partial / "bin" / name)
                    (partial / "bin" / name).chmod(0o755)
    return folder / "bin"
