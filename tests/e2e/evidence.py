"""What is kept of a run: events, pods and their logs, a timeline; the state is beside it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.common.progress import Progress
from validation.errors import MilvusKitError

if TYPE_CHECKING:
    from tests.e2e.deployment import Deployment

_LOG_LINES = 4000
_LAST_LINES = 6
_WARNINGS = 2


def passphrase(folder: Path, *, keep: bool) -> str:
    """Return what encrypts the secrets in a run's state.

    It is not kept beside the state, or the state might as well not be encrypted; what is kept says
    so. The folder of a stack that goes on running is no evidence: the next run reads it there.

    Args:
        folder: Of the run.
        keep: Whether the stack goes on running.
    """
    fresh = secrets.token_urlsafe(24)
    if not keep:
        (folder / "README.txt").write_text(_ABOUT, encoding="utf-8")
        return fresh
    file = folder / "passphrase"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(fresh, encoding="utf-8")
    return file.read_text(encoding="utf-8")


_ABOUT = """state/ is Pulumi's state of every stack of this run, and project/ the stacks' files.
Secrets in both are encrypted. Their passphrase was in memory alone, and went with the run,
so that nobody can decrypt them; all else in state/ is JSON that can be read as it is.
"""


def collect(deployment: Deployment, progress: Progress) -> None:
    """Write what explains a run into its folder; of a cluster that is gone, only the timeline."""
    timeline = [
        f"{wall.isoformat(timespec='seconds')} {seconds:8.1f} s  {name}"
        for name, wall, seconds in progress.phases
    ]
    text = "\n".join(sorted(timeline)) + "\n"
    (deployment.folder / "timeline.txt").write_text(text, encoding="utf-8")
    if not deployment.has_cluster():
        return
    folder = deployment.folder / f"cluster-{deployment.stack}"
    folder.mkdir(exist_ok=True)
    try:
        for name, command in _COMMANDS.items():
            done = deployment.kubectl(*command)
            (folder / name).write_text(done.stdout or done.stderr, encoding="utf-8")
        for pod in _pods(deployment):
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            options = ("--all-containers", f"--tail={_LOG_LINES}", "--prefix")
            log = _log(deployment, namespace, name, *options)
            (folder / f"{namespace}.{name}.log").write_text(log, encoding="utf-8")
    except MilvusKitError as error:
        (folder / "none.txt").write_text(f"{error}\n", encoding="utf-8")


_COMMANDS = {
    "pods.txt": ("get", "pods", "-A", "-o", "wide"),
    "events.txt": ("get", "events", "-A", "--sort-by=.metadata.creationTimestamp"),
    "nodes.txt": ("describe", "nodes"),
    "objects.txt": ("get", "deploy,sts,job,svc,pvc,networkpolicy,pdb,cm", "-A"),
}


def telling(folder: Path, secret: Iterable[str]) -> list[Path]:
    """Return the files of a run that hold one of these secrets in plain text.

    Links are not followed: what they lead to is the project itself.

    Raises:
        ValueError: A secret is empty, or there is none.
    """
    sought = [one.encode() for one in secret]
    if not sought or not all(sought):
        raise ValueError("there is nothing to look for")
    files = [
        Path(root, name)
        for root, _, names in os.walk(folder)
        for name in names
        if not Path(root, name).is_symlink()
    ]
    return [path for path in files if any(one in path.read_bytes() for one in sought)]


def causes(deployment: Deployment) -> list[str]:
    """Return the facts that explain a failure: which pod, which condition, its last words.

    What keeps a container from starting at all, such as a Secret that is not there, stands in the
    pod's events alone.
    """
    try:
        return _causes(deployment)
    except (MilvusKitError, subprocess.TimeoutExpired) as error:
        return [str(error)]  # it must not stand before the failure that is to be explained


def _causes(deployment: Deployment) -> list[str]:
    told = []
    for pod in _pods(deployment):
        reason = _reason(pod)
        if not reason:
            continue
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        told += [f"pod: {namespace}/{name}", f"condition: {reason}"]
        told += [f"event: {one}" for one in _warnings(deployment, namespace, name)]
        last = _last_words(deployment, namespace, name)
        told += ["its last log lines:", *(f"    {line[:300]}" for line in last)]
    return told


def _reason(pod: dict[str, Any]) -> str:
    status = pod.get("status", {})
    if status.get("phase") == "Succeeded":
        return ""
    for container in status.get("containerStatuses") or []:
        waiting = container["state"].get("waiting")
        if waiting and waiting.get("reason") not in {"ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    for condition in status.get("conditions") or []:
        if condition["type"] in {"PodScheduled", "Ready"} and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message')}{_asked(pod)}"
    return ""


def _asked(pod: dict[str, Any]) -> str:
    """Return how the containers that run and are not ready are asked whether they are."""
    statuses = pod["status"].get("containerStatuses") or []
    waited = {one["name"] for one in statuses if not one["ready"] and "running" in one["state"]}
    gets = [
        one["readinessProbe"]["httpGet"]
        for one in pod["spec"]["containers"]
        if one["name"] in waited and "httpGet" in one.get("readinessProbe", {})
    ]
    return "".join(f", asked by GET {one['path']} on port {one['port']}" for one in gets)


def _warnings(deployment: Deployment, namespace: str, name: str) -> list[str]:
    """Return the newest warnings about a pod, each once."""
    chosen = f"--field-selector=type=Warning,involvedObject.name={name}"
    done = deployment.kubectl("get", "events", "-n", namespace, chosen, "-o", "json")
    events = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    events.sort(key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")
    told = dict.fromkeys(f"{one['reason']}: {one['message'][:300]}" for one in events[::-1])
    return list(told)[:_WARNINGS]


def _last_words(deployment: Deployment, namespace: str, name: str) -> list[str]:
    """Return the last lines that tell something, of the container before if it ended."""
    for options in (("--previous",), ()):
        log = _log(deployment, namespace, name, "--tail=400", *options)
        lines = [line for line in log.splitlines() if line.strip()]
        loud = [line for line in lines if any(word in line for word in _LOUD)]
        if lines:
            return (loud or lines)[-_LAST_LINES:]
    return ["(no log)"]


def _log(deployment: Deployment, namespace: str, name: str, *options: str) -> str:
    """Return a pod's log without what it tells and should not."""
    log = deployment.kubectl("logs", "-n", namespace, name, *options).stdout
    for secret in deployment.hidden:
        log = log.replace(secret, "***")
    return log


_LOUD = ("panic:", "FATAL", "[ERROR]", "Error", "error:")


def _pods(deployment: Deployment) -> list[dict[str, Any]]:
    done = deployment.kubectl("get", "pods", "-A", "-o", "json")
    if done.returncode:
        raise MilvusKitError("the cluster does not answer", seen=done.stderr.strip()[-200:])
    return json.loads(done.stdout)["items"]
