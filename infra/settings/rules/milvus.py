"""Rules of Milvus itself: version, log, roles, hardware."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.milvus.capacity.nodes import etcd_nodes
from infra.milvus.roles import topology
from infra.settings.cluster import Cluster
from infra.settings.milvus import Milvus
from infra.settings.model import version_of
from infra.settings.problem import Problem
from infra.settings.quantities import bytes_of
from infra.settings.rules.registry import remark, rule
from infra.settings.services import Etcd, Images, Log, RocksMq, Woodpecker
from validation.errors import ConfigurationError

NEWEST_MAJOR = 3
GPU_SINCE = (2, 4, 0)
MMAP_SINCE = (2, 5, 0)
DISK_ROLES = ("standalone", "querynode", "streamingnode", "datanode", "indexnode")
_VERSION_IN_TAG = re.compile(r":v?(\d+\.\d+\.\d+)(?:-|@|$)")


@rule
def _version_is_supported(milvus: Milvus) -> Iterator[Problem]:
    version = version_of(milvus.version)
    if version < topology.OLDEST or version[0] > NEWEST_MAJOR:
        yield Problem(
            "milvus.version",
            "this kit knows Milvus 2.3 to 3.x",
            seen=repr(milvus.version),
            remedy="use a version in that range",
        )


@rule
def _log_fits_milvus(milvus: Milvus, log: Log) -> Iterator[Problem]:
    if version_of(milvus.version) < topology.OLDEST:
        return
    choices = topology.logs(milvus.version, milvus.mode)
    chosen = f"woodpecker-{log.mode}" if isinstance(log, Woodpecker) else log.type
    if chosen not in choices:
        yield Problem(
            "log",
            f"Milvus {milvus.version} in {milvus.mode} mode cannot use this log",
            seen=repr(chosen),
            remedy=f"choose one of {', '.join(sorted(choices))}; it is a decision for the life of"
            " the deployment",
        )
    if isinstance(log, RocksMq) and milvus.data_volume is None:
        yield Problem(
            "milvus.dataVolume",
            "RocksMQ keeps the log on this volume, and there is none",
            remedy="add dataVolume: {size: 20Gi}",
        )


@rule
def _woodpecker_goes_with_milvus(milvus: Milvus, log: Log, images: Images) -> Iterator[Problem]:
    given = images.overrides.get("woodpecker")
    if given is None or not isinstance(log, Woodpecker) or log.mode != "service":
        return
    tag = _VERSION_IN_TAG.search(given)
    wanted = topology.woodpecker_server(milvus.version)
    if tag is not None and version_of(tag[1]) < version_of(wanted):
        yield Problem(
            "images.overrides.woodpecker",
            f"the client in Milvus {milvus.version} goes with servers of {wanted} or later",
            seen=repr(given),
            remedy=f"use {wanted}, or remove the override",
        )


@rule
def _version_step_is_supported(milvus: Milvus) -> Iterator[Problem]:
    if milvus.upgrade_from is None:
        return
    try:
        topology.refuse_unsupported(milvus.upgrade_from, milvus.version)
    except ConfigurationError as error:
        yield Problem(
            "milvus.upgradeFrom", error.what, seen=repr(milvus.upgrade_from), remedy=error.remedy
        )


@rule
def _roles_fit_mode(milvus: Milvus) -> Iterator[Problem]:
    for name in milvus.roles:
        if (name == "standalone") != (milvus.mode == "standalone"):
            yield Problem(
                f"milvus.roles.{name}",
                f"mode {milvus.mode} has no such role",
                remedy="remove it, or change milvus.mode",
            )


@rule
def _replicas_can_be(milvus: Milvus) -> Iterator[Problem]:
    for name, role in milvus.roles.items():
        key = f"milvus.roles.{name}"
        if name == "standalone" and (role.autoscaling or (role.replicas or 1) > 1):
            yield Problem(
                f"{key}.replicas", "a standalone is one pod", remedy="use mode: cluster to scale"
            )
        if role.autoscaling and role.replicas is not None:
            yield Problem(
                f"{key}.replicas",
                "autoscaling decides the number of replicas",
                seen=repr(role.replicas),
                remedy="remove replicas, or autoscaling",
            )
        if role.replicas == 0:
            yield Problem(
                f"{key}.replicas",
                "a role of the topology cannot be left out",
                seen="0",
                remedy="use at least 1",
            )


@rule
def _local_storage_is_no_volume(milvus: Milvus) -> Iterator[Problem]:
    for name, role in milvus.roles.items():
        volume = "dataVolume" if name == "standalone" and milvus.data_volume else None
        if milvus.diskann.enabled and name in DISK_ROLES:
            volume = volume or "diskann.volume"
        if role.local_storage is not None and volume:
            yield Problem(
                f"milvus.roles.{name}.localStorage",
                f"its data folder is milvus.{volume}",
                seen=repr(role.local_storage),
                remedy="remove it",
            )


@rule
def _mutual_tls_has_both_sides(milvus: Milvus) -> Iterator[Problem]:
    tls = milvus.tls
    both = tls.mode == "mutual" and tls.existing_secret is not None
    if both != (tls.existing_client_secret is not None):
        yield Problem(
            "milvus.tls.existingClientSecret",
            "Milvus would refuse the kit's own Jobs, which have no certificate of your CA"
            if both
            else "this goes with mode: mutual and existingSecret",
            remedy="name a Secret with tls.crt, tls.key and ca.crt of a client"
            if both
            else "remove it",
        )


@rule
def _gpu_can_be(milvus: Milvus) -> Iterator[Problem]:
    if milvus.gpu.enabled and version_of(milvus.version) < GPU_SINCE:
        yield Problem(
            "milvus.gpu.enabled",
            f"CAGRA came with 2.4; this is {milvus.version}",
            remedy="use a later version",
        )
    data = milvus.dataset
    if data and data.index.startswith("GPU_") and not milvus.gpu.enabled:
        yield Problem(
            "milvus.dataset.index",
            "this index is built and searched on GPUs",
            seen=repr(str(data.index)),
            remedy="set milvus.gpu.enabled, or choose another index",
        )
    if data and data.mmap and version_of(milvus.version) < MMAP_SINCE:
        yield Problem(
            "milvus.dataset.mmap",
            f"this is for Milvus 2.5 and later; this is {milvus.version}",
            remedy="remove it, or use a later version",
        )
    if data and data.index in {"DISKANN", "AISAQ"} and not milvus.diskann.enabled:
        yield Problem(
            "milvus.dataset.index",
            "this index is searched on local NVMe volumes",
            seen=repr(str(data.index)),
            remedy="set milvus.diskann with a volume, or choose another index",
        )


@remark
def _version_can_be_backed_up(milvus: Milvus) -> Iterator[Problem]:
    if milvus.version == "3.0.0":
        yield Problem(
            "milvus.version",
            "milvus-backup refuses this version, which has errors that 3.0.1 mends",
            seen=repr(milvus.version),
            remedy="use 3.0.1 or later",
        )


@remark
def _etcd_has_room_for_the_data(milvus: Milvus, etcd: Etcd) -> Iterator[Problem]:
    data = milvus.dataset
    if data is None:
        return
    need = etcd_nodes(milvus.mode, data.vectors * (data.dim * 4 + data.scalar_bytes))["etcd"]
    if bytes_of(etcd.volume.size) < need.volume_gib * 2**30:
        yield Problem(
            "etcd.volume",
            f"for this data set the Milvus sizing tool gives each member {need.volume_gib}Gi",
            seen=repr(etcd.volume.size),
            remedy="set it before the first `pulumi up`; a claim that is there is enlarged by"
            " kubectl alone",
        )


@rule
def _volume_class_is_named(milvus: Milvus, kubernetes: Cluster) -> Iterator[Problem]:
    if milvus.diskann.volume and not (
        milvus.diskann.volume.storage_class or kubernetes.storage_class
    ):
        yield Problem(
            "milvus.diskann.volume.storageClass",
            "the default storage class is rarely local NVMe",
            remedy="name the class of the local NVMe volumes",
        )
