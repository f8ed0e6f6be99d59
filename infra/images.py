"""Which container images are used: one lock file, mirrors, digests.

``stacks/images.yaml`` holds every image once, with its versions and their digests:

.. code-block:: yaml

    schema: milvus-kit/images/1
    images:
      milvus:
        repository: docker.io/milvusdb/milvus
        versions:
          "2.6.20": {tag: v2.6.20, digest: sha256:...}
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from infra.milvus.roles.topology import sets_first_password, woodpecker_server
from infra.settings import Settings
from infra.settings.cluster import KubeadmCluster
from infra.settings.model import Section
from infra.settings.services import Images, Kafka, Woodpecker
from infra.settings.storage import Minio
from validation.common import strict_yaml
from validation.common.patterns import shaped
from validation.common.resources import in_stacks
from validation.errors import ConfigurationError

SCHEMA = "milvus-kit/images/1"
_TAKE = "take stacks/images.yaml of this release"
_Item = TypeVar("_Item")


class Pin(Section):
    """One version of an image. ``digest`` is left out until it is known."""

    tag: Annotated[str, shaped(r"^[\w][\w.-]{0,127}$", "an image's tag", "v2.6.20")]
    digest: (
        Annotated[
            str,
            shaped(
                r"^sha256:[0-9a-f]{64}$", "a digest of 64 hexadecimal digits", f"sha256:{'0a' * 32}"
            ),
        ]
        | None
    ) = None


class Image(Section):
    """An image and the versions of it that stacks can use; the first is the default."""

    repository: Annotated[
        str,
        shaped(
            r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)+$",
            "a repository with its registry",
            "docker.io/milvusdb/milvus",
        ),
    ]
    versions: dict[str, Pin] = Field(min_length=1)


class Lock(Section):
    """The lock file."""

    schema_: Annotated[
        str, shaped(f"^{SCHEMA}$", "the schema of a lock of images", SCHEMA, alias="schema")
    ]
    images: dict[str, Image]


def lock_file() -> Path:
    """Return the path of the lock: beside the stacks."""
    return in_stacks("images.yaml")


@functools.cache
def lock() -> Lock:
    """Return the lock.

    Raises:
        ConfigurationError: It cannot be read or is not a lock of images.
    """
    path = lock_file()
    try:
        return Lock.model_validate(strict_yaml.load(path, "lock of images", remedy=_TAKE))
    except ValidationError as error:
        raise ConfigurationError(
            "this is not a lock of images" + strict_yaml.wrong_keys(error),
            where=str(path),
            remedy=f"mend the keys named above, or {_TAKE}",
        ) from None


def resolve(
    name: str, settings: Images, *, version: str | None = None, override: str | None = None
) -> str:
    """Return the reference of an image, as a pod names it.

    Args:
        name: Its name in the lock.
        settings: The stack's settings of images; its mirrors are used for every image.
        version: One of its versions; None: the first in the lock.
        override: A reference that the settings give elsewhere, which wins over the lock.

    Raises:
        ConfigurationError: The lock has no such image or version, or no digest where one is
            required.
    """
    given = override or settings.overrides.get(name)
    if given is not None:
        return _mirrored(given, settings)
    images = lock().images
    image = _known(name, images, "image", str(lock_file()))
    chosen = version or next(iter(image.versions))
    pin = _known(chosen, image.versions, f"version of {name}", str(lock_file()))
    if pin.digest is None and settings.require_digest:
        raise ConfigurationError(
            f"the digest of {name} {chosen} is not recorded, and this stack requires digests",
            where=f"{lock_file()}: images.{name}.versions.{chosen}.digest",
            remedy="record it (`crane digest` or `skopeo inspect` show it), name an image with its"
            f" digest in images.overrides.{name}, or set images.requireDigest: false",
        )
    reference = f"{_mirrored(image.repository, settings)}:{pin.tag}"
    return f"{reference}@{pin.digest}" if pin.digest else reference


def milvus_image(settings: Settings) -> str:
    """Return the image of every role of Milvus.

    With GPUs that is the one built for them for all roles: the proxy and the coordinators compare
    an index's type with the list in their own binary.

    Raises:
        ConfigurationError: As `resolve`.
    """
    milvus = settings.milvus
    return resolve(
        milvus_name(settings), settings.images, version=milvus.version, override=milvus.image
    )


def milvus_name(settings: Settings) -> str:
    """Return the name in the lock of the image of every role of Milvus."""
    return "milvus-gpu" if settings.milvus.gpu.enabled else "milvus"


def woodpecker_image(settings: Settings) -> str:
    """Return the image of the log's servers: their version belongs to that of Milvus.

    Raises:
        ConfigurationError: As `resolve`.
    """
    version = woodpecker_server(settings.milvus.version)
    return resolve("woodpecker", settings.images, version=version)


def used(settings: Settings) -> dict[str, str]:
    """Return every image that a stack runs, by its name in the lock.

    Raises:
        ConfigurationError: As `resolve`; asked first, so that nothing is declared then.
    """
    milvus, images = settings.milvus, settings.images
    for name in images.overrides:
        _known(name, lock().images, "image to override", f"images.overrides.{name}")
    found = {
        milvus_name(settings): milvus_image(settings),
        "etcd": resolve("etcd", images),
    }
    if isinstance(settings.storage, Minio):
        found["minio"] = resolve("minio", images)
    if isinstance(settings.log, Woodpecker) and settings.log.mode == "service":
        found["woodpecker"] = woodpecker_image(settings)
    if isinstance(settings.log, Kafka) and settings.log.mode == "create":
        found["kafka"] = resolve("kafka", images)
    if milvus.installer == "operator":
        found["milvus-operator"] = resolve("milvus-operator", images)
    if isinstance(settings.kubernetes, KubeadmCluster) and not settings.kubernetes.storage_class:
        for name in ("local-path-provisioner", "busybox"):  # its default storage class
            found[name] = resolve(name, images)
    if _runs_the_kit(settings):
        given = settings.validation.image
        found["milvus-kit"] = resolve("milvus-kit", images, override=given)
    return found


def copies(settings: Settings) -> dict[str, str]:
    """Return what a site without access to the public registries has to copy, and where to.

    Returns:
        The reference in the public registry of each image that the stack takes from a mirror, and
        the reference that its pods name.
    """
    public = settings.images.model_copy(update={"mirrors": ()})
    there = used(settings.model_copy(update={"images": public}))
    return {there[name]: ref for name, ref in used(settings).items() if ref != there[name]}


def _runs_the_kit(settings: Settings) -> bool:
    """Tell whether a Job in the cluster uses the kit's own image."""
    milvus = settings.milvus
    sets_password = milvus.auth.enabled and not sets_first_password(milvus.version)
    return settings.validation.enabled or settings.etcd.snapshots is not None or sets_password


def _mirrored(image: str, settings: Images) -> str:
    """Return where a repository is, or an image with its tag or digest."""
    for mirror in settings.mirrors:
        rest = image.removeprefix(mirror.source)
        if rest != image and (not rest or rest[0] in "/:@"):
            return mirror.mirror + rest
    return image


def _known(name: str, items: Mapping[str, _Item], what: str, where: str) -> _Item:
    if name not in items:
        raise ConfigurationError(
            f"there is no such {what}",
            where=where,
            seen=name,
            remedy=f"use one of {', '.join(items)}, or name an image in the settings",
        )
    return items[name]
