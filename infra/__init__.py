"""Pulumi programs that stand up Kubernetes, an S3 store and Milvus on it."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _leave_the_path() -> None:
    """Take this folder off Python's path.

    Pulumi runs programs and dynamic providers with this folder as the current one, so that
    ``import kubernetes`` or ``import secrets`` would find the packages of that name in here. What
    was found that way already is forgotten, and found again in its right place.
    """
    ours = {Path(entry or ".").resolve() for entry in sys.path}
    ours = {folder for folder in ours if _is_program(folder)} | {_HERE}
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() not in ours]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        inside = file is not None and not ours.isdisjoint(Path(file).resolve().parents)
        if inside and name != "__main__" and name.split(".", 1)[0] != __name__:
            del sys.modules[name]


def _is_program(folder: Path) -> bool:
    """Tell whether a folder is this one, or a checkout's beside an installed package."""
    if folder.name != _HERE.name:
        return False
    return (folder / "program.py").is_file() and (folder / "kubernetes").is_dir()


_leave_the_path()
