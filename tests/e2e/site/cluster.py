"""A cluster that somebody else made: the one that stands, or a bare one made for the tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.kubernetes.local_volumes import NAME as STORAGE_CLASS
from infra.kubernetes.node import bootstrap
from infra.kubernetes.node.plan import Host, NodePlan
from tests.e2e import clean, host, server_side
from tests.e2e.deployment import Deployment
from tests.e2e.images.bundle import chosen, image_archives
from tests.e2e.toolchain import parts
from validation.errors import MilvusKitError

CONTEXT = "the-sites-own"
IMAGES = ("milvus-2.3.5", "kafka", "kit")
_NAME = "elsewhere"
_USERS = {"test_ci_cluster_stack.py", "test_breaks.py", "test_ci_prod_stack.py"}
"""Modules whose stacks are put on it; they run one after the other."""
_lent: list[str] = []
"""Stacks of this process that have left the cluster to the next one."""


@contextmanager
def cluster(deployment: Deployment, *, keep: bool, lent: bool = False) -> Iterator[None]:
    """Have a cluster with a default storage class, and nothing of the kit's on it.

    Args:
        deployment: Whose tools and progress are used.
        keep: Use the cluster that stands, and leave this machine as it is then.
        lent: Leave the cluster to the next who asks for one here.

    Raises:
        OwnershipError: A cluster is here that is not to be used.
    """
    if keep and host.node_record():
        yield
        return
    if not _stands():
        host.require_no_cluster()  # before anything that has to be undone
        try:
            _make(deployment)
        except BaseException:
            clean.main()
            raise
    try:
        yield
    finally:
        if lent:
            _lent.append(deployment.stack)
        elif not keep:
            assert clean.main() == 0


def give_back() -> None:
    """Remove the cluster that was lent to a module which was not run in the end."""
    if _lent and _stands():
        clean.main()


def _stands() -> bool:
    record = host.node_record()
    made = record.get("cluster") == _NAME and record.get("made") == "yes"
    return made and host.is_prepared()


def wanted_after(request: pytest.FixtureRequest) -> bool:
    """Return whether a later module of this session uses the cluster too."""
    modules = list(dict.fromkeys(item.path.name for item in request.session.items))
    later = modules[modules.index(request.path.name) + 1 :]
    return not _USERS.isdisjoint(later)


def _make(deployment: Deployment) -> None:
    archives = image_archives(deployment.tools, deployment.progress)
    host.prepare(chosen(archives, deployment.stack, IMAGES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", deployment.pulumi.environment["PATH"])
        with deployment.progress.step("a cluster that somebody else made"):
            bootstrap.create(plan())
            apply(deployment, _local_volumes())


def apply(deployment: Deployment, objects: Iterable[dict[str, Any]]) -> None:
    """Create or change objects as the site's administrator would.

    Raises:
        MilvusKitError: The API server refuses one.
    """
    document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    done = deployment.kubectl("apply", "-f", "-", given=json.dumps(document))
    if done.returncode:
        raise MilvusKitError(f"the site's own objects were refused: {done.stderr[-500:]}")


def kubeconfig(source: Path, folder: Path) -> Path:
    """Write a kubeconfig whose current context leads nowhere and `CONTEXT` to the cluster."""
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    (context,) = document["contexts"]
    nowhere = {"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}}
    document["clusters"].append(nowhere)
    user = context["context"]["user"]
    document["contexts"] = [
        {**context, "name": CONTEXT},
        {"name": "nowhere", "context": {"cluster": "nowhere", "user": user}},
    ]
    document["current-context"] = "nowhere"
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def plan() -> NodePlan:
    """Return how that cluster's only node is made."""
    return NodePlan(
        cluster=_NAME,
        host=Host(name="site-node", address=host.ADDRESS, role="control-plane"),
        kubernetes_version=parts.KUBERNETES_VERSION,
        pod_subnet="10.244.0.0/16",
        service_subnet="10.96.0.0/16",
        image_archives=str(host.IMAGES),
    )


def _local_volumes() -> list[dict[str, Any]]:
    """Return the objects of a default storage class, as another stack has them."""
    label = "app.kubernetes.io/name"
    found = [
        one
        for one in server_side.objects("ci")
        if (one["metadata"].get("labels") or {}).get(label) == f"{STORAGE_CLASS}-provisioner"
    ]
    return sorted(found, key=lambda one: one["kind"] != "Namespace")
