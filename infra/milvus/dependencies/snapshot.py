"""Snapshots of etcd in Milvus's bucket, by a CronJob; and back, by one that is suspended.

etcd's image takes the snapshot and checks it, the kit's image uploads it and removes what is too
old: neither needs a shell. The bucket outlives the cluster, so a lost etcd can be brought back.

A snapshot is worth something only while the files that it names are there. Milvus removes those of
dropped and compacted segments after three hours unless it is told to wait, so one setting says how
old a snapshot may be, and for how long the files stay.

A restore is asked for by making a Job of each member's suspended CronJob (``docs/topology.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.milvus.access.network import SNAPSHOT
from infra.milvus.dependencies import etcd
from infra.milvus.dependencies.etcd import CLIENT_PORT, EtcdPlan
from infra.servers import pods, stateful
from infra.settings.cluster import Jobs
from infra.settings.services import EtcdSnapshots
from infra.storage.contract import StorageContract

FOLDER = "/snapshot"
FILE = f"{FOLDER}/etcd.db"
TLS = "/etc/etcd/client"
S3_CA = "/etc/s3/ca"
DEADLINE_SECONDS = 1800
MARGIN_MIB = 512
DIAL_SECONDS = 30
"""For all members together: the client tries one after the other."""
UPLOADER = "infra.milvus.dependencies.snapshot_upload"
FETCHER = "infra.milvus.dependencies.snapshot_fetch"
RESTORE = "etcd-restore"
NEVER = "0 0 1 1 *"
"""A CronJob must have a schedule, also one that is suspended."""


@dataclass(frozen=True, kw_only=True)
class SnapshotPlan:
    """What the CronJob is made of."""

    etcd: EtcdPlan
    client_secret: str | None
    storage: StorageContract
    settings: EtcdSnapshots
    kit_image: str
    jobs: Jobs


def kept_seconds(settings: EtcdSnapshots) -> int:
    """Return how long Milvus has to keep the files of what it dropped.

    What a snapshot holds is older than its name by the time that it took, at most.
    """
    return settings.hours * 3600 + DEADLINE_SECONDS


def cron_job(plan: SnapshotPlan) -> Any:
    """Return the CronJob that takes snapshots."""
    steps = [_take(plan), _check(plan), _upload(plan)]
    return _cron_job(plan, SNAPSHOT, steps, _volumes(plan), schedule=plan.settings.schedule)


def restore_jobs(plan: SnapshotPlan) -> dict[str, Any]:
    """Return a suspended CronJob for each member, by name, that restores the newest snapshot."""
    return {f"{RESTORE}-{member}": _restore_job(plan, member) for member in plan.etcd.members}


def _restore_job(plan: SnapshotPlan, member: str) -> Any:
    claim = {"persistentVolumeClaim": {"claimName": f"{stateful.DATA}-{member}"}}
    volumes = [*_volumes(plan), {"name": stateful.DATA, **claim}]
    steps = [_fetch(plan), _restore(plan, member)]
    name = f"{RESTORE}-{member}"
    return _cron_job(plan, name, steps, volumes, schedule=NEVER, suspend=True, backoff=0)


def _cron_job(
    plan: SnapshotPlan,
    name: str,
    steps: list[dict[str, Any]],
    volumes: list[dict[str, Any]],
    *,
    backoff: int = 2,
    **more: Any,
) -> Any:
    labelled = pods.labels(SNAPSHOT, SNAPSHOT)
    pod = pods.pod_spec(
        plan.etcd.common,
        restartPolicy="Never",
        initContainers=steps[:-1],
        containers=steps[-1:],
        volumes=volumes,
        grace_seconds=30,
        own=plan.jobs.placement,
    )
    return {
        "metadata": pods.metadata(name, plan.etcd.namespace, labelled),
        "spec": {
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            **more,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": backoff,
                    "activeDeadlineSeconds": DEADLINE_SECONDS,
                    "template": {"metadata": {"labels": labelled}, "spec": pod},
                }
            },
        },
    }


def _take(plan: SnapshotPlan) -> dict[str, Any]:
    servers = plan.etcd
    # The Service's name, which stands for every member: with one of them away another is asked.
    flags = [f"--endpoints={servers.scheme}://{servers.service}:{CLIENT_PORT}"]
    flags.append(f"--dial-timeout={DIAL_SECONDS}s")
    mounts = [{"name": "snapshot", "mountPath": FOLDER}]
    if plan.client_secret:
        flags += [f"--cacert={TLS}/ca.crt", f"--cert={TLS}/tls.crt", f"--key={TLS}/tls.key"]
        mounts.append({"name": "etcd-tls", "mountPath": TLS})
    command = ["etcdctl", *flags, "snapshot", "save", FILE]
    return _container("take", servers.image, command, mounts, plan)


def _check(plan: SnapshotPlan) -> dict[str, Any]:
    command = ["etcdutl", "snapshot", "status", FILE]
    mounts = [{"name": "snapshot", "mountPath": FOLDER}]
    return _container("check", plan.etcd.image, command, mounts, plan)


def _restore(plan: SnapshotPlan, member: str) -> dict[str, Any]:
    flags = etcd.identity(plan.etcd, member)
    command = ["etcdutl", "snapshot", "restore", FILE, *flags]
    mounts = [
        {"name": "snapshot", "mountPath": FOLDER},
        {"name": stateful.DATA, "mountPath": etcd.DATA},
    ]
    return _container("restore", plan.etcd.image, command, mounts, plan)


def _upload(plan: SnapshotPlan) -> dict[str, Any]:
    return _with_store(plan, "upload", UPLOADER, [f"--hours={plan.settings.hours}"], [])


def _fetch(plan: SnapshotPlan) -> dict[str, Any]:
    data = [{"name": stateful.DATA, "mountPath": etcd.DATA}]
    return _with_store(plan, "fetch", FETCHER, [f"--data={etcd.DATA_FOLDER}"], data)


def _with_store(
    plan: SnapshotPlan, name: str, module: str, more: list[str], also: list[dict[str, str]]
) -> dict[str, Any]:
    """Return a container of the kit's image that talks to the store."""
    storage, keys = plan.storage, plan.storage.credentials
    mounts = [
        {"name": "snapshot", "mountPath": FOLDER},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
        *also,
    ]
    arguments = [
        f"--file={FILE}",
        f"--endpoint={storage.endpoint}",
        f"--region={storage.region}",
        f"--addressing={storage.addressing}",
        f"--bucket={storage.bucket}",
        f"--prefix={plan.settings.prefix}",
        *more,
    ]
    if storage.ca:
        arguments.append(f"--ca={S3_CA}/ca.crt")
        mounts.append({"name": "s3-ca", "mountPath": S3_CA})
    command = ["python", "-m", module, *arguments]
    container = _container(name, plan.kit_image, command, mounts, plan)
    container["env"] = [
        pods.secret_env("AWS_ACCESS_KEY_ID", keys.access_key.name, keys.access_key.key),
        pods.secret_env("AWS_SECRET_ACCESS_KEY", keys.secret_key.name, keys.secret_key.key),
    ]
    return container


def _container(
    name: str, image: str, command: list[str], mounts: list[dict[str, str]], plan: SnapshotPlan
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "command": command,
        "resources": pods.resources(plan.jobs.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
    }


def _volumes(plan: SnapshotPlan) -> list[dict[str, Any]]:
    room = plan.etcd.quota // 2**20 + MARGIN_MIB
    volumes = pods.scratch(snapshot=f"{room}Mi", tmp="1Gi")
    if plan.client_secret:
        keys = {key: key for key in ("tls.crt", "tls.key", "ca.crt")}
        volumes.append(pods.secret_volume("etcd-tls", plan.client_secret, keys))
    if plan.storage.ca:
        ca = plan.storage.ca
        volumes.append(pods.secret_volume("s3-ca", ca.name, {ca.key: "ca.crt"}))
    return volumes
