"""The project as a user has it: a clone whose stack files may be edited without touching ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_LINKED = ("infra", "validation", "sample_data", ".venv")


def runs_folder() -> Path:
    """Return where runs are kept: ``$MILVUS_KIT_E2E_RUNS``, else ``runs`` of the checkout."""
    return Path(os.environ.get("MILVUS_KIT_E2E_RUNS", ROOT / "runs"))


def kept_folder() -> Path:
    """Return the folder of the stack that is left running between runs."""
    return runs_folder() / "e2e-kept"


def clone(folder: Path) -> Path:
    """Return a project folder: the programs linked, the stack files copied.

    Args:
        folder: Where it is made; what is there already is used again, its stacks refreshed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Pulumi.yaml", folder / "Pulumi.yaml")
    for name in _LINKED:
        if (ROOT / name).exists() and not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name)
    stacks = folder / "stacks"
    stacks.mkdir(exist_ok=True)
    for file in sorted((ROOT / "stacks").iterdir()):
        kept = _salt(stacks / file.name)
        shutil.copy(file, stacks / file.name)
        if kept:
            edit(stacks / file.name, lambda document, kept=kept: document.update(kept))
    return folder


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a stack's file as a user with an editor would."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _salt(file: Path) -> dict[str, Any]:
    """Return what Pulumi itself wrote into a stack's file: without it, the state is unreadable."""
    if not file.name.startswith("Pulumi.") or not file.exists():
        return {}
    document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return {key: document[key] for key in ("encryptionsalt",) if key in document}
