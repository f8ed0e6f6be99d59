"""What is read of a node is what the host and the control plane say, not what a file remembers."""

from __future__ import annotations

import dataclasses
import json
import socket

import pytest
import stamina

from infra.kubernetes.node import bootstrap, inspection, membership, teardown
from infra.kubernetes.node.plan import Host, NodePlan, Ssh
from infra.kubernetes.node.resource import NodeProvider
from tests.infra.test_kubernetes_node import FIT
from validation.errors import CredentialsError, MilvusKitError, OwnershipError, UnreachableError

FIRST = NodePlan(
    cluster="test",
    host=Host(name="first", address="127.0.0.1", role="control-plane"),
    kubernetes_version="1.36.3",
    pod_subnet="10.244.0.0/16",
    service_subnet="10.96.0.0/16",
)
SECOND = FIRST.model_copy(
    update={"host": Host(name="second", address="127.0.0.1", role="worker"), "leader": FIRST.host}
)
PLANS = pytest.mark.parametrize("plan", [FIRST, SECOND], ids=["first", "second"])
ANSWERS = "echo v1.36.3"
KNOWS_NONE = "true"
SILENT = "echo was refused >&2; exit 1"


class Hosts:
    """Two hosts of a cluster, both this machine, with files of their own for the kit to look at."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.records = {
            plan.host.name: json.loads(bootstrap._record(plan, FIT, made=True))
            for plan in (FIRST, SECOND)
        }
        for name in ("admin.conf", "kubelet.conf"):
            (folder / name).write_text(f"the {name}\n", encoding="utf-8")
        monkeypatch.setattr(membership, "_ADMIN_CONF", str(folder / "admin.conf"))
        monkeypatch.setattr(membership, "_KUBELET_CONF", str(folder / "kubelet.conf"))
        monkeypatch.setattr(bootstrap, "ADMIN", str(folder / "admin.conf"))
        monkeypatch.setattr(teardown, "read_record", lambda c: self.records.get(c.host.name, {}))
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.kubectl(ANSWERS)

    def kubectl(self, body: str) -> None:
        script = self.folder / "kubectl"
        script.write_text(f'#!/bin/sh\nshift 2\necho "$*" >> {self.folder}/asked\n{body}\n')
        script.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def reset(self) -> None:
        for name in ("admin.conf", "kubelet.conf"):
            (self.folder / name).unlink()


@pytest.fixture
def hosts(monkeypatch, tmp_path):
    with (
        stamina.set_testing(True, attempts=2),
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        monkeypatch.setattr(membership, "API_PORT", listening.getsockname()[1])
        yield Hosts(tmp_path, monkeypatch)


def read(plan: NodePlan):
    props = {"plan": json.dumps(plan.document()), "kubeconfig": "before"}
    return NodeProvider().read(f"test/{plan.host.name}", props)


@PLANS
def test_a_node_that_the_control_plane_knows_is_read_as_it_was_made(hosts, plan):
    found = read(plan)
    assert found.id == f"test/{plan.host.name}"
    made = bootstrap.Made("the admin.conf\n" if plan is FIRST else "", {})
    provider = NodeProvider()
    props = {"plan": json.dumps(plan.document())}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "create", lambda _: made)
        assert found.outs == provider.create(props).outs
    name = plan.host.name
    asked = f"get node {name} --ignore-not-found -o jsonpath={{.status.nodeInfo.kubeletVersion}}"
    assert hosts.asked == [f"{asked} --request-timeout=10s"]


@PLANS
def test_a_node_that_the_control_plane_does_not_know_is_gone(hosts, plan):
    hosts.kubectl(KNOWS_NONE)
    assert read(plan).id is None


@PLANS
def test_a_host_with_nothing_but_its_record_is_no_node(hosts, plan):
    hosts.reset()
    assert read(plan).id is None
    assert hosts.asked == []


def test_a_node_whose_control_plane_is_one_of_another_cluster_or_of_none_is_gone(hosts):
    for record in ({}, {"cluster": "other", "node": "first"}):
        hosts.records["first"] = record
        assert read(SECOND).id is None
    assert hosts.asked == []


@PLANS
def test_an_api_server_that_is_down_or_answers_with_errors_is_an_error(hosts, plan, monkeypatch):
    hosts.kubectl(SILENT)
    with pytest.raises(MilvusKitError, match="was refused") as caught:
        read(plan)
    assert f"whether it has node {plan.host.name}" in str(caught.value)
    monkeypatch.setattr(membership, "API_PORT", 1)
    with pytest.raises(MilvusKitError, match="no API server listens there") as caught:
        read(plan)
    assert "may still be there" in str(caught.value)


@PLANS
def test_a_host_that_cannot_be_reached_is_an_error(plan):
    ssh = Ssh(user="root", port=1, private_key="none", host_key="ssh-ed25519 AAAA")  # type: ignore[arg-type]
    away = plan.model_copy(update={"host": plan.host.model_copy(update={"ssh": ssh})})
    with pytest.raises(UnreachableError, match=r"root@127\.0\.0\.1:1"):
        read(away)


@PLANS
def test_a_kubelet_of_another_version_is_a_change_that_replaces_nothing_and_is_noted_once(
    hosts, plan, monkeypatch
):
    monkeypatch.setattr(bootstrap, "adapt", lambda *_: None)
    hosts.kubectl("echo v1.36.9")
    found = read(plan).outs or {}
    assert found["kubelet"] == "v1.36.9"
    news = {"plan": json.dumps(plan.document())}
    seen = NodeProvider().diff("id", found, news)
    assert (seen.changes, seen.replaces) == (True, [])
    noted = NodeProvider().update("id", found, news).outs or {}
    assert not NodeProvider().diff("id", noted, news).changes
    again = NodeProvider().read("id", {**news, **noted}).outs or {}
    assert not NodeProvider().diff("id", again, news).changes


# A node that the state does not know


@pytest.fixture
def made(hosts, monkeypatch):
    """Let a host be made a node by writing down that it was, and given back likewise."""
    done: list[str] = []

    def inspect(connection):
        return dataclasses.replace(FIT, record=hosts.records.get(connection.host.name, {}))

    def give_back(connection):
        done.append("given back")
        hosts.records.pop(connection.host.name, None)

    for name in ("_prepare", "_init", "_join"):
        monkeypatch.setattr(bootstrap, name, lambda *_, name=name: done.append(name))
    monkeypatch.setattr(bootstrap.Connection, "write", lambda *_, **__: None)
    monkeypatch.setattr(bootstrap, "adapt", lambda *_: done.append("adapted"))
    monkeypatch.setattr(inspection, "inspect", inspect)
    monkeypatch.setattr(teardown, "give_back", give_back)
    monkeypatch.setattr(bootstrap.fitness, "problems", lambda *_: [])
    monkeypatch.setattr(membership, "require_free", lambda *_: None)
    return done


@PLANS
def test_a_finished_node_that_is_not_in_the_state_is_taken_as_it_is(plan, made):
    """The engine was killed while the node was made, which went on to the end."""
    assert bootstrap.create(plan).kubeconfig == ("the admin.conf\n" if plan is FIRST else "")
    assert made == ["adapted"]


@PLANS
def test_a_node_that_was_made_and_is_none_any_more_is_made_again(hosts, plan, made):
    hosts.kubectl(KNOWS_NONE)
    bootstrap.create(plan)
    assert made == ["given back", "_prepare", "_init" if plan is FIRST else "_join"]


@PLANS
def test_a_node_that_was_not_finished_is_made_again(hosts, plan, made):
    hosts.records[plan.host.name]["made"] = "no"
    bootstrap.create(plan)
    assert made[:2] == ["given back", "_prepare"]


@PLANS
@pytest.mark.parametrize("change", ["cluster", "node", "fingerprint"])
def test_a_node_of_another_plan_is_not_taken(hosts, plan, made, change):
    hosts.records[plan.host.name][change] = "other"
    with pytest.raises(OwnershipError, match="a node of a cluster that the kit made before"):
        bootstrap.create(plan)
    assert made == []


@PLANS
def test_a_node_whose_control_plane_does_not_say_is_left_as_it_is(hosts, plan, made):
    hosts.kubectl(SILENT)
    with pytest.raises(MilvusKitError, match="was refused"):
        bootstrap.create(plan)
    assert made == []


# A host that is lost for good


@PLANS
@pytest.mark.parametrize("error", [UnreachableError, CredentialsError])
def test_a_host_that_is_away_is_told_with_what_to_do_if_it_is_lost(plan, monkeypatch, error):
    def away(_):
        raise error("ssh does not get through", where="root@10.0.0.2:22", remedy="check address")

    monkeypatch.setattr(teardown, "read_record", away)
    with pytest.raises(error, match="check address") as caught:
        NodeProvider().delete("id", {"plan": json.dumps(plan.document())})
    lost = error is UnreachableError
    name = plan.host.name
    assert (f"`pulumi state delete` with the URN of node-{name}" in str(caught.value)) == lost
    assert ("`kubectl delete node second`" in str(caught.value)) == (lost and plan is SECOND)
