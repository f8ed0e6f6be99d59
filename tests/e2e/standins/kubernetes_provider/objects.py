"""What an object is called, which of its fields cannot change, and how two of them differ."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from kubernetes.utils import parse_quantity

from tests.e2e.standins.kubernetes_provider.wire import UNKNOWN, Path

AUTONAMED = "pulumi.com/autonamed"
CLUSTER_SCOPED = frozenset(
    [
        "Namespace",
        "Node",
        "PersistentVolume",
        "ClusterRole",
        "ClusterRoleBinding",
        "StorageClass",
        "PriorityClass",
        "RuntimeClass",
        "IngressClass",
        "CSIDriver",
        "CustomResourceDefinition",
        "APIService",
        "VolumeAttributesClass",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ]
)
_STATEFUL_MUTABLE = frozenset(
    [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "revisionHistoryLimit",
    ]
)
_IMMUTABLE: dict[str, tuple[Path, ...]] = {
    "Deployment": (("spec", "selector"),),
    "DaemonSet": (("spec", "selector"),),
    "ReplicaSet": (("spec", "selector"),),
    "Job": (("spec", "selector"), ("spec", "template"), ("spec", "completions")),
    "Secret": (("type",),),
    "RoleBinding": (("roleRef",),),
    "ClusterRoleBinding": (("roleRef",),),
    "StorageClass": (("provisioner",), ("parameters",), ("reclaimPolicy",), ("volumeBindingMode",)),
    "Service": (("spec", "clusterIP"),),
    "Pod": (("spec",),),
    "PersistentVolume": (("spec", "hostPath"), ("spec", "local"), ("spec", "csi")),
}


def kind_of(token: str) -> tuple[str, str]:
    """Return the API version and kind of a resource type such as ``kubernetes:core/v1:Secret``.

    Raises:
        ValueError: It is not a plain object.
    """
    _, module, kind = token.split(":")
    foreign = module.startswith(("helm.sh", "yaml", "kustomize"))
    if foreign or kind.endswith("Patch"):
        raise ValueError(f"{token} needs the published Kubernetes provider; the stand-in has none")
    return module.removeprefix("core/"), kind


def named(inputs: dict[str, Any], old: dict[str, Any], name: str, seed: bytes) -> dict[str, Any]:
    """Return the inputs with a name: the given one, the one it had, or a new one of its own."""
    metadata = dict(inputs.get("metadata") or {})
    if metadata.get("name") or metadata.get("generateName"):
        return {**inputs, "metadata": metadata}
    before = old.get("metadata") or {}
    if is_autonamed(old):
        metadata["name"] = before["name"]
    else:
        metadata["name"] = f"{name}-{hashlib.sha256(seed or name.encode()).hexdigest()[:8]}"
    metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
    return {**inputs, "metadata": metadata}


def is_autonamed(one: dict[str, Any]) -> bool:
    """Return whether the name was given here and not by the program."""
    return ((one.get("metadata") or {}).get("annotations") or {}).get(AUTONAMED) == "true"


def changes(old: Any, new: Any, path: Path = ()) -> list[Path]:
    """Return the paths at which two documents differ; quantities are compared by their value."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[Path] = []
        for key in sorted(old.keys() | new.keys()):
            found += changes(old.get(key), new.get(key), (*path, key))
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            p
            for n, (a, b) in enumerate(zip(old, new, strict=True))
            for p in changes(a, b, (*path, n))
        ]
    return [] if _same(old, new, path) else [path]


def replaces(
    kind: str, old: dict[str, Any], new: dict[str, Any], changed: list[Path]
) -> list[Path]:
    """Return those changes that need a new object."""
    return [path for path in changed if _immutable(kind, old, path) and _at(new, path) != UNKNOWN]


def projected(inputs: Any, live: Any, path: Path = ()) -> Any:
    """Return the inputs with the values that the cluster has now, so that drift shows.

    Fields that only the server set are left out; a quantity written another way is no change; a
    value the server drops because it is empty is kept.
    """
    if isinstance(inputs, dict) and isinstance(live, dict):
        result = {key: projected(one, live.get(key), (*path, key)) for key, one in inputs.items()}
        return {key: one for key, one in result.items() if one is not None}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [
            projected(a, b, (*path, n)) for n, (a, b) in enumerate(zip(inputs, live, strict=True))
        ]
    if live is None and inputs in ({}, [], "", False, 0):
        return inputs
    return inputs if _same(inputs, live, path) else live


def with_plain_strings(live: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Return a live Secret with ``stringData`` as it was given, read back from ``data``."""
    if "stringData" not in inputs:
        return live
    data = live.get("data") or {}
    strings = {
        key: base64.b64decode(data[key]).decode(errors="replace")
        for key in inputs["stringData"]
        if key in data
    }
    return {**live, "stringData": strings}


def _immutable(kind: str, old: dict[str, Any], path: Path) -> bool:
    if path[:1] == ("kind",) or path[:2] in {("metadata", "name"), ("metadata", "namespace")}:
        return True
    if kind == "StatefulSet":
        return path[0] == "spec" and path[1:2] != () and path[1] not in _STATEFUL_MUTABLE
    if kind == "PersistentVolumeClaim":
        return path[0] == "spec" and path[1:2] not in {
            ("resources",),
            ("volumeAttributesClassName",),
        }
    if kind in {"ConfigMap", "Secret"} and (is_autonamed(old) or old.get("immutable")):
        return path[0] in {"data", "binaryData", "stringData", "type"}
    return any(path[: len(fixed)] == fixed for fixed in _IMMUTABLE.get(kind, ()))


def _same(old: Any, new: Any, path: Path) -> bool:
    if old == new:
        return True
    if not {"resources", "limits", "requests", "sizeLimit", "capacity", "hard"} & set(path):
        return False
    try:
        return parse_quantity(old) == parse_quantity(new)
    except (ValueError, TypeError):
        return False


def _at(document: Any, path: Path) -> Any:
    for key in path:
        if isinstance(document, dict):
            document = document.get(str(key))
        elif isinstance(document, list) and isinstance(key, int) and key < len(document):
            document = document[key]
        else:
            return None
    return document
