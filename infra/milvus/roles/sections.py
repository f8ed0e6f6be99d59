"""Keys of milvus.yaml that follow from a version's roles: ports, standby, disk indexes, stopping.

Sources: ``component_param.go`` of 2.3.5 to 3.0, and the files that their images ship.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.milvus.roles.keys import merged
from infra.milvus.roles.topology import STANDALONE, parse_version, role_ports, roles

_OWN_STOP_SINCE = (2, 3, 7)
"""Before, only query nodes and index nodes bound how long they stop."""
_DISK_INDEX_NODE_UNTIL = (2, 5)
_MIXCOORD_STANDBY_SINCE = (2, 6)
_COORDINATORS = ("rootCoord", "queryCoord", "dataCoord")
_SECTIONS = {
    "rootcoord": ("rootCoord",),
    "querycoord": ("queryCoord",),
    "datacoord": ("dataCoord",),
    "mixcoord": _COORDINATORS,
    "proxy": ("proxy",),
    "querynode": ("queryNode",),
    "streamingnode": ("queryNode",),  # it runs a query node of its own, for growing data
    "datanode": ("dataNode",),
    "indexnode": ("indexNode",),
    STANDALONE: (*_COORDINATORS, "proxy", "queryNode", "dataNode"),
}
"""The sections in which a role reads how long it may stop, and whether it stands by."""


def ports(version: str, mode: str) -> dict[str, Any]:
    """Return the ports between roles, which NetworkPolicies name; a standalone has the image's."""
    found: dict[str, Any] = {}
    for role in roles(version, mode):
        own = "streamingNode" if role.name == "streamingnode" else _SECTIONS[role.name][0]
        named = {"grpc": own, **{section.lower(): section for section in _COORDINATORS}}
        for name, port in role_ports(role).items():
            if name in named:
                found[named[name]] = {"port": port}
    return found


def disk_index(version: str) -> dict[str, Any]:
    """Return what lets nodes build and load DiskANN; from 2.5 on, who builds is not asked."""
    builds = parse_version(version)[:2] < _DISK_INDEX_NODE_UNTIL
    sections = ("queryNode", "indexNode") if builds else ("queryNode",)
    return {section: {"enableDisk": True} for section in sections}


def mmap() -> dict[str, Any]:
    """Return what maps indexes and fields from the disk of query nodes, from 2.5 on."""
    mapped = dict.fromkeys(("vectorField", "vectorIndex", "scalarField", "scalarIndex"), True)
    return {"queryNode": {"mmap": mapped}}


def active_standby(version: str, coordinators: Iterable[str]) -> dict[str, Any]:
    """Return what lets a second coordinator wait for the first to fail.

    Args:
        version: Of Milvus.
        coordinators: The roles that have, or may have for a moment, more than one replica.
    """
    sections = [one for name in sorted(coordinators) for one in _SECTIONS[name]]
    if "mixcoord" in coordinators and parse_version(version)[:2] >= _MIXCOORD_STANDBY_SINCE:
        sections.append("mixCoord")
    return {section: {"enableActiveStandby": True} for section in sections}


def stop(role: str, version: str, seconds: int) -> dict[str, Any]:
    """Return what bounds how long a role stops.

    ``common.gracefulStopTimeout`` reaches query nodes and index nodes alone. The others have keys
    of their own, whose defaults do not know the pod's grace period: a data node's is 1800 s.
    """
    found: dict[str, Any] = {"common": {"gracefulStopTimeout": seconds}}
    old = parse_version(version) < _OWN_STOP_SINCE
    sections = [one for one in _SECTIONS[role] if one in {"queryNode", "indexNode"} or not old]
    return merged(found, {section: {"gracefulStopTimeout": seconds} for section in sections})


def closed(version: str) -> dict[str, Any]:
    """Return what takes from port 9091 all but metrics and health, as far as a version can.

    ``managementMetricsOnly`` came to the branches 2.6 and 3.0 in the second half of 2026 (milvus
    #52580); a release that does not know it passes it over.
    """
    numbers = parse_version(version)
    http = {"enablePprof": False} | ({"enableWebUI": False} if numbers >= (2, 5, 0) else {})
    found: dict[str, Any] = {"proxy": {"http": http}}
    if numbers >= (2, 6, 0):
        found["common"] = {"security": {"managementMetricsOnly": True}}
    return found
