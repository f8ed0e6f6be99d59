"""Snapshots of etcd in Milvus's bucket, by a CronJob.

etcd's image takes the snapshot and checks it, the kit's image uploads it and removes the oldest:
neither needs a shell. The bucket outlives the cluster, so a lost etcd can be brought back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.milvus import pods
from infra.milvus.etcd import CLIENT_PORT, EtcdPlan
from infra.milvus.network import SNAPSHOT
from infra.settings.services import EtcdSnapshots
from infra.storage.contract import StorageContract

FOLDER = "/snapshot"
FILE = f"{FOLDER}/etcd.db"
TLS = "/etc/etcd/client"
S3_CA = "/etc/s3/ca"
DEADLINE_SECONDS = 1800
UPLOADER = "infra.milvus.snapshot_upload"


@dataclass(frozen=True, kw_only=True)
class SnapshotPlan:
    """What the CronJob is made of."""

    etcd: EtcdPlan
    client_secret: str | None
    storage: StorageContract
    settings: EtcdSnapshots
    kit_image: str


def cron_job(plan: SnapshotPlan) -> Any:
    """Return the CronJob."""
    labelled = pods.labels(SNAPSHOT, SNAPSHOT)
    return {
        "metadata": pods.metadata(SNAPSHOT, plan.etcd.namespace, labelled),
        "spec": {
            "schedule": plan.settings.schedule,
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 2,
                    "activeDeadlineSeconds": DEADLINE_SECONDS,
                    "template": {
                        "metadata": {"labels": labelled},
                        "spec": pods.pod_spec(
                            restartPolicy="Never",
                            initContainers=[_take(plan), _check(plan)],
                            containers=[_upload(plan)],
                            volumes=_volumes(plan),
                            grace_seconds=30,
                            pull_secrets=plan.etcd.pull_secrets,
                        ),
                    },
                }
            },
        },
    }


def _take(plan: SnapshotPlan) -> dict[str, Any]:
    etcd = plan.etcd
    first = f"{etcd.scheme}://{etcd.host(etcd.members[0])}:{CLIENT_PORT}"
    flags = [f"--endpoints={first}"]
    mounts = [{"name": "snapshot", "mountPath": FOLDER}]
    if plan.client_secret:
        flags += [f"--cacert={TLS}/ca.crt", f"--cert={TLS}/tls.crt", f"--key={TLS}/tls.key"]
        mounts.append({"name": "etcd-tls", "mountPath": TLS})
    command = ["etcdctl", *flags, "snapshot", "save", FILE]
    return _container("take", etcd.image, command, mounts, etcd)


def _check(plan: SnapshotPlan) -> dict[str, Any]:
    command = ["etcdutl", "snapshot", "status", FILE]
    mounts = [{"name": "snapshot", "mountPath": FOLDER}]
    return _container("check", plan.etcd.image, command, mounts, plan.etcd)


def _upload(plan: SnapshotPlan) -> dict[str, Any]:
    storage, keys = plan.storage, plan.storage.credentials
    mounts = [
        {"name": "snapshot", "mountPath": FOLDER},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
    ]
    arguments = [
        f"--file={FILE}",
        f"--endpoint={storage.endpoint}",
        f"--region={storage.region}",
        f"--addressing={storage.addressing}",
        f"--bucket={storage.bucket}",
        f"--prefix={plan.settings.prefix}",
        f"--keep={plan.settings.keep}",
    ]
    if storage.ca:
        arguments.append(f"--ca={S3_CA}/ca.crt")
        mounts.append({"name": "s3-ca", "mountPath": S3_CA})
    command = ["python", "-m", UPLOADER, *arguments]
    container = _container("upload", plan.kit_image, command, mounts, plan.etcd)
    container["env"] = [
        pods.secret_env("AWS_ACCESS_KEY_ID", keys.access_key.name, keys.access_key.key),
        pods.secret_env("AWS_SECRET_ACCESS_KEY", keys.secret_key.name, keys.secret_key.key),
    ]
    return container


def _container(
    name: str, image: str, command: list[str], mounts: list[dict[str, str]], etcd: EtcdPlan
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": etcd.pull_policy,
        "command": command,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
    }


def _volumes(plan: SnapshotPlan) -> list[dict[str, Any]]:
    volumes = pods.scratch("snapshot", "tmp")
    if plan.client_secret:
        keys = {key: key for key in ("tls.crt", "tls.key", "ca.crt")}
        volumes.append(pods.secret_volume("etcd-tls", plan.client_secret, keys))
    if plan.storage.ca:
        ca = plan.storage.ca
        volumes.append(pods.secret_volume("s3-ca", ca.name, {ca.key: "ca.crt"}))
    return volumes
