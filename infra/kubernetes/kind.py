"""A cluster in Docker containers on this machine, by the ``kind`` command: for laptops."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi import dynamic

from infra.kubernetes import exchange
from infra.kubernetes.contract import KubeAccess
from infra.kubernetes.kubeconfig import required
from infra.provider import Provider
from infra.settings.cluster import KindCluster
from validation.errors import MilvusKitError, MissingToolError, OwnershipError

_SECONDS = 900
_NODE_REPOSITORY = "kindest/node"


class KindProvider(Provider):
    """Runs ``kind`` to make, find and remove a cluster."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Refuse what would make another cluster, whose volumes are empty, of one that stands."""
        before = _decided(_olds) if "name" in _olds else {}
        return dynamic.CheckResult(news, exchange.refused(before, _decided(news)))

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Make the cluster."""
        if props["name"] in _clusters():
            raise OwnershipError(
                "a kind cluster of that name is there already",
                where="kubernetes.clusterName",
                seen=props["name"],
                remedy="choose another name, or remove it with `kind delete cluster --name`",
            )
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "kind.yaml"
            config.write_text(cluster_config(int(props["workers"])), encoding="utf-8")
            image = f"{_NODE_REPOSITORY}:v{props['version']}"
            # A kubeconfig of its own: the user's stays as it is.
            kubeconfig = ["--kubeconfig", str(Path(folder) / "kubeconfig")]
            create = ["create", "cluster", "--name", props["name"], "--image", image]
            _kind([*create, "--config", str(config), "--wait", "180s", *kubeconfig])
        text = _kind(["get", "kubeconfig", "--name", props["name"]])
        return dynamic.CreateResult(props["name"], {**props, "kubeconfig": text})

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Return the cluster as it is; nothing if it is gone."""
        if id_ not in _clusters():
            return dynamic.ReadResult(None, {})
        text = _kind(["get", "kubeconfig", "--name", id_])
        return dynamic.ReadResult(id_, {**props, "kubeconfig": text})

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        """Replace the cluster when anything of it changes."""
        del id_
        changed = [key for key in ("name", "version", "workers") if olds.get(key) != news.get(key)]
        return dynamic.DiffResult(
            changes=bool(changed), replaces=changed, delete_before_replace=True
        )

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Remove the cluster and its containers."""
        del props
        _kind(["delete", "cluster", "--name", id_])


class Kind(dynamic.Resource):
    """A kind cluster; its output ``kubeconfig`` is a secret."""

    kubeconfig: pulumi.Output[str]

    def __init__(self, settings: KindCluster, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {
            "name": settings.cluster_name,
            "version": settings.kubernetes_version,
            "workers": settings.workers,
            "kubeconfig": None,
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["kubeconfig"])
        merged = pulumi.ResourceOptions.merge(secret, opts)
        super().__init__(KindProvider(), f"kind-{settings.cluster_name}", props, merged)


def kind(
    settings: KindCluster, after: Sequence[pulumi.Resource] = ()
) -> tuple[KubeAccess, list[pulumi.Resource]]:
    """Return how the cluster is reached, and the resource that it is, made after some others."""
    made = Kind(settings, pulumi.ResourceOptions(depends_on=list(after)))
    origin = {
        "kubernetes.provider": settings.provider,
        "kubernetes.clusterName": settings.cluster_name,
    }
    kubeconfig = pulumi.Output.secret(made.kubeconfig.apply(required))
    return KubeAccess(kubeconfig=kubeconfig, origin=origin), [made]


def _decided(props: dict[str, Any]) -> dict[str, str]:
    return {
        "kubernetes.clusterName": props["name"],
        "kubernetes.kubernetesVersion": props["version"],
        "kubernetes.workers": str(int(props["workers"])),
    }


def cluster_config(workers: int) -> str:
    """Return kind's configuration: one control plane and so many workers."""
    roles = ["control-plane", *(["worker"] * workers)]
    document = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": role} for role in roles],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _clusters() -> list[str]:
    return _kind(["get", "clusters"]).split()


def _kind(arguments: list[str]) -> str:
    for command, package in (("kind", "kind"), ("docker", "Docker (or Podman as docker)")):
        if shutil.which(command) is None:
            raise MissingToolError(
                f"there is no {command} command",
                where="PATH",
                remedy=f"install {package}, or set kubernetes.provider to existing or kubeadm",
            )
    try:
        done = subprocess.run(
            ["kind", *arguments], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MilvusKitError(
            f"kind did not end within {_SECONDS} s",
            where="kind " + " ".join(arguments[:2]),
            remedy="see `docker ps` and the load of this machine",
        ) from None
    if done.returncode:
        raise MilvusKitError(
            f"kind failed: {done.stderr.strip()[-800:]}",
            where="kind " + " ".join(arguments[:2]),
            seen=json.dumps(done.returncode),
            remedy="the lines above are kind's own; `docker info` must work for this user",
        )
    return done.stdout
