"""How long ``pulumi up`` takes beside ``kubectl apply`` and waiting, for the same objects.

The objects are those of the stack's state. Each way finds them gone, volumes and namespace kept,
and ends when every pod is ready. What Pulumi does besides is in its time: it runs the program, and
compares every resource with what it should be.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from tests.e2e.deployment import Deployment
from validation.errors import MilvusKitError

_SECRET = "4dabf18193072939515e22adb298388d"
_RETENTION = "persistentVolumeClaimRetentionPolicy"
_WORKLOADS = ("StatefulSet", "Deployment")
_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Compared:
    """What both took.

    Args:
        objects: How many there were.
        kubectl: Seconds of ``kubectl apply`` and ``kubectl rollout status``.
        pulumi: Seconds of ``pulumi up``.
    """

    objects: int
    kubectl: float
    pulumi: float

    def sentence(self) -> str:
        """Return both, and how many times the one takes longer."""
        return (
            f"{self.objects} objects: kubectl apply and wait {self.kubectl:.1f} s, "
            f"pulumi up {self.pulumi:.1f} s, {self.pulumi / self.kubectl:.2f} times as long"
        )


def compare(deployment: Deployment, namespace: str) -> Compared:
    """Make everything in the stack's namespace anew in both ways; keep and return the times."""
    found = _declared(deployment, namespace)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [one for _, one in found]})
    _keep_volumes(deployment, namespace, text)
    _delete(deployment, namespace, text)
    start = time.monotonic()
    _apply(deployment, text)
    for _, one in found:
        if one["kind"] in _WORKLOADS:
            name = f"{one['kind'].lower()}/{one['metadata']['name']}"
            _ask(deployment, "rollout", "status", name, "-n", namespace, "--timeout=240s")
    by_kubectl = time.monotonic() - start
    _delete(deployment, namespace, text)
    gone = [part for urn, _ in found for part in ("--target", urn)]
    deployment.pulumi.run("refresh", "-s", deployment.stack, "--yes", "--skip-preview", *gone)
    start = time.monotonic()
    deployment.up()
    compared = Compared(len(found), by_kubectl, time.monotonic() - start)
    file = deployment.folder / f"against-kubectl-{deployment.stack}.txt"
    file.write_text(compared.sentence() + "\n", encoding="utf-8")
    return compared


def _declared(deployment: Deployment, namespace: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the objects in a namespace as the program gives them, each with its URN.

    Secrets are in plain text, in memory only. Their volumes are to stay, whatever the stack says:
    what Milvus needs in the store is not made by objects.
    """
    found = []
    for one in deployment.pulumi.resources(deployment.stack, show_secrets=True):
        inputs = _plain(one.get("inputs") or {})
        if one["type"].startswith("kubernetes:") and (
            inputs["metadata"].get("namespace") == namespace
        ):
            if inputs["kind"] == "StatefulSet":
                inputs["spec"][_RETENTION] = {"whenDeleted": "Retain", "whenScaled": "Retain"}
            found.append((one["urn"], inputs))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if _SECRET in value:
            return json.loads(value["plaintext"])
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _keep_volumes(deployment: Deployment, namespace: str, text: str) -> None:
    """Let the objects say it, and wait until their controller has let go of the volumes."""
    _apply(deployment, text)
    deadline = time.monotonic() + _SECONDS
    while any(
        one["metadata"].get("ownerReferences") for one in deployment.objects("pvc", namespace)
    ):
        if time.monotonic() > deadline:
            raise MilvusKitError("the volumes still belong to their servers", where=namespace)
        time.sleep(0.2)


def _apply(deployment: Deployment, text: str) -> None:
    _ask(deployment, "apply", "--server-side", "--force-conflicts", "-f", "-", given=text)


def _delete(deployment: Deployment, namespace: str, text: str) -> None:
    _ask(deployment, "delete", "--ignore-not-found", "--wait=false", "-f", "-", given=text)
    # At their own pace: a Milvus that is killed leaves sessions that the next one has to wait out.
    _ask(deployment, "delete", "pods", "--all", "-n", namespace, "--ignore-not-found")


def _ask(deployment: Deployment, *arguments: str, given: str | None = None) -> None:
    done = deployment.kubectl(*arguments, given=given)
    if done.returncode:
        raise MilvusKitError(
            f"`kubectl {' '.join(arguments[:3])}` failed: {done.stderr.strip()[-600:]}",
            where=deployment.stack,
        )
