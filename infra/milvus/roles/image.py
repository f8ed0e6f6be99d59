"""What Milvus's published images are like, by line of versions: data that pods are made to fit.

Sources: ``build/docker/milvus/*/Dockerfile`` and ``configs/`` of the lines named below, read up to
July 2026; that "others" may not run the binary was met in the field with 2.6.1 (exit 126). The
end-to-end tests lay their images out by this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.milvus.roles.topology import parse_version


@dataclass(frozen=True)
class ImageFacts:
    """The layout of one line's images.

    Args:
        first: The first version of the line, as major and minor.
        owner: User and group, by number, of everything below ``/milvus`` and the data folder.
        user: Whom the image runs as if nothing is said: a number.
        mode: Of the binary, the libraries and the configuration: others may do nothing with them.
        shipped: Files in the folder of the configuration.
        written: Folders that Milvus writes to.
    """

    first: tuple[int, int]
    owner: int
    user: int
    mode: int = 0o774
    shipped: tuple[str, ...] = ("milvus.yaml", "glog.conf")
    written: tuple[str, ...] = ("/var/lib/milvus", "/milvus/logs", "/run/milvus", "/tmp")  # noqa: S108


LINES = (
    ImageFacts(first=(2, 3), owner=0, user=0),
    ImageFacts(first=(3, 0), owner=999, user=999),
)

GROUPS = tuple(sorted({facts.owner for facts in LINES}))
"""Groups that a pod of any user needs to run the binary and read the configuration beside it.

All of them always, so that no rollout depends on which of two images a pod has just got.
"""


def facts(version: str) -> ImageFacts:
    """Return the layout of a version's image."""
    numbers = parse_version(version)
    return next(line for line in reversed(LINES) if numbers[:2] >= line.first)
