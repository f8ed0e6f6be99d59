"""The image archives of a run, in one folder that a node imports before anything starts."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.images import lock
from tests.e2e.images import archive, bases, recipes
from tests.e2e.images.archive import Image
from tests.e2e.toolchain import parts
from tests.e2e.toolchain.provide import Toolchain
from validation.cache import cache_folder, filling
from validation.progress import Progress

MILVUS_VERSIONS = ("2.3.3", "2.3.5")


def image_archives(tools: Toolchain, progress: Progress) -> Path:
    """Return a folder with every image of the ci stacks, made where it is not in the cache."""
    key = _key()
    folder = cache_folder() / "images" / key
    if not folder.exists():
        step = progress.step("assemble the images of Kubernetes and of the stacks")
        with step as say, filling(folder) as partial:
            if partial is not None:
                images = []
                for image in _images(tools):
                    images.append(image)
                    say(image.names[0])
                archive.write_archive(partial / "stacks.tar", images)
    with progress.step("assemble the kit's own image"), tempfile.TemporaryDirectory() as work:
        own = recipes.kit(Path(work), reference("milvus-kit"))
        archive.write_archive(folder / "kit.tar", [own])
    return folder


def reference(name: str, version: str | None = None) -> str:
    """Return how the stacks name an image."""
    image = lock().images[name]
    return f"{image.repository}:{image.versions[version or next(iter(image.versions))].tag}"


def _images(tools: Toolchain) -> Iterator[Image]:
    yield from recipes.kubernetes(tools)
    yield recipes.local_path(tools, reference("local-path-provisioner"))
    yield recipes.busybox(reference("busybox"))
    yield recipes.minio(tools, reference("minio"))
    yield recipes.etcd(tools, reference("etcd"))
    yield recipes.kafka(reference("kafka"))
    for version in MILVUS_VERSIONS:
        yield recipes.milvus(version, reference("milvus", version))


def _key() -> str:
    """Return what changes when an image would."""
    code = [Path(str(module.__file__)).read_bytes() for module in (archive, bases, recipes, parts)]
    names = str(lock().model_dump()).encode()
    return hashlib.sha256(b"".join([*code, names])).hexdigest()[:12]
