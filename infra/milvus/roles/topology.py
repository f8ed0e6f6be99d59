"""What a Milvus of a given version is made of: one table, and the order in which it is changed.

Sources: Milvus's own ``milvus.yaml`` and ``cmd/roles``, the objects that milvus-operator v1.3.8
makes for 2.5, 2.6 and 3.0, and cluster mode as run from the 2.3.5 binary. ``docs/topology.md`` is
the same table in prose.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from validation.errors import ConfigurationError

METRICS_PORT = 9091
PROXY_PORT = 19530
PROXY_INTERNAL_PORT = 19529
HEALTH_PATH = "/healthz"
METRICS_PATH = "/metrics"
STANDALONE = "standalone"
OLDEST = (2, 3, 0)
FIRST_PASSWORD_SINCE = (2, 4, 7)
"""Older versions know no first password of root's: a Job changes the published one."""
WOODPECKER_SERVICE_SINCE = (3, 0, 1)
"""2.6 has the embedded client alone; 3.0.0's belongs to a server that lost acknowledgements."""
VERSION = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?$")


@dataclass(frozen=True)
class Role:
    """One Milvus role: the arguments of ``milvus run``, its gRPC port, and others by name."""

    name: str
    run: tuple[str, ...]
    port: int
    coordinator: bool = False
    also: tuple[tuple[str, int], ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """The container's arguments after the binary, e.g. ``run querynode``."""
        return ("run", *self.run)


_ROOTCOORD = Role("rootcoord", ("rootcoord",), 53100, coordinator=True)
_QUERYCOORD = Role("querycoord", ("querycoord",), 19531, coordinator=True)
_DATACOORD = Role("datacoord", ("datacoord",), 13333, coordinator=True)
_MIXTURE = ("mixture", "-rootcoord", "-querycoord", "-datacoord", "-indexcoord")
_MIXCOORD = Role("mixcoord", _MIXTURE, _ROOTCOORD.port, coordinator=True)
# Until 2.5 each of its parts listens for itself.
_MIXCOORD_24 = dataclasses.replace(
    _MIXCOORD, also=(("querycoord", _QUERYCOORD.port), ("datacoord", _DATACOORD.port))
)
_INDEXNODE = Role("indexnode", ("indexnode",), 21121)
_QUERYNODE = Role("querynode", ("querynode",), 21123)
_DATANODE = Role("datanode", ("datanode",), 21124)
_STREAMINGNODE = Role("streamingnode", ("streamingnode",), 22222)
_PROXY = Role("proxy", ("proxy",), PROXY_PORT)
_STANDALONE = Role(STANDALONE, (STANDALONE,), PROXY_PORT)


@dataclass(frozen=True)
class Generation:
    """Versions that share roles and order.

    ``roles`` stand in rolling order: a role is changed only when those before it are ready.
    """

    name: str
    first: tuple[int, int]
    roles: tuple[Role, ...]
    logs: frozenset[str]


_SEPARATE_COORDINATORS = (_ROOTCOORD, _DATACOORD, _QUERYCOORD)
_BEFORE_26 = frozenset({"rocksmq", "kafka", "pulsar"})
_WOODPECKER = frozenset({"woodpecker-embedded", "woodpecker-service"})

# indexcoord has had no process of its own since 2.3: datacoord does its work.
GENERATIONS = (
    Generation(
        "2.3",
        (2, 3),
        (_INDEXNODE, *_SEPARATE_COORDINATORS, _QUERYNODE, _DATANODE, _PROXY),
        _BEFORE_26,
    ),
    Generation(
        "2.4", (2, 4), (_INDEXNODE, _MIXCOORD_24, _QUERYNODE, _DATANODE, _PROXY), _BEFORE_26
    ),
    Generation(
        "2.6",
        (2, 6),
        (_MIXCOORD, _STREAMINGNODE, _QUERYNODE, _DATANODE, _PROXY),
        _BEFORE_26 | _WOODPECKER,
    ),
    Generation(
        "3",
        (3, 0),
        (_MIXCOORD, _STREAMINGNODE, _QUERYNODE, _DATANODE, _PROXY),
        _BEFORE_26 | _WOODPECKER,
    ),
)


def parse_version(version: str) -> tuple[int, int, int]:
    """Return a version's three numbers; a missing patch is 0, a leading v and suffix are allowed.

    Raises:
        ConfigurationError: The text is not a version, or Milvus is older than 2.3.
    """
    text = version if "." in version else f"{version}.0"
    match = VERSION.match(text)
    if match is None:
        raise ConfigurationError(
            "not a Milvus version",
            where="milvus.version",
            seen=version,
            remedy="give it as 2.6.20; beside an image digest the version must be given too",
        )
    numbers = (int(match[1]), int(match[2]), int(match[3] or 0))
    if numbers < OLDEST:
        raise ConfigurationError(
            "this version of Milvus is too old",
            where="milvus.version",
            seen=version,
            remedy="use 2.3 or later",
        )
    return numbers


def generation(version: str) -> Generation:
    """Return the row of the table that a version belongs to."""
    numbers = parse_version(version)
    return next(row for row in reversed(GENERATIONS) if numbers[:2] >= row.first)


def has_index_nodes(version: str) -> bool:
    """Tell whether indexes are built by index nodes (2.3 to 2.5)."""
    return _INDEXNODE in generation(version).roles


def roles(version: str, mode: str) -> tuple[Role, ...]:
    """Return the roles of a deployment in rolling order.

    Args:
        version: Milvus's version.
        mode: ``cluster`` or ``standalone``.
    """
    return (_STANDALONE,) if mode == STANDALONE else generation(version).roles


def role_ports(role: Role) -> dict[str, int]:
    """Return the ports a role listens on, by name."""
    ports = {"metrics": METRICS_PORT}
    if role.name in {"proxy", STANDALONE}:
        ports |= {"milvus": PROXY_PORT}
    if role.name == "mixcoord":
        ports |= {"rootcoord": role.port, **dict(role.also)}
    elif role.name == "proxy":
        ports |= {"internal": PROXY_INTERNAL_PORT}
    elif role.name != STANDALONE:
        ports |= {"grpc": role.port}
    return ports


@dataclass(frozen=True)
class Change:
    """How a running deployment gets from one version to another.

    ``add`` are roles created first, ``order`` those changed one after the other, ``remove`` roles
    deleted last.
    """

    add: tuple[str, ...]
    order: tuple[str, ...]
    remove: tuple[str, ...]


def change(current: str, wanted: str) -> Change:
    """Return the order of an image change in cluster mode.

    Within a generation the table's order holds, in reverse for a downgrade. From 2.5 to 2.6 the
    new streaming nodes come first and the index nodes, which 2.6 still answers, leave last.

    Raises:
        ConfigurationError: The step is one that Milvus does not support.
    """
    before, after = generation(current), generation(wanted)
    refuse_unsupported(current, wanted)
    had = [role.name for role in before.roles]
    has = [role.name for role in after.roles]
    order = tuple(name for name in has if name in had)
    if parse_version(wanted) < parse_version(current):
        order = tuple(reversed(order))
    return Change(
        add=tuple(name for name in has if name not in had),
        order=order,
        remove=tuple(name for name in had if name not in has),
    )


_STEPS = (
    # From before, to this or later: which version has to be in between.
    ((2, 5, 16), (2, 6, 0), "2.5.16"),
    ((2, 6, 20), (3, 0, 0), "2.6.20"),
)


def refuse_unsupported(current: str, wanted: str) -> None:
    """Refuse a version step that Milvus does not support.

    Sources: 2.6 is reached from 2.5.16 or later with mixcoord (milvus-helm's notes on 5.0.0). No
    guide or release note describes a way to 3.0 that does not begin at 2.6. An image-only way back
    from 3.0 is validated by nobody, and was found broken (milvus-io/milvus #51788, #52340).

    Raises:
        ConfigurationError: Naming the step between.
    """
    old, new = parse_version(current), parse_version(wanted)
    where = "milvus.version"
    if old[0] >= 3 > new[0]:  # noqa: PLR2004  (major version)
        raise ConfigurationError(
            f"a way back from Milvus {current} to {wanted} by its image is validated by nobody",
            where=where,
            seen=wanted,
            remedy="restore a backup taken before the upgrade into a new stack",
        )
    for least, since, between in _STEPS:
        if old < least and new >= since:
            raise ConfigurationError(
                f"Milvus {current} cannot go to {wanted} in one step",
                where=where,
                seen=wanted,
                remedy=f"go to {between} or later of its line first, and let that come up whole",
            )


def sets_first_password(version: str) -> bool:
    """Tell whether Milvus itself gives root a password at its first start."""
    return parse_version(version) >= FIRST_PASSWORD_SINCE


WOODPECKER_SERVERS = (
    (WOODPECKER_SERVICE_SINCE, "0.1.40"),
    ((3, 0, 2), "0.1.42"),
)
"""From which version of Milvus on a client of which version is in it: the servers are the same.

Sources: ``pkg/go.mod`` of the branch 3.0 when these were released (milvus-io/milvus #53118 of
2026-09-02 before 3.0.1, #53295 of 2026-09-13 after it). None is below 0.1.37, which mended
acknowledgements that a fence lost (#52085).
"""


def woodpecker_server(version: str) -> str:
    """Return the version of Woodpecker's servers that belongs to a version of Milvus."""
    numbers = parse_version(version)
    fitting = [server for first, server in WOODPECKER_SERVERS if numbers >= first]
    return fitting[-1] if fitting else WOODPECKER_SERVERS[0][1]


def logs(version: str, mode: str) -> frozenset[str]:
    """Return the logs that a version of Milvus can use in a mode, as `validation.target.Wal`.

    Args:
        version: Milvus's version.
        mode: ``cluster`` or ``standalone``.
    """
    elsewhere = {"rocksmq"} if mode != STANDALONE else {"woodpecker-service"}
    if parse_version(version) < WOODPECKER_SERVICE_SINCE:
        elsewhere.add("woodpecker-service")
    return generation(version).logs - elsewhere
