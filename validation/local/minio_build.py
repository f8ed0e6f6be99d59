"""Builds the MinIO server once from its published Go module, into the cache.

MinIO is published as source alone; ``go install`` of a pinned version is its maintainers' own way
to a binary, and Go checks the module's hash against its checksum database.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from validation.common.cache import filling
from validation.common.progress import Progress
from validation.errors import MissingToolError
from validation.local import process

RELEASE = "2025-09-07T16-13-09Z"
MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20250907161309-07c3a429bfed"
"""The pseudo-version of `RELEASE`: MinIO's tags are no semantic versions, so Go cannot use them."""

_PASSED = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GONOPROXY", "GOCACHE")
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_STORES = ("GOPATH", "GOMODCACHE", "GOTOOLCHAIN", "GOENV", "SSL_CERT_FILE", "XDG_CACHE_HOME")


def build(go: str, binary: Path, *, folder: Path, progress: Progress) -> None:
    """Build the server, unless it is there already.

    The build ends with this process, however that ends, and leaves nothing half made.

    Args:
        go: The Go command.
        binary: Where it belongs: ``.../NAME/bin/minio`` in the cache.
        folder: Its ``logs/go-install.log`` tells how the build went.
        progress: Told that this takes minutes.

    Raises:
        MissingToolError: The build failed.
    """
    with (
        progress.step(f"build MinIO {RELEASE[:10]} with Go (once, some minutes)") as detail,
        filling(binary.parent.parent) as partial,
    ):
        if partial is None:
            return
        target = partial / "bin"
        target.mkdir()
        detail(f"log: {folder / 'logs' / 'go-install.log'}")
        running = process.start(
            "go-install",
            [go, "install", "-trimpath", "-ldflags", "-s -w", f"{MODULE}@{VERSION}"],
            folder=folder,
            environment=_environment(target),
            owner=process.Owner.this_process(),
        )
        try:
            status = process.wait(running)
        except BaseException:
            process.stop(running, kill=True)
            raise
        if status != 0 or not (target / "minio").exists():
            lines = [line for line in running.log_end().splitlines() if line.strip()]
            raise MissingToolError(
                f"building MinIO failed with status {status}: {' / '.join(lines[-4:-1])[:400]}",
                where=str(running.log),
                remedy=f"Go needs to reach its module proxy for {MODULE}",
            )


def _environment(target: Path) -> dict[str, str]:
    """Return the build's environment: the user's own settings of Go, and ours.

    GOBIN cannot be combined with cross compilation, so the platform is stated as this host's.
    """
    kept = {name: os.environ[name] for name in _PASSED + _NETWORK + _STORES if name in os.environ}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    return {
        **kept,
        **({"GOARCH": machine} if machine else {}),
        "GOBIN": str(target),
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod",
    }
