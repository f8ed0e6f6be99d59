"""The kit's own image as a builder makes it of the Dockerfile: by buildah, on a base made here.

The base stands in for the published image of Python: Debian with its own Python, and with this
host's certificate authorities and package index, since the builder fetches packages. No registry is
asked. The store is a folder of its own, so nothing is left on the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import command
from tests.e2e.images import bases

BUILDER = "buildah"
WANTED = "MILVUS_KIT_E2E_BUILD"
"""The variable that has it built, for the tests of the Dockerfile and in the clusters."""
_ROOT = Path(__file__).resolve().parents[3]
_BASE, _IMAGE = "localhost/python:base", "localhost/milvus-kit:built"
_BASE_PACKAGES = ("ca-certificates", "python-is-python3", "python3", "python3-venv")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def is_wanted() -> bool:
    """Return whether the Dockerfile is to be built, which takes minutes and fetches packages."""
    return bool(os.environ.get(WANTED))


@dataclasses.dataclass(frozen=True)
class Built:
    """An image in the builder's store, and a container of it.

    Args:
        store: The builder's command with its store.
        container: The container's name.
    """

    store: tuple[str, ...]
    container: str

    def config(self) -> dict[str, Any]:
        """Return the image's configuration."""
        shown = _call(self.store, "inspect", "--type", "image", _IMAGE)
        return json.loads(shown)["Docker"]["config"]

    def run(self, *arguments: str) -> str:
        """Run a command in the container, as the image's user, and return what it printed."""
        return _call(self.store, "run", "--isolation", "chroot", self.container, "--", *arguments)

    def write(self, archive: Path, name: str) -> None:
        """Write the image as an archive that a node imports."""
        archive.unlink(missing_ok=True)
        _call(self.store, "push", "--quiet", _IMAGE, f"docker-archive:{archive}:{name}")


@contextlib.contextmanager
def built() -> Iterator[Built]:
    """Build the Dockerfile; all of it is gone afterwards.

    Raises:
        MissingToolError: There is no buildah.
        MilvusKitError: The build failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        places = ("--root", f"{folder}/root", "--runroot", f"{folder}/run")
        store = (BUILDER, *places, "--storage-driver", "vfs")
        scratch = _call(store, "from", "scratch").strip()
        _call(
            store, "add", "--quiet", scratch, str(bases.bootstrapped("python", _BASE_PACKAGES)), "/"
        )
        _call(store, "copy", "--quiet", scratch, str(_AUTHORITIES), str(_AUTHORITIES))
        trusted = [f"{name}={_AUTHORITIES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
        _call(store, "config", *(part for one in trusted for part in ("--env", one)), scratch)
        _call(store, "commit", "--quiet", "--rm", scratch, _BASE)
        _call(
            store,
            *("build", "--isolation", "chroot", "--format", "docker", "--pull-never"),
            *("--build-arg", f"BASE={_BASE}", "--tag", _IMAGE, str(_ROOT)),
        )
        yield Built(store, _call(store, "from", "--pull-never", _IMAGE).strip())


def _call(store: tuple[str, ...], *arguments: str) -> str:
    return command.run(
        [*store, *arguments],
        where="building the kit's own image of the Dockerfile",
        remedy="look at the end of what the builder said",
    )
