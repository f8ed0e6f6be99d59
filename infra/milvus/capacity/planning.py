"""How many pods of each role, and how large: what the settings say, else what sizing says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from infra.milvus.capacity import indexes, sizing
from infra.milvus.capacity.nodes import NodeGroup
from infra.milvus.dependencies.log import wal_of
from infra.milvus.roles import keys
from infra.milvus.roles.topology import STANDALONE, Role, roles
from infra.settings import Settings
from infra.settings.milvus import Autoscaling
from infra.settings.milvus import Role as RoleSettings
from infra.settings.model import Resources
from infra.settings.quantities import bytes_of
from validation.errors import ConfigurationError

DRAIN_SECONDS: Mapping[str, int] = {
    "querynode": 600,
    "streamingnode": 600,
    "datanode": 300,
    "indexnode": 300,
    "proxy": 120,
    STANDALONE: 120,
}
COORDINATOR_SECONDS = 60
DEV_SECONDS = 30
PRODUCTION_REPLICAS = 2
SEARCH = frozenset({"querynode", STANDALONE})
_SEGMENT = "dataCoord.segment.maxSize"

_DEV = {
    STANDALONE: Resources(cpu="500m", memory="4Gi"),
    "querynode": Resources(cpu="100m", memory="2Gi"),
    "streamingnode": Resources(cpu="100m", memory="2Gi"),
    "datanode": Resources(cpu="100m", memory="1Gi"),
    "indexnode": Resources(cpu="100m", memory="2Gi"),
}
_DEV_OTHER = Resources(cpu="100m", memory="1Gi")
_MINIMUM = {
    "querynode": NodeGroup(1, 2, 8),
    "streamingnode": NodeGroup(1, 2, 8),
    "datanode": NodeGroup(1, 2, 8),
    "indexnode": NodeGroup(1, 2, 8),
    STANDALONE: NodeGroup(1, 2, 8),
}
_MINIMUM_OTHER = NodeGroup(1, 1, 4)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """One role's pods.

    ``replicas`` is the number to start with, and the smallest one under autoscaling;
    ``grace_seconds`` the time a pod gets to hand over its work; ``disk_bytes`` what the data set
    needs of a pod's disk; ``given`` what the settings say.
    """

    role: Role
    replicas: int
    resources: Resources
    grace_seconds: int
    given: RoleSettings
    disk_bytes: int = 0

    @property
    def autoscaling(self) -> Autoscaling | None:
        """Return what decides the number of replicas in the place of ``replicas``."""
        return self.given.autoscaling

    @property
    def most(self) -> int:
        """Return the largest number of replicas."""
        return self.autoscaling.max_replicas if self.autoscaling else self.replicas


def plan(settings: Settings, *, where: str = "the stack") -> dict[str, Capacity]:
    """Return each role's capacity, in rolling order.

    Args:
        settings: The stack's settings.
        where: The stack, for errors.

    Raises:
        ConfigurationError: A role that this version does not have, or a stack too small for its
            declared data set.
    """
    milvus = settings.milvus
    known = roles(milvus.version, milvus.mode)
    _refuse_unknown_roles(settings, known)
    need = _need(settings)
    groups = dict(need.nodes) if need else {}
    planned = {role.name: _capacity(role, settings, groups.get(role.name)) for role in known}
    if need is not None:
        for name in SEARCH & planned.keys():
            share = math.ceil(need.disk_bytes / planned[name].replicas)
            planned[name] = dataclasses.replace(planned[name], disk_bytes=share)
    if need is not None:
        sizing.require_enough(_declared(settings, planned), need, where=f"{where}: milvus.dataset")
    return planned


def _refuse_unknown_roles(settings: Settings, known: tuple[Role, ...]) -> None:
    names = [role.name for role in known]
    for name in settings.milvus.roles:
        if name not in names:
            raise ConfigurationError(
                f"Milvus {settings.milvus.version} has no such role",
                where=f"milvus.roles.{name}",
                remedy=f"its roles are {', '.join(names)}",
            )


def _need(settings: Settings) -> sizing.Sizing | None:
    data = settings.milvus.dataset
    if data is None:
        return None
    workload = indexes.Workload(
        vectors=data.vectors,
        dim=data.dim,
        vector_type=indexes.VectorType(data.vector_type),
        mmap=data.mmap,
        index=indexes.Index(data.index),
        replicas=data.replicas,
        m=data.hnsw_m,
        nlist=data.nlist,
        max_degree=data.max_degree,
        scalar_bytes=data.scalar_bytes,
        segment_mib=_segment_mib(settings),
    )
    return sizing.size(
        workload,
        mode=settings.milvus.mode,
        version=settings.milvus.version,
        log=wal_of(settings.log),
    )


def _segment_mib(settings: Settings) -> int:
    """Return the size of a sealed segment, which loading holds two of."""
    for key, value in keys.leaves(settings.milvus.configuration):
        if keys.as_read(key) == keys.as_read(_SEGMENT) and str(value).isdigit():
            return int(value)
    return indexes.SEGMENT_MIB


def _capacity(role: Role, settings: Settings, group: NodeGroup | None) -> Capacity:
    roles_given = {str(name): given for name, given in settings.milvus.roles.items()}
    given = roles_given.get(role.name, RoleSettings())
    replicas = given.autoscaling.min_replicas if given.autoscaling else given.replicas
    if replicas is None:
        replicas = group.count if group else 1
        if settings.production and role.name != STANDALONE:
            replicas = max(replicas, PRODUCTION_REPLICAS)
    return Capacity(
        role=role,
        replicas=replicas,
        resources=_resources(role, given.resources, group, settings),
        grace_seconds=given.termination_grace_seconds or _grace(role, settings),
        given=given,
    )


def _resources(
    role: Role, said: Resources, group: NodeGroup | None, settings: Settings
) -> Resources:
    if group is None and not settings.production:
        usual = _DEV.get(role.name, _DEV_OTHER)
    else:
        node = group or _MINIMUM.get(role.name, _MINIMUM_OTHER)
        cores = f"{node.cpu:.3f}".rstrip("0").rstrip(".")  # never 1.2e+06
        usual = Resources(cpu=cores, memory=f"{node.memory_gib}Gi")
    return usual.model_copy(update=said.model_dump(exclude_none=True))


def _grace(role: Role, settings: Settings) -> int:
    if not settings.production:
        return DEV_SECONDS
    return DRAIN_SECONDS.get(role.name, COORDINATOR_SECONDS)


def _declared(settings: Settings, planned: Mapping[str, Capacity]) -> sizing.Declared:
    name = STANDALONE if settings.milvus.mode == STANDALONE else "querynode"
    capacity = planned[name]
    memory = capacity.resources.memory
    volume = settings.milvus.diskann.volume
    disk = volume.size if volume else capacity.given.local_storage
    room = _bucket_room(settings)
    return sizing.Declared(
        query_nodes=capacity.replicas,
        memory_bytes=bytes_of(memory) * capacity.replicas if memory else None,
        disk_bytes=bytes_of(disk) * capacity.replicas if disk else None,
        bucket_bytes=bytes_of(room) if room else None,
    )


def _bucket_room(settings: Settings) -> str | None:
    storage = settings.storage
    return storage.volume.size if storage.type == "minio" else storage.capacity
