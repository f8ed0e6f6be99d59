from __future__ import annotations

from typing import Any

import pytest

from infra.servers.startup import ENDED_SECONDS, LAST_LINES, Hindrance, Watch, hindrance

IMAGE = "docker.io/milvusdb/milvus:v3.0.5"


def pod(container: dict[str, Any] | None = None, **condition: str) -> dict[str, Any]:
    """Return a pod of the proxy's as the API gives it, with one container's state."""
    status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "False"}]}
    if condition:
        status["conditions"].append({"type": "PodScheduled", "status": "False", **condition})
    if container is not None:
        status["containerStatuses"] = [{"name": "milvus", "ready": False, **container}]
    labels = {"app.kubernetes.io/component": "proxy"}
    return {
        "metadata": {"name": "milvus-proxy-1", "uid": "1", "labels": labels},
        "spec": {"containers": [{"image": IMAGE}]},
        "status": status,
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    terminated = {"exitCode": code, "message": message, "reason": reason}
    return waiting("CrashLoopBackOff", restartCount=3, lastState={"terminated": terminated})


def event(reason: str, message: str) -> dict[str, Any]:
    return {"type": "Warning", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("stuck", "told"),
    [
        (pod(ended(126, "/bin/sh: milvus: Permission denied")), "may not execute or read"),
        # Without a shell between, it is the runtime that is refused, and it says 128.
        (pod(ended(128, 'exec: "milvus": permission denied')), "may not execute or read"),
        (pod(ended(127, "sh: milvus: not found")), "look at milvus.command"),
        (pod(ended(137, reason="OOMKilled")), "its memory is too small"),
        (pod(ended(134, "panic: unknown mq type")), "panic: unknown mq type"),
        (pod(ended(0, "usage: milvus run")), "usage: milvus run"),
        (pod(waiting("ImagePullBackOff", "not found")), "images.pullSecrets"),
        (pod(waiting("ErrImageNeverPull")), "the image is not to be had"),
        (pod(waiting("CreateContainerConfigError", 'secret "x" not found')), 'secret "x"'),
        (pod(reason="Unschedulable", message="0/3 nodes: Insufficient cpu"), "Insufficient cpu"),
    ],
)
def test_what_no_waiting_mends_is_told_with_its_likely_cause(stuck, told):
    found = hindrance(stuck)
    assert found is not None
    assert told in found.words
    assert "likely: " in found.words


@pytest.mark.parametrize(
    "said",
    ['MountVolume.SetUp failed: secret "x" not found', "references non-existent config key: a"],
)
def test_what_only_its_events_tell_is_told(said):
    found = hindrance(pod(waiting("ContainerCreating")), [event("FailedMount", said)])
    assert found is not None
    assert said in found.words


def test_what_was_mended_since_hinders_nothing():
    events = [event("FailedMount", 'secret "x" not found'), event("Pulling", "Pulling image")]
    assert hindrance(pod(waiting("ContainerCreating")), events) is None


@pytest.mark.parametrize(
    "spoken",
    [
        event("FailedMount", "the disk is attached to another node still"),
        event("FailedScheduling", "0/3 nodes are available"),
    ],
)
def test_what_may_pass_by_itself_is_let_be(spoken):
    assert hindrance(pod(waiting("ContainerCreating")), [spoken]) is None


def test_a_pod_for_which_a_node_was_ordered_is_let_be():
    full = pod(reason="Unschedulable", message="0/3 nodes: Insufficient cpu")
    assert hindrance(full) is not None
    assert hindrance(full, [event("TriggeredScaleUp", "pod triggered scale-up")]) is None


def test_a_pod_waits_for_the_room_of_one_that_is_leaving():
    full = pod(reason="Unschedulable", message="0/3 nodes: Insufficient cpu")
    assert hindrance(full, room_is_freed=True) is None
    broken = pod(waiting("ImagePullBackOff", "not found"))
    assert hindrance(broken, room_is_freed=True) is not None


def test_a_disk_that_is_late_is_waited_for():
    said = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    assert hindrance(pod(reason="Unschedulable", message=said)) is None


@pytest.mark.parametrize(
    "starting",
    [
        pod(),
        pod(waiting("ContainerCreating")),
        pod({"state": {"running": {}}, "restartCount": 0}),
        pod(ended(1) | {"restartCount": 1}),  # what it needs was not there yet
        pod(ended(1) | {"state": {"running": {}}}),  # begun again, and on its way
        pod({"state": {"terminated": {"exitCode": 0}}, "restartCount": 3}),
        pod(reason="SchedulingGated", message="waits"),
    ],
)
def test_a_pod_that_may_still_start_is_let_be(starting):
    assert hindrance(starting) is None


def test_its_last_words_are_the_last_lines_alone():
    found = hindrance(pod(ended(1, "\n".join(f"line {n}" for n in range(50)))))
    assert found is not None
    assert [line.strip() for line in found.words.splitlines()[1:-1]] == [
        f"line {n}" for n in range(50 - LAST_LINES, 50)
    ]


def test_a_pod_is_given_up_when_it_was_hindered_all_the_time_and_not_before():
    watch, stuck = Watch(), Hindrance("stuck", patience=40)
    assert list(watch.hopeless({"a": stuck, "b": stuck}, 0)) == []
    assert list(watch.hopeless({"a": stuck}, 39)) == []
    assert list(watch.hopeless({"a": stuck, "b": stuck}, 40)) == ["a"]


def test_one_that_ended_again_and_again_is_given_up_sooner():
    found = hindrance(pod(ended(1, "panic")))
    assert found is not None
    assert found.patience == ENDED_SECONDS
