"""milvus.yaml, rendered from typed settings: one file a role, with the sections that role reads.

A role's file holds what it reads and nothing else, so that a changed setting changes the files, and
restarts the pods, of exactly the roles that use it. No secret is ever in a file: keys and passwords
come from the environment, by reference to a Secret (see `infra.milvus.credentials`).

Sources of the keys: ``configs/milvus.yaml`` of Milvus 2.3.5, 2.6 and 3.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from infra.milvus.topology import PROXY_INTERNAL_PORT, PROXY_PORT, STANDALONE, Role
from infra.settings.milvus import Milvus

CONFIG_FOLDER = "/milvus/configs"
DATA_FOLDER = "/var/lib/milvus"
TLS_FOLDER = "/milvus/tls/server"
ETCD_TLS_FOLDER = "/milvus/tls/etcd"
S3_CA_FILE = "/milvus/tls/s3/ca.crt"
LOG_CA_FILE = "/milvus/tls/log/ca.crt"
METADATA_ROOT = "milvus"
"""The prefix in etcd of all that Milvus and Woodpecker keep there."""
SESSION_TTL_SECONDS = 10
STOP_SECONDS = 3
STOP_MARGIN_SECONDS = 10
STOP_MARGIN_SHARE = 4

_COORDINATORS = frozenset({"rootcoord", "querycoord", "datacoord", "mixcoord", STANDALONE})
_BUILDERS = frozenset({"indexnode", "datanode"})

READERS: Mapping[str, frozenset[str]] = {
    "rootCoord": _COORDINATORS | {"proxy"},
    "queryCoord": _COORDINATORS,
    "dataCoord": _COORDINATORS | _BUILDERS | {"streamingnode"},
    "mixCoord": _COORDINATORS,
    "indexCoord": _COORDINATORS,
    "proxy": _COORDINATORS | {"proxy"},
    "queryNode": _COORDINATORS | {"querynode", "streamingnode"},
    "dataNode": _COORDINATORS | _BUILDERS | {"streamingnode"},
    "indexNode": _COORDINATORS | _BUILDERS,
    "streaming": _COORDINATORS | {"streamingnode", "proxy"},
    "quotaAndLimits": _COORDINATORS | {"proxy", "streamingnode"},
    "streamingNode": _COORDINATORS | {"streamingnode", "proxy"},
    "gpu": frozenset({"querynode", STANDALONE}) | _BUILDERS,
    "knowhere": frozenset({"querynode", "streamingnode", STANDALONE}) | _BUILDERS,
}
"""Which roles read a section; a section that is not named here is read by all of them.

Coordinators plan the work of all roles, so they read nearly everything.
"""


GRPC_PORTS: Mapping[str, Any] = {
    section: {"port": port}
    for section, port in {
        "rootCoord": 53100,
        "queryCoord": 19531,
        "dataCoord": 13333,
        "indexNode": 21121,
        "queryNode": 21123,
        "dataNode": 21124,
        "streamingNode": 22222,
    }.items()
}
"""Ports of milvus.yaml as it comes with Milvus. Its code has 19530 by default for every role, so a
file without them makes a standalone's roles take one another's port."""


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """Where Milvus's objects are. The same for its Go client and its C++ client."""

    host: str
    port: int
    secure: bool
    bucket: str
    root_path: str
    region: str = "us-east-1"
    virtual_host: bool = False
    private_ca: bool = False


@dataclass(frozen=True, kw_only=True)
class MetadataStore:
    """Where etcd is; ``tls`` also presents a client certificate."""

    endpoints: tuple[str, ...]
    tls: bool = False


@dataclass(frozen=True, kw_only=True)
class LogStore:
    """The log: ``type`` as in ``mq.type``, and its own sections of milvus.yaml."""

    type: str
    sections: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that milvus.yaml is made of.

    ``standby`` names the coordinators that have more than one replica; ``grace_seconds`` is how
    long each role may take from the signal to stop until it is killed.
    """

    milvus: Milvus
    store: ObjectStore
    etcd: MetadataStore
    log: LogStore
    standby: frozenset[str] = frozenset()
    grace_seconds: Mapping[str, int] = field(default_factory=dict)


def for_role(role: Role, inputs: Inputs) -> str:
    """Return the text of one role's milvus.yaml."""
    document = everything(inputs)
    grace = inputs.grace_seconds.get(role.name)
    if grace is not None:
        # Milvus must give up before Kubernetes does, or a stop is always a kill.
        margin = max(STOP_MARGIN_SECONDS, grace // STOP_MARGIN_SHARE)
        seconds = max(STOP_SECONDS, grace - margin)
        if role.name == STANDALONE:
            # Each of its parts waits this long for others to take over, and there are no others.
            seconds = STOP_SECONDS
        document = merged(document, {"common": {"gracefulStopTimeout": seconds}})
    mine = {
        section: value
        for section, value in document.items()
        if role.name in READERS.get(section, {role.name})
    }
    return yaml.safe_dump(mine, sort_keys=True)


def everything(inputs: Inputs) -> dict[str, Any]:
    """Return all sections, the user's own under the kit's."""
    milvus = inputs.milvus
    ours: dict[str, Any] = {
        "etcd": _etcd(inputs.etcd),
        "minio": _minio(inputs.store),
        "mq": {"type": inputs.log.type},
        "common": _common(milvus),
        "localStorage": {"path": f"{DATA_FOLDER}/data"},
        "log": _log(milvus),
        "proxy": _proxy(milvus),
        **inputs.log.sections,
    }
    if milvus.tls.mode != "off":
        ours["tls"] = {
            "serverPemPath": f"{TLS_FOLDER}/tls.crt",
            "serverKeyPath": f"{TLS_FOLDER}/tls.key",
            "caPemPath": f"{TLS_FOLDER}/ca.crt",
        }
    ours = merged(ours, GRPC_PORTS)
    ours = merged(ours, _disk_index(milvus))
    ours = merged(ours, _active_standby(inputs.standby))
    return merged(milvus.configuration, ours)


def written_by_kit(milvus: Milvus) -> dict[str, Any]:
    """Return the keys that the kit writes into sections that are the user's too."""
    ours: dict[str, Any] = {
        "common": {**_common(milvus), "gracefulStopTimeout": STOP_SECONDS},
        "log": _log(milvus),
        "proxy": _proxy(milvus),
    }
    ours = merged(ours, GRPC_PORTS)
    ours = merged(ours, _disk_index(milvus))
    return merged(ours, _active_standby(_COORDINATORS))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two nested mappings as one; the second wins."""
    result = dict(base)
    for key, value in over.items():
        here = result.get(key)
        both = isinstance(value, Mapping) and isinstance(here, Mapping)
        result[key] = merged(here, value) if both else value  # type: ignore[arg-type]
    return result


def checksum(text: str) -> str:
    """Return what tells one version of a file from another, short enough for an annotation."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _etcd(etcd: MetadataStore) -> dict[str, Any]:
    section: dict[str, Any] = {
        "endpoints": ",".join(etcd.endpoints),
        "rootPath": METADATA_ROOT,
        "use": {"embed": False},
        "ssl": {"enabled": etcd.tls},
    }
    if etcd.tls:
        section["ssl"] |= {
            "tlsCert": f"{ETCD_TLS_FOLDER}/tls.crt",
            "tlsKey": f"{ETCD_TLS_FOLDER}/tls.key",
            "tlsCACert": f"{ETCD_TLS_FOLDER}/ca.crt",
            "tlsMinVersion": "1.2",
        }
    return section


def _minio(store: ObjectStore) -> dict[str, Any]:
    section: dict[str, Any] = {
        "address": store.host,
        "port": store.port,
        "useSSL": store.secure,
        "bucketName": store.bucket,
        "rootPath": store.root_path,
        "region": store.region,
        "useVirtualHost": store.virtual_host,
        "useIAM": False,
        "cloudProvider": "aws",  # Milvus's word for signature version 4
    }
    if store.private_ca:
        # Read from 2.4 on; older versions, and the C++ client, take SSL_CERT_FILE.
        section["ssl"] = {"tlsCACert": S3_CA_FILE}
    return section


def _common(milvus: Milvus) -> dict[str, Any]:
    mode = {"off": 0, "server": 1, "mutual": 2}[milvus.tls.mode]
    return {
        "storageType": "remote" if newer_than_23(milvus.version) else "minio",
        "security": {"authorizationEnabled": milvus.auth.enabled, "tlsMode": mode},
        # The pod's own grace period is what bounds a stop; a session that outlives its pod is what
        # keeps a collection from being searched again.
        "session": {"ttl": SESSION_TTL_SECONDS, "retryTimes": 30},
    }


def _log(milvus: Milvus) -> dict[str, Any]:
    # Nothing is written to files: a container's log is its standard output.
    return {"level": milvus.log_level, "stdout": True, "file": {"rootPath": ""}}


def newer_than_23(version: str) -> bool:
    """Tell whether a version knows ``common.storageType: remote`` (2.4 and later)."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major, minor) > (2, 3)


def _proxy(milvus: Milvus) -> dict[str, Any]:
    section: dict[str, Any] = {"port": PROXY_PORT, "internalPort": PROXY_INTERNAL_PORT}
    if milvus.tls.mode != "off":
        # With TLS, REST and gRPC cannot share a port; gRPC is what the kit deploys.
        section["http"] = {"enabled": False}
    return section


def _disk_index(milvus: Milvus) -> dict[str, Any]:
    if not milvus.diskann.enabled:
        return {}
    enabled = {"enableDisk": True}
    return {"queryNode": enabled, "indexNode": enabled}


def _active_standby(coordinators: frozenset[str]) -> dict[str, Any]:
    """Return what lets a second coordinator wait for the first to fail."""
    sections = {
        "rootcoord": ("rootCoord",),
        "querycoord": ("queryCoord",),
        "datacoord": ("dataCoord",),
        "mixcoord": ("rootCoord", "queryCoord", "dataCoord", "mixCoord"),
    }
    return {
        section: {"enableActiveStandby": True}
        for name in sorted(coordinators)
        for section in sections.get(name, ())
    }
