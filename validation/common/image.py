"""What the kit's own image says of itself: its lock and its bill of materials (CycloneDX)."""

from __future__ import annotations

from pathlib import Path

from validation.common.files import checksum

ROOT = Path("/opt/milvus-kit")
"""Where the Dockerfile puts the kit."""
FOLDER = "build"
_CODE = Path(__file__).resolve()
FILES = ("requirements.lock", "sbom.cdx.json")


def digests(code: Path = _CODE) -> dict[str, str]:
    """Return the SHA-256 of each of the image's files; none where this is no image.

    Args:
        code: A file of the kit that runs.
    """
    if not code.is_relative_to(ROOT):
        return {}
    files = [ROOT / FOLDER / name for name in FILES]
    return {file.name: checksum(file) for file in files if file.exists()}
