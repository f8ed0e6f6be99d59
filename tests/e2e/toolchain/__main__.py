"""``python -m tests.e2e.toolchain``: provide every tool, and say where each one is."""

from __future__ import annotations

import sys

from tests.e2e.toolchain.provide import provide
from validation.common.progress import Progress
from validation.errors import MilvusKitError


def main() -> int:
    """Provide the tools; return the exit code."""
    progress = Progress()
    try:
        toolchain = provide(progress)
    except MilvusKitError as error:
        progress.say(f"✗ {error}")
        return int(error.exit_code)
    for name, folder in sorted(toolchain.folders.items()):
        progress.say(f"{name}: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
