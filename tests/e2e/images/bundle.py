"""The image archives of a run, in one folder that a node imports before anything starts."""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from infra.images import lock
from infra.milvus.roles import image
from tests import shipped
from tests.e2e import host
from tests.e2e.images import archive, bases, dockerfile, recipes
from tests.e2e.images.archive import Image
from tests.e2e.toolchain import parts
from tests.e2e.toolchain.provide import Toolchain
from validation.common.cache import cache_folder, filling
from validation.common.progress import Progress

COMMON = "common"
_DECISIVE = (archive, bases, recipes, parts, shipped, image)
EVERY = ("milvus-2.3.3", "milvus-2.3.5", "kafka", "kit")
MILVUS_VERSIONS = ("2.3.3", "2.3.5")


def image_archives(tools: Toolchain, progress: Progress) -> Path:
    """Return a folder with every image of the ci stacks, made where it is not in the cache.

    There is one archive for what every cluster needs, and one for each thing that only some do; see
    `chosen`. The kit's own image is made anew in each run, from this checkout.
    """
    folder = cache_folder() / "images" / _key()
    if not folder.exists():
        step = progress.step("assemble the images of Kubernetes and of the stacks")
        with step as say, filling(folder) as partial:
            if partial is not None:
                for name, images in _archives(tools).items():
                    say(name)
                    archive.write_archive(partial / f"{name}.tar", images)
    _kit(folder / "kit.tar", progress)
    return folder


@functools.cache
def _kit(path: Path, progress: Progress) -> None:
    """Write the archive of the kit's own image, once a run.

    The Dockerfile is built where that is wanted, which takes minutes; otherwise what it describes
    is put together here.
    """
    name = reference("milvus-kit")
    if dockerfile.is_wanted():
        step = progress.step("build the kit's own image of the Dockerfile")
        with step, dockerfile.built() as made:
            made.write(path, name)
        return
    with progress.step("assemble the kit's own image"), tempfile.TemporaryDirectory() as work:
        archive.write_archive(path, [recipes.kit(Path(work), name)])


def kit_file(name: str) -> bytes:
    """Return a file of the kit's own image that the node has imported."""
    return archive.read_file(host.IMAGES / "kit.tar", name)


def chosen(folder: Path, stack: str, wanted: Iterable[str] = EVERY) -> Path:
    """Return a folder with the archives that a stack's node imports.

    Args:
        folder: With all archives.
        stack: The stack's name.
        wanted: Names such as ``milvus-2.3.5``, ``kafka`` or ``kit``; the common one is added.
    """
    target = folder / stack
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in (COMMON, *wanted):
        # Not a symbolic link: a node may see this folder from a file system of its own.
        (target / f"{name}.tar").hardlink_to(folder / f"{name}.tar")
    return target


def reference(name: str, version: str | None = None) -> str:
    """Return how the stacks name an image."""
    image = lock().images[name]
    return f"{image.repository}:{image.versions[version or next(iter(image.versions))].tag}"


def _archives(tools: Toolchain) -> dict[str, list[Image]]:
    common = [
        *recipes.kubernetes(tools),
        recipes.local_path(tools, reference("local-path-provisioner")),
        recipes.busybox(reference("busybox")),
        recipes.minio(tools, reference("minio")),
        recipes.etcd(tools, reference("etcd")),
    ]
    milvus = {
        f"milvus-{version}": [recipes.milvus(version, reference("milvus", version))]
        for version in MILVUS_VERSIONS
    }
    return {COMMON: common, "kafka": [recipes.kafka(reference("kafka"))], **milvus}


def _key() -> str:
    """Return what changes when an image would."""
    code = [Path(str(module.__file__)).read_bytes() for module in _DECISIVE]
    names = str(lock().model_dump()).encode()
    return hashlib.sha256(b"".join([*code, names])).hexdigest()[:12]
