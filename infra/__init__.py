"""Pulumi programs that stand up Kubernetes, an S3 store and Milvus on it."""

import sys
from pathlib import Path


def _leave_the_path() -> None:
    """Take this folder off Python's path.

    Pulumi runs programs and dynamic providers with this folder as the current one, so that
    ``import kubernetes`` or ``import secrets`` would find the packages of that name in here. What
    was found that way already is forgotten, and found again in its right place.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        inside = file is not None and here in Path(file).resolve().parents
        if inside and name != "__main__" and name.split(".", 1)[0] != __name__:
            del sys.modules[name]


_leave_the_path()
