"""What the tests' stores and clients are built from: pins, and where the commands are.

The clusters' toolchain builds them, in the same cache.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.e2e.toolchain.parts import ETCD, MINIO, GoPart
from tests.e2e.toolchain.provide import provide_part
from validation.common.progress import Progress

_PROGRAM = Path(__file__).parent / "woodpecker"


def _sum(folder: Path) -> str:
    """Return what tells one state of a program of ours from another."""
    texts = sorted(path.read_bytes() for path in folder.iterdir())
    return hashlib.sha256(b"".join(texts)).hexdigest()[:8]


SEAWEEDFS = GoPart(
    "seaweedfs",
    "4.53",
    "github.com/seaweedfs/seaweedfs",
    "v0.0.0-20261109003541-7506e5f91cd6",
    {"weed": "github.com/seaweedfs/seaweedfs/weed"},
)
VERSITYGW = GoPart(
    "versitygw",
    "1.8.0",
    "github.com/versity/versitygw",
    "v1.8.0",
    {"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
)
RCLONE = GoPart(
    "rclone",
    "1.76.0",
    "github.com/rclone/rclone",
    "v1.76.0",
    {"rclone": "github.com/rclone/rclone"},
)
WOODPECKER = GoPart(
    "woodpecker-owner",
    f"0.1.29-{_sum(_PROGRAM)}",
    "kit.invalid/woodpecker",
    "",
    {"woodpecker-owner": "."},
    program=_PROGRAM,
)
__all__ = ["ETCD", "MINIO", "RCLONE", "SEAWEEDFS", "VERSITYGW", "WOODPECKER", "command"]


def command(part: GoPart) -> str:
    """Return the path of a part's one command; built if it is not there."""
    return str(provide_part(part, Progress()) / next(iter(part.commands)))
