"""Ready-made binaries: ``NAME-VERSION.zst`` beside ``SHA256SUMS`` of the unpacked files."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.e2e.toolchain.parts import GoPart
from validation.errors import ConfigurationError

VARIABLE = "MILVUS_KIT_TOOLCHAIN_SEED"


def take(part: GoPart, folder: Path) -> bool:
    """Unpack a part's only command from the seed folder, if one is named and has it.

    Args:
        part: Must have one command; parts with more are always built.
        folder: Gets ``bin/COMMAND``.

    Returns:
        Whether the seed had it.

    Raises:
        ConfigurationError: The folder is missing, or the file is not the one its checksum names.
    """
    named = os.environ.get(VARIABLE)
    if not named or len(part.commands) != 1:
        return False
    seed = Path(named).expanduser()
    if not seed.is_dir():
        raise ConfigurationError(
            "the toolchain seed is not a folder",
            where=VARIABLE,
            seen=named,
            remedy=f"unset {VARIABLE}, or name the folder that holds the ready-made binaries",
        )
    packed = seed / f"{part.folder}.zst"
    if not packed.exists():
        return False
    binary = folder / "bin" / next(iter(part.commands))
    with binary.open("wb") as sink:
        command = ["zstd", "-d", "-c", str(packed)]
        done = subprocess.run(command, stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ConfigurationError(
            f"a ready-made binary cannot be unpacked: {done.stderr.strip()[-200:]}",
            where=str(packed),
            remedy=f"fetch it again, or unset {VARIABLE} to build it",
        )
    _check(binary, part.folder, seed / "SHA256SUMS")
    binary.chmod(0o755)
    return True


def _check(binary: Path, name: str, sums: Path) -> None:
    text = sums.read_text(encoding="utf-8") if sums.exists() else ""
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    expected = next((pair[0] for pair in pairs if pair[-1].lstrip("*") == name), None)
    with binary.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise ConfigurationError(
            "a ready-made binary is not the one its checksum names",
            where=f"{sums}: {name}",
            seen=f"{found[:12]}…, expected {(expected or 'no entry')[:12]}…",
            remedy=f"fetch {name} again, or unset {VARIABLE} to build it",
        )
