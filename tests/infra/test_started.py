"""What waits for a workload: up to its last pod, or to the first that cannot start."""

from __future__ import annotations

import copy
import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import declaring
import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, declare
from pulumi.runtime import mocks

from infra.servers import live
from infra.servers.started import IS_THERE, STILL_SECONDS, StartedProvider, wait
from infra.servers.startup import Hindrance
from tests.infra import api_server
from tests.infra.test_startup import ended, pod, waiting
from validation.errors import UnreachableError


class Clock:
    """A clock that goes on only while somebody pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def waited(lacks, hindrances: Any = dict, unready: Any = list, **more: Any) -> float:
    clock = Clock()
    wait(lacks, hindrances, unready, where="x", clock=clock, pause=clock.pause, **more)
    return clock.now


def test_it_ends_when_nothing_is_lacking():
    lines = iter(["0 of 1 pods are ready", "0 of 1 pods are ready", ""])
    assert waited(lambda: next(lines)) < 1


def test_one_that_cannot_start_ends_it_within_a_minute():
    clock = Clock()
    with pytest.raises(UnreachableError, match="pod p: no image"):
        wait(
            lambda: "0 of 1 pods are ready",
            lambda: {"p": Hindrance("no image")},
            where="x",
            clock=clock,
            pause=clock.pause,
        )
    assert clock.now < 60


def test_one_that_is_only_late_does_not_end_it():
    looks = itertools.chain([{"p": Hindrance("late")}] * 3, itertools.repeat({}))
    lines = itertools.chain(["0 of 1"] * 200, [""])
    assert waited(lambda: next(lines), lambda: next(looks)) > 60


def test_what_is_not_ready_is_told_within_a_minute_and_given_up_when_nothing_moves():
    told: list[str] = []
    clock = Clock()
    with pytest.raises(UnreachableError, match="0 of 1, for 600 s already"):
        wait(
            lambda: "0 of 1",
            dict,
            lambda: ["pod p is not ready: probe failed"],
            where="x",
            tell=lambda line: told.append(f"{clock.now:.0f} {line}"),
            clock=clock,
            pause=clock.pause,
        )
    assert len(told) == 1
    assert float(told[0].split()[0]) < 60
    assert "probe failed" in told[0]
    assert clock.now >= STILL_SECONDS


def test_it_goes_on_for_as_long_as_something_moves():
    ready = (f"{n // 500} of 9" for n in itertools.count())
    lines = itertools.chain(itertools.islice(ready, 4000), [""])
    assert waited(lambda: next(lines), tell=lambda _: None) > STILL_SECONDS


READY: dict[str, Any] = {
    "kind": "StatefulSet",
    "metadata": {"name": "etcd", "generation": 2, "uid": "1"},
    "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}},
    "status": {
        "observedGeneration": 2,
        "replicas": 3,
        "updatedReplicas": 3,
        "availableReplicas": 3,
        "updateRevision": "new",
    },
}


def servers(kind: str = "StatefulSet", **status: Any) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(READY) | {"kind": kind}
    document["status"].update(status)
    return document


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        (servers(), ""),
        (servers("Deployment"), ""),
        (servers(observedGeneration=1), "controller has not seen"),
        (servers(updatedReplicas=1), "1 of 3 pods are those that are declared"),
        (servers(availableReplicas=2), "2 of 3 pods are ready"),
        (servers("Deployment", replicas=4), "1 pods of before have not gone"),
        (servers(status=None) | {"status": {}}, "controller has not seen"),
    ],
)
def test_servers_lack_what_their_status_says(found, lacking):
    said = live.lacks(found)
    assert lacking in said
    assert bool(said) is bool(lacking)


def of_job(*conditions: str) -> dict[str, Any]:
    return {
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
        "status": {"conditions": [{"type": one, "status": "True"} for one in conditions]},
    }


def test_a_job_lacks_its_end_and_a_failed_one_never_has_it():
    assert live.lacks(of_job()) == "the Job has not ended"
    assert live.lacks(of_job("SuccessCriteriaMet", "Complete")) == ""
    with pytest.raises(live.FailedError, match="the Job failed"):
        live.lacks(of_job("FailureTarget", "Failed"))


class Tells(api_server.Cluster):
    """An API server that tells these objects, by the end of their path."""

    def __init__(self, **objects: Any) -> None:
        super().__init__()
        self.objects = objects

    def tell(self, path: str) -> tuple[int, dict[str, Any]]:
        name = path.partition("?")[0].rsplit("/", 1)[-1]
        found = self.objects.get(name)
        if isinstance(found, list):
            found = {"items": found}
        return (200, found) if found else (404, {"code": 404})


def props(cluster: api_server.Cluster, kind: str = "StatefulSet", name: str = "etcd") -> dict:
    reached = {"kubeconfig": cluster.kubeconfig, "kubeconfig_file": "", "context": ""}
    what = {"namespace": "ns", "kind": kind, "name": name, "uid": "1", "declared": "abc"}
    return {**what, "still": 600, **reached}


def revised(found: dict[str, Any], revision: str, name: str) -> dict[str, Any]:
    found["metadata"] |= {"name": name, "creationTimestamp": name}
    found["metadata"]["labels"] |= {"controller-revision-hash": revision}
    return found


def test_pods_of_before_hinder_nothing():
    pods = [
        revised(pod(ended(1, "panic: old")), "old", "etcd-0"),
        revised(pod(waiting("ImagePullBackOff", "no such tag")), "new", "etcd-1"),
    ]
    with api_server.running(Tells(pods=pods, events=[])) as cluster:
        found = live.Workloads(props(cluster)).hindrances(servers(availableReplicas=1))
    assert list(found) == ["etcd-1"]
    assert "no such tag" in found["etcd-1"].words


@pytest.mark.parametrize("leaving", [True, False])
def test_a_pod_is_not_given_up_while_another_leaves_and_frees_its_room(leaving):
    full = pod(reason="Unschedulable", message="0/1 nodes are available: Insufficient memory")
    full["status"]["phase"] = "Pending"
    drains = revised(pod({"state": {"running": {}}}), "old", "etcd-0")
    if leaving:
        drains["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = [drains, revised(full, "new", "etcd-1")]
    with api_server.running(Tells(pods=pods, events=[])) as cluster:
        workloads = live.Workloads(props(cluster))
        assert bool(workloads.hindrances(servers())) is not leaving
        assert bool(workloads.hindrance(full)) is not leaving  # as milvus-operator's are looked at


BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(minutes: float) -> str:
    return (BEGAN + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("when", "hindered"),
    [({"lastTimestamp": at(1)}, True), ({"lastTimestamp": at(-1)}, False), ({}, True)],
)
def test_a_workload_that_may_not_even_have_pods_is_hindered(when, hindered):
    said = [{"reason": "FailedCreate", "message": 'violates PodSecurity "restricted"', **when}]
    with api_server.running(Tells(pods=[], events=said)) as cluster:
        workloads = live.Workloads(props(cluster), since=BEGAN)
        found = workloads.hindrances(servers(updatedReplicas=0))
        # What was said before may be mended by now: it does not end the wait, but is told.
        (told,) = workloads.unready(servers(updatedReplicas=0))
    assert ["violates PodSecurity" in one.words for one in found.values()] == [True] * hindered
    assert "violates PodSecurity" in told


@pytest.mark.parametrize("when", [1, -1])
def test_pods_that_could_not_be_made_in_an_earlier_try_may_be_made_now(when):
    failed = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    found = servers("Deployment", conditions=[failed | {"lastUpdateTime": at(when)}])
    with api_server.running(Tells(pods=[], replicasets=[])) as cluster:
        hindered = live.Workloads(props(cluster), since=BEGAN).hindrances(found)
    assert bool(hindered) is (when > 0)


def test_a_rollout_that_was_given_up_before_is_waited_for_again():
    given_up = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "too long"}

    def found(when: float) -> dict[str, Any]:
        conditions = [given_up | {"lastUpdateTime": at(when)}]
        return servers("Deployment", availableReplicas=2, conditions=conditions)

    assert live.lacks(found(-1), since=BEGAN) == "2 of 3 pods are ready"
    with pytest.raises(live.FailedError, match="too long"):
        live.lacks(found(1), since=BEGAN)
    with pytest.raises(live.FailedError, match="too long"):
        live.lacks(found(-1))

    class Mends(Tells):
        def tell(self, path: str) -> tuple[int, dict[str, Any]]:
            answer = super().tell(path)
            self.objects["etcd"] = servers("Deployment")
            return answer

    with api_server.running(Mends(etcd=found(-1), pods=[], replicasets=[])) as cluster:
        assert StartedProvider().create(props(cluster, "Deployment")).id == "ns/Deployment/etcd"


def test_a_failed_job_ends_the_wait_with_its_pods_last_words():
    gone = revised(pod({"state": ended(2, "no such host")["lastState"]}), "", "j-1")
    with (
        api_server.running(Tells(j=of_job("Failed"), pods=[gone], events=[])) as cluster,
        pytest.raises(UnreachableError, match="the Job failed") as caught,
    ):
        StartedProvider().create(props(cluster, "Job", "j"))
    assert "no such host" in str(caught.value)
    assert "Job ns/j" in str(caught.value)


def test_a_refresh_sees_what_is_not_up_and_the_next_update_waits_for_it():
    server, provider = Tells(etcd=servers()), StartedProvider()
    with api_server.running(server) as cluster:
        given = props(cluster)
        made = provider.create(given)
        found: Any = provider.read(made.id, given).outs
        assert not provider.diff("", found, given).changes
        server.objects["etcd"] = servers(availableReplicas=2)
        found = provider.read(made.id, given).outs
    assert provider.diff("", found, given).changes


@pytest.mark.parametrize("key", ["uid", "declared"])
def test_what_is_made_or_declared_anew_is_waited_for(key):
    before = {"namespace": "n", "kind": "Job", "name": "j", "uid": "1", "declared": "2"}
    assert StartedProvider().diff("", before, before | {key: "3"}).changes
    assert not StartedProvider().diff("", before, before | {"kubeconfig": "renewed"}).changes


JOBS = {"image": "example.com/kit:1", "enabled": True}
STACKS = {
    "dev": DEV | {"validation": JOBS},
    "standalone": STANDALONE,
    "cluster-23": changed(CLUSTER_23, milvus={"auth": {"enabled": True}}),
    "prod": PROD,
    "kubeadm": DEV
    | {
        "kubernetes": {
            "provider": "kubeadm",
            "namespace": "ns",
            "hosts": [{"name": "one", "address": "192.0.2.1", "role": "control-plane"}],
        }
    },
}


WORKLOAD = re.compile(r"\$?kubernetes:(?:apps|batch)/v1:(?:Deployment|StatefulSet|Job)::(.*)")


@pytest.mark.parametrize("document", STACKS.values(), ids=STACKS)
def test_every_workload_is_waited_for_and_nothing_waits_for_one_otherwise(document, monkeypatch):
    asked: list[Any] = []
    real = mocks.MockMonitor.RegisterResource

    def kept(self, request):
        asked.append(request)
        return real(self, request)

    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", kept)
    declaring.forget()
    declare(document)
    declaring.forget()
    workloads = [one for one in asked if WORKLOAD.search(f"{one.type}::{one.name}")]
    assert len(workloads) > 2
    stills = {one.name: one.object["still"] for one in asked if "still" in one.object}
    for one in workloads:
        notes = one.object["metadata"]["annotations"]
        assert {key: notes[key] for key in IS_THERE} == IS_THERE
        # Kubernetes gives a rollout up first, with its reason.
        own = dict(one.object["spec"]).get("progressDeadlineSeconds", 0)
        assert stills[f"{one.name}-started"] > own, one.name
    started = {one.name for one in asked if one.type.endswith(":Started")}
    assert started == {f"{one.name}-started" for one in workloads}
    for one in asked:
        there = {urn.rsplit("::", 1)[-1] for urn in one.dependencies}
        waits = [found[1] for urn in one.dependencies if (found := WORKLOAD.search(urn))]
        for name in waits:
            assert f"{name}-started" in {one.name, *there}, one.name
