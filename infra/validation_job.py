"""The suite as a Job beside Milvus, so that latency is measured from where applications run.

It needs no right in the cluster: the target is a file, secrets come by reference, results go into
the bucket and are fetched with ``milvus-kit fetch``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml

from infra.images import resolve
from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.milvus.access.network import VALIDATION as NAME
from infra.milvus.contract import MilvusContract
from infra.servers import pods
from infra.servers.started import Started, start
from infra.settings import Settings
from infra.storage.contract import StorageContract
from infra.target_output import Reached, declared
from validation import target as contract
from validation.common.resources import rules_file
from validation.declared.digests import checksum

PROGRAM = "validation.runs.in_cluster"
FOLDER = "/etc/milvus-kit"
MILVUS_TLS = "/etc/milvus-kit-tls/milvus"
S3_CA = "/etc/milvus-kit-tls/s3"
RUNS = "/runs"
DEADLINE_SECONDS = {"smoke": 1800, "acceptance": 2 * 3600, "soak": 6 * 3600}
"""By the profile."""
ROOT_PASSWORD, ACCESS_KEY, SECRET_KEY = "MILVUS_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"


@dataclass(frozen=True, kw_only=True)
class ValidationPlan:
    """What the Job is made of."""

    settings: Settings
    stack: str
    cluster: ClusterContract
    image: str
    storage: StorageContract
    milvus: MilvusContract

    @property
    def configuration(self) -> str:
        """Return a digest of everything that a run depends on: another one makes another Job.

        The target names versions and replicas; what else shapes an answer stands in the settings.
        """
        shaping = self.settings.model_dump_json(include={"milvus", "log", "etcd"})
        made_of = [target(self).document(), rules_text(self), shaping, self.image]
        return checksum(json.dumps([*made_of, self.settings.validation.profile], sort_keys=True))


def planned(
    stack: str,
    settings: Settings,
    cluster: ClusterContract,
    storage: StorageContract,
    milvus: MilvusContract,
) -> ValidationPlan | None:
    """Return the plan of the Job that validates the stack, or None where it is not enabled.

    Args:
        stack: The stack's name.
        settings: The stack's settings.
        cluster: Where it runs.
        storage: Where results go.
        milvus: What is validated.
    """
    if not settings.validation.enabled:
        return None
    return ValidationPlan(
        settings=settings,
        stack=stack,
        cluster=cluster,
        image=resolve("milvus-kit", settings.images, override=settings.validation.image),
        storage=storage,
        milvus=milvus,
    )


def run(plan: ValidationPlan) -> Started:
    """Declare the Job. A changed `ValidationPlan.configuration` makes a new one, and a new run."""
    cluster, milvus, storage = plan.cluster, plan.milvus, plan.storage
    ours = pulumi.ResourceOptions(provider=cluster.provider, depends_on=list(cluster.ready))
    files = kinds.ConfigMap(NAME, **config_map(plan), opts=ours)
    after = pulumi.ResourceOptions(
        depends_on=[files, *milvus.ready, *storage.ready],
        # A Job cannot be changed; the old one goes before the new one comes.
        delete_before_replace=True,
        replace_on_changes=["spec"],
    )
    options = pulumi.ResourceOptions.merge(ours, after)
    return start(kinds.Job, NAME, job(plan), cluster.access, options)[1]


def deadline(settings: Settings) -> int:
    """Return how long the Job may take, in seconds, before it counts as failed."""
    return DEADLINE_SECONDS[settings.validation.profile]


def target(plan: ValidationPlan) -> contract.Target:
    """Return the target as the Job sees it: addresses inside, secrets by reference."""
    milvus, storage = plan.milvus, plan.storage
    tls: dict[str, str | None] = {}
    if milvus.tls_mode != "off":
        tls["ca_file"] = f"{MILVUS_TLS}/ca.crt"
    if milvus.client_tls:
        tls["client_certificate_file"] = f"{MILVUS_TLS}/tls.crt"
        tls["client_key_file"] = f"{MILVUS_TLS}/tls.key"
    inside = Reached(
        description="from inside the cluster",
        uri=milvus.cluster_uri,
        metrics_uri=milvus.cluster_metrics_uri,
        endpoint=storage.endpoint,
        milvus_tls=tls,
        storage_tls={"ca_file": f"{S3_CA}/ca.crt" if storage.ca else None},
        root_password=contract.SecretRef(env=ROOT_PASSWORD),
        access_key=contract.SecretRef(env=ACCESS_KEY),
        secret_key=contract.SecretRef(env=SECRET_KEY),
    )
    return declared(plan.stack, plan.settings, storage, milvus, inside)


def rules_text(plan: ValidationPlan) -> str:
    """Return the rules to judge by; they come along, since the image knows the kit's alone."""
    return rules_file(plan.stack, plan.settings.validation.rules).read_text(encoding="utf-8")


def config_map(plan: ValidationPlan) -> Any:
    """Return the ConfigMap with the target and the rules; neither holds a secret."""
    seen = target(plan).model_copy(update={"configuration": plan.configuration})
    document = seen.document()
    return {
        "metadata": pods.metadata(NAME, plan.cluster.namespace, pods.labels(NAME, NAME)),
        "data": {
            "target.yaml": yaml.safe_dump(document, sort_keys=False),
            "rules.yaml": rules_text(plan),
        },
    }


def job(plan: ValidationPlan) -> Any:
    """Return the Job. It is tried once: a second measurement would not be the same."""
    labelled = pods.labels(NAME, NAME)
    annotations = {"milvus-kit/configuration": plan.configuration}
    volumes = [
        {"name": "files", "configMap": {"name": NAME}},
        *pods.scratch(runs="10Gi", tmp="10Gi"),
    ]
    mounts = [
        {"name": "files", "mountPath": FOLDER},
        {"name": "runs", "mountPath": RUNS},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a volume of the pod)
    ]
    for name, secret, keys, folder in _tls(plan):
        volumes.append(pods.secret_volume(name, secret, keys))
        mounts.append({"name": name, "mountPath": folder})
    settings = plan.settings.validation
    return {
        "metadata": pods.metadata(NAME, plan.cluster.namespace, labelled),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline(plan.settings),
            "template": {
                "metadata": {"labels": labelled, "annotations": annotations},
                "spec": pods.pod_spec(
                    plan.cluster.common,
                    restartPolicy="Never",
                    containers=[_container(plan, mounts)],
                    volumes=volumes,
                    grace_seconds=30,
                    own=settings.placement,
                ),
            },
        },
    }


def _container(plan: ValidationPlan, mounts: list[dict[str, str]]) -> dict[str, Any]:
    settings, keys = plan.settings.validation, plan.storage.credentials
    arguments = [
        f"--target={FOLDER}/target.yaml",
        f"--rules={FOLDER}/rules.yaml",
        f"--profile={settings.profile}",
        f"--prefix={settings.results_prefix}",
        f"--runs={RUNS}",
    ]
    env = [
        pods.secret_env(ACCESS_KEY, keys.access_key.name, keys.access_key.key),
        pods.secret_env(SECRET_KEY, keys.secret_key.name, keys.secret_key.key),
        {"name": "HOME", "value": "/tmp"},  # noqa: S108  (a volume of the pod)
    ]
    password = plan.milvus.root_password_ref
    if password:
        env.append(pods.secret_env(ROOT_PASSWORD, password.name, password.key))
    return {
        "name": "validate",
        "image": plan.image,
        "command": ["python", "-m", PROGRAM, *arguments],
        "workingDir": RUNS,
        "env": env,
        "resources": pods.resources(settings.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
    }


def _tls(plan: ValidationPlan) -> list[tuple[str, str, dict[str, str], str]]:
    """Return the certificates to mount: name, Secret, keys, folder."""
    found: list[tuple[str, str, dict[str, str], str]] = []
    milvus, ca = plan.milvus, plan.storage.ca
    if milvus.client_tls:
        keys = {key: key for key in ("tls.crt", "tls.key", "ca.crt")}
        found.append(("milvus-tls", milvus.client_tls, keys, MILVUS_TLS))
    elif milvus.server_tls:
        found.append(("milvus-tls", milvus.server_tls, {"ca.crt": "ca.crt"}, MILVUS_TLS))
    if ca:
        found.append(("s3-ca", ca.name, {ca.key: "ca.crt"}, S3_CA))
    return found
