"""Why a pod does not start, where no waiting mends it: its state, its last words, the likely cause.

Pods and events are plain documents of the API. A container that ended has its last lines in its
state, since every pod of the kit's says ``terminationMessagePolicy: FallbackToLogsOnError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 30
"""How long a pod may look as if it would never start: a registry may be slow to answer once."""
ENDED_SECONDS = 8
"""The same of a container that ends each time it is begun: that it was begun again is the proof."""
MANY_RESTARTS = 2
"""A role may end once or twice while those that it needs are not there yet."""
LAST_LINES = 6
_LINE = 300
_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_OUT_OF_MEMORY = "OOMKilled"
_AGAIN = "CrashLoopBackOff"
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_ABSENT = ("not found", "references non-existent")
"""How a kubelet says that what a volume is made of is not there; a disk may only be late."""
_ROOM_IS_MADE = frozenset({"TriggeredScaleUp", "Nominated"})
"""What autoscalers of nodes say of a pod for which they have ordered one."""
_DISK_IS_LATE = "unbound immediate PersistentVolumeClaims"
"""How the scheduler says that a disk is not there yet: it may be made at this moment."""


@dataclass(frozen=True)
class Hindrance:
    """Why a pod will not start by itself, as a few lines, and how long it may look so."""

    words: str
    patience: float = PATIENCE_SECONDS


def hindrance(
    pod: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]] = (),
    *,
    room_is_freed: bool = False,
) -> Hindrance | None:
    """Return why a pod will not start by itself; None where it may.

    Args:
        pod: The pod.
        events: What was said of it, the newest last.
        room_is_freed: Whether other pods are leaving, whose room it may be waiting for.
    """
    status = pod.get("status", {})
    if any(one.get("reason") in _ROOM_IS_MADE for one in events):
        return None
    for condition in status.get("conditions", []):
        if is_unschedulable(condition):
            if room_is_freed or _DISK_IS_LATE in condition.get("message", ""):
                return None
            cause = "no node has room for it, or its nodeSelector, tolerations or volumes fit none"
            return _told(f"Unschedulable: {condition.get('message', '')}", cause)
    for one in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        if found := _of_container(one):
            return found
    # What was said before that may have been mended since.
    last = events[-1] if events else {}
    said = str(last.get("message", ""))
    if last.get("reason") == "FailedMount" and any(word in said for word in _ABSENT):
        return _told(f"FailedMount: {said[:_LINE]}", _NOT_THERE)
    return None


def is_unschedulable(condition: Mapping[str, Any]) -> bool:
    """Tell whether a pod's condition says that no node takes it."""
    return condition.get("reason") == "Unschedulable" and condition.get("status") == "False"


_NOT_THERE = "a Secret, a ConfigMap or a key in it that it refers to is not there"


def _of_container(status: Mapping[str, Any]) -> Hindrance | None:
    name, state = status["name"], status.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL:
        cause = (
            "the image is not to be had: look at its name, at images.mirrors and images.overrides,"
            " and at images.pullSecrets"
        )
        return _told(f"container {name}: {reason}: {message}", cause)
    if reason in _CONFIGURATION:
        return _told(f"container {name}: {reason}: {message}", _NOT_THERE)
    ended = state.get("terminated") or status.get("lastState", {}).get("terminated", {})
    again_and_again = status.get("restartCount", 0) >= MANY_RESTARTS
    # One that runs is on its way, for as long as it does; one that is to end ends with 0, once.
    failed = ended.get("exitCode") or reason == _AGAIN
    if "running" in state or not failed or not again_and_again:
        return None
    return _of_end(name, ended, status["restartCount"])


def last_words(pod: Mapping[str, Any]) -> str:
    """Return how a pod ended that failed, with the likely cause; nothing where it did not."""
    for one in pod.get("status", {}).get("containerStatuses", []):
        ended = one.get("state", {}).get("terminated", {})
        if ended.get("exitCode"):
            return _of_end(one["name"], ended, one.get("restartCount", 0)).words
    return ""


def _of_end(name: str, ended: Mapping[str, Any], restarts: int) -> Hindrance:
    code, words = ended.get("exitCode", 0), ended.get("message", "").strip().splitlines()
    said = [line[:_LINE] for line in words[-LAST_LINES:]]
    text = "\n".join(said).lower()
    if code == _NOT_EXECUTABLE or "permission denied" in text:
        cause = (
            "its user may not execute or read what is in the image: one of another layout than the"
            " kit knows (docs/topology.md, Milvus's image), or a volume of another owner"
        )
    elif code == _NOT_FOUND or "executable file not found" in text:
        cause = (
            "the command is not in the image, or its user may not execute it: look at"
            " milvus.command and the image's name"
        )
    elif ended.get("reason") == _OUT_OF_MEMORY:
        cause = "its memory is too small: give it more (resources.memory)"
    else:
        cause = "it ends by itself: its last words say why"
    state = f"container {name}: ended with exit code {code}, {restarts + 1} times"
    return _told(state, cause, said, patience=ENDED_SECONDS)


def _told(
    state: str, cause: str, said: Sequence[str] = (), *, patience: float = PATIENCE_SECONDS
) -> Hindrance:
    lines = [state.strip(), *(f"    {line}" for line in said), f"likely: {cause}"]
    return Hindrance("\n".join(lines), patience)


class Watch:
    """Tells which pods have not been able to start for so long that none of them will."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def hopeless(self, hindered: Mapping[str, Hindrance], now: float) -> Iterator[str]:
        """Yield the names of pods that have been hindered for longer than that.

        Args:
            hindered: What hinders pods, by their names.
            now: Seconds of a clock that only goes forward.
        """
        self._since = {name: self._since.get(name, now) for name in hindered}
        yield from (
            name for name, since in self._since.items() if now - since >= hindered[name].patience
        )
