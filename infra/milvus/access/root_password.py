"""Root's password: set by Milvus itself where it can, else by a Job right after the first start.

From 2.4.7 on a coordinator reads the first password from its environment
(``common.security.defaultRootPassword``), so that the well-known default never works. Older
versions start with it; there a Job in the kit's image replaces it before the stack is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.milvus.access.network import ROOT_PASSWORD
from infra.servers import pods
from infra.settings.cluster import Jobs
from infra.storage.contract import SecretKeyRef

PROGRAM = "infra.milvus.access.root_password_change"
CA = "/etc/milvus/ca"
DEADLINE_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class PasswordPlan:
    """What the Job is made of. ``tls_secret`` holds the CA of the server's certificate."""

    namespace: str
    uri: str
    password: SecretKeyRef
    kit_image: str
    tls_secret: str | None = None
    client_secret: str | None = None
    common: pods.Common
    jobs: Jobs


def job(plan: PasswordPlan) -> Any:
    """Return the Job. It does nothing where the password is set already."""
    labelled = pods.labels(ROOT_PASSWORD, ROOT_PASSWORD)
    arguments = [f"--uri={plan.uri}"]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  (a volume of the pod)
    volumes = pods.scratch(tmp="1Gi")
    secret = plan.client_secret or plan.tls_secret
    if secret:
        keys = {"ca.crt": "ca.crt"}
        arguments.append(f"--ca={CA}/ca.crt")
        if plan.client_secret:
            keys |= {key: key for key in ("tls.crt", "tls.key")}
            arguments += [f"--certificate={CA}/tls.crt", f"--key={CA}/tls.key"]
        volumes.append(pods.secret_volume("tls", secret, keys))
        mounts.append({"name": "tls", "mountPath": CA})
    container = {
        "name": "change",
        "image": plan.kit_image,
        "command": ["python", "-m", PROGRAM, *arguments],
        "env": [pods.secret_env("MILVUS_ROOT_PASSWORD", plan.password.name, plan.password.key)],
        "resources": pods.resources(plan.jobs.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
    }
    return {
        "metadata": pods.metadata(ROOT_PASSWORD, plan.namespace, labelled),
        "spec": {
            "backoffLimit": 6,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "template": {
                "metadata": {"labels": labelled},
                "spec": pods.pod_spec(
                    plan.common,
                    restartPolicy="Never",
                    containers=[container],
                    volumes=volumes,
                    grace_seconds=10,
                    own=plan.jobs.placement,
                ),
            },
        },
    }
