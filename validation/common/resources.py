"""Files beside the code: those that come with the kit, and a user's own stacks before them."""

from __future__ import annotations

import os
from pathlib import Path

from validation.errors import ConfigurationError

_PACKAGE = Path(__file__).resolve().parent.parent
STACKS_VARIABLE = "MILVUS_KIT_STACKS"
FALLBACK_RULES = "default.slo.yaml"


def find(name: str) -> Path:
    """Return the path of a file or folder that comes with the kit, such as ``sample_data``.

    At the root of a checkout, in a wheel beside the code.

    Raises:
        ConfigurationError: It is neither in the checkout nor in the installed package.
    """
    for root in (_PACKAGE.parent, _PACKAGE / "_data"):
        if (root / name).exists() and (root / "stacks").is_dir():
            return root / name
    raise ConfigurationError(
        "a file of the kit is missing",
        where=name,
        remedy="reinstall milvus-kit, or run it from a complete checkout",
    )


def stacks_folders() -> tuple[Path, ...]:
    """Return where a stack's files are looked for: the user's own folders first, the kit's last.

    ``$MILVUS_KIT_STACKS`` where it is set, else ``stacks`` in the working folder; a program of
    Pulumi's works in a folder of its project, and the stacks are the project's.
    """
    own = os.environ.get(STACKS_VARIABLE)
    if own:
        return (Path(own).expanduser(), find("stacks"))
    here = Path.cwd()
    root = here.parent if (here.parent / "Pulumi.yaml").exists() else here
    return (root / "stacks", find("stacks"))


def in_stacks(path: Path | str) -> Path:
    """Return a file of the stacks, such as ``Pulumi.dev.yaml``; what is in no folder is the user's.

    Args:
        path: Relative to a folder of stacks. An absolute one, or one that starts with ``~``, is
            returned as it is.
    """
    path = Path(path).expanduser()
    found = [folder / path for folder in stacks_folders()]
    return next((one for one in found if one.exists()), found[0])


def rules_file(name: str, declared: Path | None) -> Path:
    """Return the rules that a stack is judged by where the command line names none.

    Args:
        name: The stack's, or the target's.
        declared: Those that it names itself, relative to a folder of stacks.

    Returns:
        Those, else ``NAME.slo.yaml`` of the stacks, else what the kit asks of any Milvus.

    Raises:
        ConfigurationError: The declared ones are in no folder of stacks.
    """
    if declared is not None:
        path = in_stacks(declared)
        if not path.exists():
            folders = " or ".join(map(str, stacks_folders()))
            raise ConfigurationError(
                f"the rules that it names are not in {folders}",
                where=f"rules of {name}",
                seen=str(declared),
                remedy="correct validation.rules of the stack (or rules of the target file), or"
                " name a rules file with --rules",
            )
        return path
    own = in_stacks(f"{name}.slo.yaml")
    return own if own.exists() else in_stacks(FALLBACK_RULES)


def stack_file(stack: str) -> Path:
    """Return the file with a stack's settings.

    Raises:
        ConfigurationError: There is no such stack; with the names of those that there are.
    """
    path = in_stacks(f"Pulumi.{stack}.yaml")
    if path.exists():
        return path
    files = (file for folder in stacks_folders() for file in folder.glob("Pulumi.*.yaml"))
    names = {file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files}
    # What the kit's own end-to-end tests deploy is no start for anybody else's stack.
    offered = sorted(name for name in names if not name.startswith("ci"))
    raise ConfigurationError(
        "there is no such stack",
        where=str(path),
        seen=stack,
        remedy=f"use one of {', '.join(offered)}, or copy the file of one of them there",
    )
