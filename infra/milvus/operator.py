"""Milvus through milvus-operator: the chart, one custom resource, and a look at what came of it.

The operator's traps, and what is done about each (read in its source and seen on a real API
server, v1.3.8):

- it probes ``type: MinIO`` by an admin API that other stores lack: the type is always S3;
- it writes the S3 key into a ConfigMap, unless the configuration says something else there: it
  does, and the real key comes from the environment, by reference to the Secret;
- it probes etcd without TLS and without a certificate: etcd's TLS is refused with it;
- without a bucket's name it checks another bucket than Milvus uses: the name is given;
- an image with a digest and no version is taken for an old Milvus: the version is given;
- a changed configuration restarts nothing by default: it is told to;
- its init container is its own image by default, also in an air-gapped site: it is named;
- its chart takes the CRDs, and with them every Milvus, when it is uninstalled: `destroy` leaves the
  release where it is;
- it forces user 1000 without a group, who may not execute what images of 3.0 hold: each container
  runs as user 999 in group 0, whom the files of every line are open to, while a rollout has both;
- "Healthy" can be said of pods that never got the new image: the pods are looked at
  (`infra.milvus.rollout`), and one that cannot start ends the wait with its last words.

What it cannot: switch service links off, bound the time to stop, drop the pods' own volumes, give
a volume to the pods' group (so a log on a volume, RocksMQ, is refused with it).
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.kubernetes import kinds
from infra.milvus.access import credentials
from infra.milvus.access.credentials import Secrets
from infra.milvus.access.network import OPERATOR_NAMESPACE
from infra.milvus.capacity.planning import Capacity
from infra.milvus.roles import image, workloads
from infra.milvus.roles.configuration import everything
from infra.milvus.roles.keys import merged
from infra.milvus.roles.topology import STANDALONE, parse_version
from infra.milvus.roles.workloads import WorkloadPlan
from infra.servers import pods
from infra.servers.started import IS_THERE
from infra.settings.services import Kafka, Pulsar
from validation.common import addresses
from validation.declared.digests import checksum

NAME = workloads.NAME
CHART_VERSION = "1.3.8"
CHART_REPOSITORY = "https://zilliztech.github.io/milvus-operator"
API = "milvus.io/v1beta1"
ACCOUNT = "milvus"
ELSEWHERE = "from-the-environment"
_LARGEST_EXACT = 2**53
COMPONENTS = {
    "mixcoord": "mixCoord",
    "rootcoord": "rootCoord",
    "querycoord": "queryCoord",
    "datacoord": "dataCoord",
    "indexnode": "indexNode",
    "querynode": "queryNode",
    "datanode": "dataNode",
    "streamingnode": "streamingNode",
    "proxy": "proxy",
    STANDALONE: "standalone",
}


class Operated(pulumi.ComponentResource):
    """The operator's chart, a service account without a token, and the Milvus custom resource."""

    def __init__(
        self,
        capacities: dict[str, Capacity],
        plan: WorkloadPlan,
        *,
        operator_image: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        parent = pulumi.ResourceOptions(parent=opts.parent if opts else None)
        super().__init__("milvus-kit:milvus:Operated", NAME, None, parent)
        mine = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(parent=self))
        account = kinds.ServiceAccount(NAME, **service_account(plan.namespace), opts=mine)
        before: list[pulumi.Resource] = [account]
        if plan.settings.milvus.operator.install:
            before.append(self._chart(plan, operator_image, mine))
        after = pulumi.ResourceOptions.merge(mine, pulumi.ResourceOptions(depends_on=before))
        document = custom_resource(capacities, plan, operator_image)
        self.declared = pulumi.Output.unsecret(pulumi.Output.json_dumps(document).apply(checksum))
        self.milvus = k8s.apiextensions.CustomResource(
            NAME, api_version=API, kind="Milvus", **document, opts=after
        )
        self.register_outputs({})

    def _chart(
        self, plan: WorkloadPlan, image: str, opts: pulumi.ResourceOptions
    ) -> k8s.helm.v3.Release:
        settings = plan.settings.milvus.operator
        repository, tag = split_image(image)
        # A Release, not a Chart: the operator's hooks run, and Helm knows what it installed.
        return k8s.helm.v3.Release(
            "milvus-operator",
            chart=settings.chart or "milvus-operator",
            version=None if settings.chart else CHART_VERSION,
            repository_opts=None if settings.chart else {"repo": CHART_REPOSITORY},
            name="milvus-operator",
            namespace=OPERATOR_NAMESPACE,
            create_namespace=True,
            values={
                "installCRDs": settings.install_crds,
                "image": {"repository": repository, "tag": tag},
                "imagePullSecrets": [{"name": name} for name in plan.common.pull_secrets],
            },
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=True)),
        )


def split_image(image: str) -> tuple[str, str]:
    """Return an image's repository, and its tag with the digest, as the chart wants them."""
    folder, _, last = image.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{folder}/{name}" if folder else name, tag


def service_account(namespace: str) -> Any:
    """Return the account: without one the pods would run with the default account's token."""
    return {
        "metadata": pods.metadata(ACCOUNT, namespace, pods.labels(NAME, "account")),
        "automountServiceAccountToken": False,
    }


def custom_resource(
    capacities: dict[str, Capacity], plan: WorkloadPlan, operator_image: str
) -> dict[str, Any]:
    """Return metadata and spec of the Milvus custom resource.

    Its pods carry the same labels as those of the manifests, so that Services, disruption budgets
    and NetworkPolicies are the same.
    """
    labelled = pods.labels(NAME, "milvus")
    annotations = {
        **IS_THERE,  # what comes of it is waited for by `infra.milvus.rollout`
        # The operator writes defaults into the spec; what is declared here stays ours.
        "pulumi.com/patchForce": "true",
    }
    return {
        "metadata": pods.metadata(NAME, plan.namespace, labelled, annotations=annotations),
        "spec": {
            "mode": plan.settings.milvus.mode,
            "components": _components(capacities, plan, operator_image),
            "dependencies": _dependencies(plan),
            "config": _configuration(plan),
        },
    }


def _configuration(plan: WorkloadPlan) -> dict[str, Any]:
    keys = {"accessKeyID": ELSEWHERE, "secretAccessKey": ELSEWHERE}
    return _exact(merged(everything(plan.inputs), {"minio": keys}))


def _exact(value: Any) -> Any:
    """Return a value in which a number that Pulumi would round is text, as Milvus reads it anyway.

    Pulumi hands numbers on as floats: from 2**53 on not every whole number is one.
    """
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    rounded = isinstance(value, int) and abs(value) > _LARGEST_EXACT
    return str(value) if rounded else value


def _components(
    capacities: dict[str, Capacity], plan: WorkloadPlan, operator_image: str
) -> dict[str, Any]:
    settings = plan.settings
    milvus = settings.milvus
    # One component stands for all in what is shared: the union of what the roles use.
    shared = _shared(capacities, plan.secrets, milvus.version)
    configuration = checksum(str(_configuration(plan)))
    components: dict[str, Any] = {
        "image": plan.image,
        "version": f"v{milvus.version}",
        "toolImage": operator_image,
        "imagePullPolicy": plan.common.pull_policy,
        "imageUpdateMode": _update_mode(plan),
        "enableRollingUpdate": milvus.mode != STANDALONE,
        "updateConfigMapOnly": False,
        "runAsNonRoot": True,
        "disableMetric": True,
        "serviceAccountName": ACCOUNT,
        "securityContext": _container_security(),
        "podLabels": {pods.PART_OF: "milvus-kit"},
        "podAnnotations": {"milvus-kit/configuration": configuration, **shared.annotations},
        "env": shared.env,
        "volumes": shared.volumes,
        "volumeMounts": shared.mounts,
    }
    if plan.common.pull_secrets:
        components["imagePullSecrets"] = [{"name": name} for name in plan.common.pull_secrets]
    for name, capacity in capacities.items():
        components[COMPONENTS[name]] = _component(capacity, plan)
    return components


def _container_security() -> dict[str, Any]:
    """Return what every container gets, whichever line its image is of.

    Images up to 2.6 are for group 0, those of 3.0 for user 999. During an upgrade between them the
    pods of both have the new security context.
    """
    kept = {
        key: value
        for key, value in pods.container_security().items()
        if key != "readOnlyRootFilesystem"  # the operator's start script writes to the image
    }
    return {**kept, "runAsUser": image.LINES[-1].owner, "runAsGroup": image.LINES[0].owner}


def _component(capacity: Capacity, plan: WorkloadPlan) -> dict[str, Any]:
    role = capacity.role.name
    scale = capacity.autoscaling
    component: dict[str, Any] = {
        "replicas": -1 if scale else capacity.replicas,
        "resources": pods.resources(capacity.resources),
        "env": [{"name": name, "value": value} for name, value in capacity.given.env.items()],
        **pods.placement(pods.placed(plan.common, capacity.given.placement)),
        **pods.spread(pods.selector(NAME, role), capacity.most),
    }
    if role in {"proxy", STANDALONE}:
        component["serviceType"] = "ClusterIP"  # the kit's own Service is what clients use
    return component


def _shared(
    capacities: dict[str, Capacity], secrets: Secrets, version: str
) -> credentials.RoleSecrets:
    """Return what all components get: the operator adds the S3 key by itself."""
    found = [credentials.for_role(role, version, secrets) for role in capacities]
    return credentials.RoleSecrets(
        env=_unique(
            item for role in found for item in role.env if not item["name"].startswith("MINIO_")
        ),
        volumes=_unique(item for role in found for item in role.volumes),
        mounts=_unique(item for role in found for item in role.mounts),
        annotations={key: value for role in found for key, value in role.annotations.items()},
    )


def _unique(items: Any) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def _update_mode(plan: WorkloadPlan) -> str:
    milvus = plan.settings.milvus
    before = milvus.upgrade_from
    back = before and parse_version(milvus.version) < parse_version(before)
    return "rollingDowngrade" if back else "rollingUpgrade"


def _dependencies(plan: WorkloadPlan) -> dict[str, Any]:
    storage = plan.secrets.storage
    dependencies: dict[str, Any] = {
        "etcd": {"external": True, "endpoints": list(plan.inputs.etcd.endpoints)},
        "storage": {
            "external": True,
            "type": "S3",
            "endpoint": addresses.netloc(storage.host, storage.port),
            "secretRef": storage.credentials.access_key.name,
        },
        "msgStreamType": plan.inputs.log.type,
    }
    if storage.ca:
        dependencies["storage"]["ssl"] = {"enabled": True, "caCertificateRef": storage.ca.name}
    log = plan.settings.log
    match log:
        case Kafka():
            brokers = plan.inputs.log.sections["kafka"]["brokerList"].split(",")
            dependencies["kafka"] = {"external": True, "brokerList": brokers}
        case Pulsar():
            endpoint = addresses.netloc(log.host, log.port)
            dependencies["pulsar"] = {"external": True, "endpoint": endpoint}
        case _:
            pass
    return dependencies
