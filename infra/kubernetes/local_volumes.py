"""The default storage class of a cluster made with kubeadm: folders on the node itself.

For one node or for tests. Volumes do not move between nodes; a cluster with data to keep on several
nodes brings a storage class of its own (kubernetes.storageClass).
"""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.kubernetes import kinds
from infra.kubernetes.contract import KubeAccess
from infra.servers.started import start

NAME = "local-path"
NAMESPACE = "milvus-kit-volumes"
_LABELS = {
    "app.kubernetes.io/name": "local-path-provisioner",
    "app.kubernetes.io/part-of": "milvus-kit",
}
_SCRIPTS = {
    "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
    "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
}


class LocalVolumes(pulumi.ComponentResource):
    """The provisioner, what it may do, and the storage class.

    Args:
        name: Of the component.
        folder: On each node; volumes are made under it.
        image: Of the provisioner.
        helper_image: With a shell: it makes and removes the folders.
        provider: The cluster's provider.
        access: How its API server is reached.
    """

    def __init__(
        self,
        name: str,
        *,
        folder: str,
        image: str,
        helper_image: str,
        provider: k8s.Provider,
        access: KubeAccess,
    ) -> None:
        super().__init__("milvus-kit:kubernetes:LocalVolumes", name)
        options = pulumi.ResourceOptions(parent=self, provider=provider)
        namespace = kinds.Namespace(
            f"{name}-namespace", metadata={"name": NAMESPACE, "labels": _LABELS}, opts=options
        )
        inside = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=namespace))
        account = kinds.ServiceAccount(f"{name}-account", metadata=_metadata(), opts=inside)
        role = kinds.ClusterRole(
            f"{name}-role",
            metadata={"name": NAMESPACE, "labels": _LABELS},
            rules=_RULES,
            opts=options,
        )
        binding = kinds.ClusterRoleBinding(
            f"{name}-binding",
            metadata={"name": NAMESPACE, "labels": _LABELS},
            roleRef={
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": NAMESPACE,
            },
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
            opts=options,
        )
        config = kinds.ConfigMap(
            f"{name}-config", metadata=_metadata(), data=_config(folder, helper_image), opts=inside
        )
        after = pulumi.ResourceOptions(depends_on=[account, role, binding, config])
        document = {"metadata": _metadata(), "spec": _deployment(image, helper_image)}
        options_after = pulumi.ResourceOptions.merge(inside, after)
        kind, full = kinds.Deployment, f"{name}-provisioner"
        self.provisioner, up = start(kind, full, document, access, options_after)
        self.storage_class = kinds.StorageClass(
            f"{name}-class",
            metadata={
                "name": NAME,
                "labels": _LABELS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            provisioner="milvus-kit/local-path",
            reclaimPolicy="Delete",
            volumeBindingMode="WaitForFirstConsumer",
            opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=up)),
        )
        self.register_outputs({})


def _metadata() -> Any:
    return {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS}


def _config(folder: str, helper_image: str) -> dict[str, str]:
    paths = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [folder]}]}
    container = {
        "name": "helper",
        "image": helper_image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper"},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }
    return {"config.json": json.dumps(paths), "helperPod.yaml": json.dumps(helper), **_SCRIPTS}


def _deployment(image: str, helper_image: str) -> Any:
    command = [
        *("local-path-provisioner", "start", "--config", "/etc/config/config.json"),
        *("--service-account-name", NAME, "--provisioner-name", "milvus-kit/local-path"),
        *("--helper-image", helper_image, "--configmap-name", NAME),
    ]
    container = {
        "name": "provisioner",
        "image": image,
        "command": command,
        "env": [
            {
                "name": "POD_NAMESPACE",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
            },
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config/", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": NAME,
        "containers": [container],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}


_RULES: Any = [
    {
        "apiGroups": [""],
        "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["create", "patch", "update", "delete"],
    },
    {
        "apiGroups": [""],
        "resources": ["persistentvolumes"],
        "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {
        "apiGroups": ["storage.k8s.io"],
        "resources": ["storageclasses"],
        "verbs": ["get", "list", "watch"],
    },
]
