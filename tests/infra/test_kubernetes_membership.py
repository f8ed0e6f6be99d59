"""A node's place in its cluster: not taken twice, not left with pods that may not move."""

from __future__ import annotations

import json
import socket

import pytest
import stamina

from infra.kubernetes.node import bootstrap, membership, teardown
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.plan import Host, NodePlan
from infra.kubernetes.node.resource import NodeProvider
from validation.errors import (
    CredentialsError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
)

LEADER = Host(name="first", address="127.0.0.1", role="control-plane")
PLAN = NodePlan(
    cluster="test",
    host=Host(name="second", address="127.0.0.1", role="worker"),
    kubernetes_version="1.36.3",
    pod_subnet="10.244.0.0/16",
    service_subnet="10.96.0.0/16",
    leader=LEADER,
)
ATTEMPTS = 3
SILENT_PORT = 1
"""Nothing listens there. One that was listened on may be somebody else's as soon as it is free."""
GET = "get node second --ignore-not-found -o name --request-timeout=10s"
DRAIN = "drain second --ignore-daemonsets --delete-emptydir-data --force --timeout=120s"
DELETE = "delete node second --ignore-not-found --timeout=30s --request-timeout=10s"


@pytest.fixture(autouse=True)
def record(monkeypatch, tmp_path):
    """Let the hosts of these tests be nodes of a cluster: write their record."""
    path = tmp_path / "record.json"
    monkeypatch.setattr(teardown, "RECORD", str(path))

    def write(cluster: str, node: str) -> None:
        path.write_text(json.dumps({"cluster": cluster, "node": node}), encoding="utf-8")

    write("test", "first")
    return write


@pytest.fixture(autouse=True)
def api_server(monkeypatch):
    """Let something listen on the port of the API server."""
    with (
        stamina.set_testing(True, attempts=ATTEMPTS),
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        monkeypatch.setattr(membership, "API_PORT", listening.getsockname()[1])
        yield


@pytest.fixture
def kubectl(monkeypatch, tmp_path):
    """Answer for a control plane: the body of a shell script that is run as ``kubectl``."""

    def answers(body: str) -> None:
        script = tmp_path / "kubectl"
        script.write_text(f'#!/bin/sh\nshift 2\necho "$*" >> {tmp_path}/asked\n{body}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    yield answers
    assert (tmp_path / "asked").exists()


def test_a_name_that_another_node_has_is_not_taken(kubectl):
    kubectl("echo node/second")
    with connected(LEADER) as leader, pytest.raises(OwnershipError, match="node/second"):
        membership.require_free(PLAN, leader)


def test_a_control_plane_of_another_cluster_is_not_joined(record):
    record("other", "first")
    with connected(LEADER) as leader, pytest.raises(OwnershipError, match="of cluster other"):
        membership.require_free(PLAN, leader)


def test_nodes_of_another_cluster_are_neither_drained_nor_forgotten(record, monkeypatch, tmp_path):
    record("other", "first")
    script = tmp_path / "kubectl"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    membership.drain(PLAN)
    membership.forget(PLAN)
    first = PLAN.model_copy(update={"host": LEADER, "leader": None})
    with pytest.raises(OwnershipError, match="of cluster other"):
        bootstrap.adapt(first.model_copy(update={"cni_manifest": "new"}), first)
    assert not (tmp_path / "asked").exists()


def test_a_control_plane_that_lets_nobody_in_is_not_taken_for_one_that_is_away(monkeypatch):
    def refuse(_):
        raise CredentialsError("the host does not let this key in")

    monkeypatch.setattr(membership, "connected", refuse)
    with pytest.raises(CredentialsError):
        membership.drain(PLAN)


def test_a_node_that_cannot_be_forgotten_is_told_with_what_was_done_before(kubectl):
    kubectl('[ "$1" != delete ] || { echo forbidden >&2; exit 1; }')
    with pytest.raises(MilvusKitError, match="forbidden") as caught:
        membership.forget(PLAN)
    assert "the host was given back" in str(caught.value)


def test_pods_that_may_not_go_keep_the_host_as_it_is(kubectl, record, tmp_path):
    kubectl('[ "$1" != drain ] || { echo "pod etcd-0 violates its budget" >&2; exit 1; }; echo ok')
    record("test", "second")
    with pytest.raises(MilvusKitError, match="etcd-0 violates its budget") as caught:
        NodeProvider().delete("id", {"plan": PLAN.model_dump_json()})
    assert "nothing was changed on the host" in str(caught.value)
    assert (tmp_path / "record.json").exists()


def test_a_host_that_was_given_back_before_is_forgotten_without_waiting_for_its_pods(
    kubectl, monkeypatch, tmp_path
):
    # No kubelet ends them there any more, so that they would be waited for in vain each time.
    kubectl('[ "$1" != drain ] || { echo "timeout reached" >&2; exit 1; }; echo node/second')
    records = {"first": {"cluster": "test", "node": "first"}}
    monkeypatch.setattr(teardown, "read_record", lambda there: records.get(there.host.name, {}))
    NodeProvider().delete("id", {"plan": PLAN.model_dump_json()})
    assert asked(tmp_path) == [DELETE]


def asked(folder) -> list[str]:
    return (folder / "asked").read_text(encoding="utf-8").splitlines()


def test_a_control_plane_that_is_away_does_not_keep_a_host_from_being_given_back(
    kubectl, tmp_path, monkeypatch, caplog
):
    kubectl("echo was refused >&2; exit 1")
    monkeypatch.setattr(membership, "API_PORT", SILENT_PORT)
    membership.drain(PLAN)
    membership.forget(PLAN)
    assert asked(tmp_path) == [GET] * ATTEMPTS + [DELETE] * ATTEMPTS
    drained, forgotten = caplog.messages
    assert drained == "skipped: draining node second; first: no API server listens there"
    assert forgotten == "skipped: deleting node second; first: no API server listens there"


@pytest.mark.parametrize("closed", [True, False], ids=["restarts", "answers-with-errors"])
def test_an_api_server_that_comes_back_drains_the_node(
    kubectl, tmp_path, monkeypatch, caplog, closed
):
    kubectl(f"""echo x >> {tmp_path}/times
[ "$(wc -l < {tmp_path}/times)" -ge {ATTEMPTS} ] || {{ echo leader changed >&2; exit 1; }}
echo node/second""")
    if closed:
        monkeypatch.setattr(membership, "API_PORT", SILENT_PORT)
    membership.drain(PLAN)
    assert asked(tmp_path) == [GET] * ATTEMPTS + [DRAIN]
    assert caplog.messages == []


def test_an_api_server_that_is_there_and_does_not_say_keeps_the_host_as_it_is(kubectl, tmp_path):
    kubectl("echo 'Error from server: etcdserver: no leader' >&2; exit 1")
    with pytest.raises(MilvusKitError, match="etcdserver: no leader") as caught:
        membership.drain(PLAN)
    assert "nothing was changed on the host" in str(caught.value)
    assert asked(tmp_path) == [GET] * ATTEMPTS


def test_a_node_that_the_cluster_does_not_know_is_not_drained(kubectl, tmp_path, caplog):
    kubectl("true")
    membership.drain(PLAN)
    assert asked(tmp_path) == [GET]
    assert caplog.messages == [
        "skipped: draining node second; first: cluster test has no node of this name"
    ]


def test_a_host_of_the_control_plane_that_is_away_is_told(monkeypatch, caplog):
    def away(_):
        raise UnreachableError("ssh does not get through: no route to host")

    monkeypatch.setattr(teardown, "read_record", away)
    membership.drain(PLAN)
    assert "ssh does not get through: no route to host" in caplog.text


def test_a_connection_that_breaks_while_pods_move_is_no_control_plane_that_is_gone(
    monkeypatch, kubectl
):
    kubectl("echo node/second")
    reached = Connection.attempt

    def broken(self, script, *, seconds=0.0):
        if " drain " in script:
            raise UnreachableError("ssh does not get through: broken pipe")
        return reached(self, script, seconds=seconds)

    monkeypatch.setattr(Connection, "attempt", broken)
    with pytest.raises(UnreachableError, match="broken pipe"):
        membership.drain(PLAN)


def test_a_node_that_never_gets_ready_is_told_with_its_conditions(kubectl):
    kubectl("""case "$1" in
    get) ;;
    wait) echo timed out >&2; exit 1 ;;
    describe) printf 'Conditions:\\n  Ready False network plugin not initialized\\nAddresses:\\n' ;;
esac""")
    with connected(LEADER) as leader, pytest.raises(MilvusKitError, match="not initialized"):
        membership.await_ready(leader, "second")
