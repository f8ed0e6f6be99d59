"""Where the files are that a stack names: beside it, in ``stacks/``."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def stacks_folder() -> Path:
    """Return the folder of the stacks: the checkout's, or the one in the installed package."""
    named = os.environ.get("MILVUS_KIT_STACKS")
    if named:
        return Path(named)
    folders = [_ROOT / "stacks", _ROOT / "validation/_data/stacks"]
    return next((one for one in folders if (one / "images.yaml").exists()), folders[0])


def beside_stacks(path: Path) -> Path:
    """Return a path that a stack gives; a relative one starts in the folder of the stacks."""
    path = path.expanduser()
    return path if path.is_absolute() else stacks_folder() / path
