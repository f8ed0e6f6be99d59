"""user.yaml, rendered from typed settings: one file a role, with the sections that role reads.

Milvus reads it after the milvus.yaml that its image ships. What is not written here is the image's:
its file differs from the defaults in Milvus's code where those would not do for a server. Versions
before 2.4 read no user.yaml and get the same keys as environment variables, which win over files.

A role's file holds what it reads and nothing else, so that a changed setting changes the files, and
restarts the pods, of exactly the roles that use it. No secret is ever in a file: keys and passwords
come from the environment, by reference to a Secret (see `infra.milvus.access.credentials`).

Sources of the keys: ``configs/milvus.yaml`` and ``component_param.go`` of Milvus 2.3.5 to 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from infra.milvus.roles import sections
from infra.milvus.roles.keys import as_read, leaves, merged
from infra.milvus.roles.topology import (
    PROXY_INTERNAL_PORT,
    PROXY_PORT,
    STANDALONE,
    Role,
    parse_version,
    roles,
)
from infra.settings.milvus import Milvus
from validation.common.addresses import netloc

CONFIG_FOLDER = "/milvus/configs"
USER_FILE = "user.yaml"
USER_FILE_SINCE = (2, 4, 0)
"""Milvus reads default.yaml and user.yaml since milvus-io/milvus #26780; 2.3.5 was run, and does
not."""
DATA_FOLDER = "/var/lib/milvus"
TLS_FOLDER = "/milvus/tls/server"
ETCD_TLS_FOLDER = "/milvus/tls/etcd"
S3_CA_FILE = "/milvus/tls/s3/ca.crt"
LOG_CA_FILE = "/milvus/tls/log/ca.crt"
LOG_CLIENT_FOLDER = "/milvus/tls/log-client"
NO_CA_FILE: Mapping[str, str] = {"tlsCACert": ""}
"""Of ``minio.ssl``. A file there, even a missing one, makes both of Milvus's C++ clients accept any
certificate; its clients in Go set SSL_CERT_FILE to it. Images of 2.5 and 2.6 ship one."""
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
_READERS = {as_read(section): roles for section, roles in READERS.items()}


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
    """All that user.yaml is made of.

    ``production`` closes what no client needs; ``standby`` names the coordinators that have more
    than one replica; ``grace_seconds`` is how long each role may take from the signal to stop until
    it is killed; ``dropped_seconds`` how long files outlive what they were of, if the stack says.
    """

    milvus: Milvus
    store: ObjectStore
    etcd: MetadataStore
    log: LogStore
    production: bool = False
    standby: frozenset[str] = frozenset()
    grace_seconds: Mapping[str, int] = field(default_factory=dict)
    dropped_seconds: int | None = None


def for_role(role: Role, inputs: Inputs) -> str:
    """Return the text of one role's user.yaml."""
    return yaml.safe_dump(_read_by(role, inputs), sort_keys=True)


def environment(role: Role, inputs: Inputs) -> dict[str, str]:
    """Return the same keys as variables, for a version that reads no user.yaml; else nothing.

    Kubernetes and Milvus take dots in their names.
    """
    if parse_version(inputs.milvus.version) >= USER_FILE_SINCE:
        return {}
    return {key: _as_text(value) for key, value in sorted(leaves(_read_by(role, inputs)))}


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_by(role: Role, inputs: Inputs) -> dict[str, Any]:
    """Return the sections that a role reads."""
    document = everything(inputs)
    grace = inputs.grace_seconds.get(role.name)
    if grace is not None:
        # Milvus must give up before Kubernetes does, or a stop is always a kill.
        margin = max(STOP_MARGIN_SECONDS, grace // STOP_MARGIN_SHARE)
        seconds = max(STOP_SECONDS, grace - margin)
        if role.name == STANDALONE:
            # Each of its parts waits this long for others to take over, and there are no others.
            seconds = STOP_SECONDS
        document = merged(document, sections.stop(role.name, inputs.milvus.version, seconds))
    mine = {
        section: value
        for section, value in document.items()
        if role.name in _READERS.get(as_read(section), {role.name})
    }
    if inputs.production:  # every role serves its own port 9091 by what the proxy's section says
        mine = merged(mine, sections.closed(inputs.milvus.version))
    return mine


def everything(inputs: Inputs) -> dict[str, Any]:
    """Return all sections, the user's own under the kit's."""
    milvus = inputs.milvus
    ours: dict[str, Any] = {
        "etcd": _etcd(inputs.etcd, milvus.version),
        "minio": _minio(inputs.store, milvus.version),
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
    ours = merged(ours, _of_version(milvus, inputs.standby, production=inputs.production))
    if inputs.dropped_seconds is not None:
        ours = merged(ours, _kept(inputs.dropped_seconds))
    return merged(milvus.configuration, ours)


def written_by_kit(
    milvus: Milvus, log: LogStore, *, production: bool, snapshots: bool
) -> dict[str, Any]:
    """Return all keys that the kit may write, with values that mean nothing."""
    known = roles(milvus.version, milvus.mode)
    store = ObjectStore(host="store", port=0, secure=True, bucket="bucket", root_path="path")
    inputs = Inputs(
        milvus=milvus.model_copy(update={"configuration": {}}),
        store=store,
        etcd=MetadataStore(endpoints=(), tls=True),
        log=log,
        production=production,
        standby=frozenset(role.name for role in known if role.coordinator),
    )
    ours = everything(inputs)
    for role in known:
        ours = merged(ours, sections.stop(role.name, milvus.version, STOP_SECONDS))
    return merged(ours, _kept(0)) if snapshots else ours


def _kept(seconds: int) -> dict[str, Any]:
    """Return what lets the files of dropped and compacted segments stay for a while."""
    return {"dataCoord": {"gc": {"dropTolerance": seconds}}}


def _of_version(milvus: Milvus, standby: frozenset[str], *, production: bool) -> dict[str, Any]:
    found = sections.ports(milvus.version, milvus.mode)
    if milvus.diskann.enabled:
        found = merged(found, sections.disk_index(milvus.version))
    if milvus.dataset and milvus.dataset.mmap:
        found = merged(found, sections.mmap())
    if production:
        found = merged(found, sections.closed(milvus.version))
    return merged(found, sections.active_standby(milvus.version, standby))


def _etcd(etcd: MetadataStore, version: str) -> dict[str, Any]:
    section: dict[str, Any] = {
        "endpoints": ",".join(etcd.endpoints),
        "rootPath": METADATA_ROOT,
        "use": {"embed": False},
        "ssl": {"enabled": etcd.tls},
    }
    if newer_than_23(version):
        section["auth"] = {"enabled": False}  # by certificate, if at all; 3.0 would send a password
    if etcd.tls:
        section["ssl"] |= {
            "tlsCert": f"{ETCD_TLS_FOLDER}/tls.crt",
            "tlsKey": f"{ETCD_TLS_FOLDER}/tls.key",
            "tlsCACert": f"{ETCD_TLS_FOLDER}/ca.crt",
            "tlsMinVersion": "1.2",
        }
    return section


def _minio(store: ObjectStore, version: str) -> dict[str, Any]:
    whole = netloc(store.host, store.port)
    section: dict[str, Any] = {
        # What holds a colon is taken for the whole address, port and all.
        "address": whole if ":" in store.host else store.host,
        "port": store.port,
        "useSSL": store.secure,
        "bucketName": store.bucket,
        "rootPath": store.root_path,
        "region": store.region,
        "useVirtualHost": store.virtual_host,
        "useIAM": False,
        "cloudProvider": "aws",  # Milvus's word for signature version 4
    }
    if newer_than_23(version):
        section["ssl"] = dict(NO_CA_FILE)
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
