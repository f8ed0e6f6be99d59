"""Hosts that are reached over SSH and are not what they should be are refused, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.kubernetes.node import bootstrap
from infra.kubernetes.node.connection import connected
from tests.e2e.container_node import ContainerNode
from tests.e2e.container_root import make_key
from tests.e2e.two_nodes import key_lines, plan
from validation.errors import ConfigurationError, CredentialsError

pytestmark = [pytest.mark.ends_the_stack, pytest.mark.timeout(600)]


def _files(node: ContainerNode) -> str:
    return node.run(
        "find / -xdev -newermt '-1 hour' -type f -not -path '/tmp/*' -not -path '/var/log/*' | sort"
    ).stdout


def test_every_reason_why_a_host_will_not_do_is_seen_over_ssh_and_nothing_is_changed(nodes):
    node = nodes["worker"]
    plant = """printf 'Filename Type\\n/planted-swap file\\n' > /tmp/swaps
mount --bind /tmp/swaps /proc/swaps
touch /run/docker.sock
setsid socat TCP-LISTEN:10250,reuseaddr,fork /dev/null </dev/null >/dev/null 2>&1 &
until ss -ltn | grep -q :10250; do sleep 0.05; done"""
    assert node.run(plant).returncode == 0
    before = _files(node)
    wrong = plan(node, user="kit").model_copy(update={"kubernetes_version": "1.35.0"})
    try:
        with pytest.raises(ConfigurationError) as caught:
            bootstrap.create(wrong)
    finally:
        node.run("umount /proc/swaps; rm /run/docker.sock; pkill socat")
    for told in ("user 1000", "/planted-swap", "kubeadm is v1.36.3", "10250", "docker.sock"):
        assert told in str(caught.value)
    assert _files(node) == before


def test_a_host_that_shows_another_host_key_is_not_talked_to(nodes):
    with pytest.raises(CredentialsError, match="another host key"):
        bootstrap.create(plan(nodes["worker"], host_key=nodes["control"].host_key))


def test_a_key_that_the_host_does_not_know_is_told_from_a_host_that_is_away(nodes, tmp_path):
    other = make_key(tmp_path / "key").read_text(encoding="utf-8")
    with pytest.raises(CredentialsError, match="does not let this key in") as caught:
        bootstrap.create(plan(nodes["worker"], private_key=other))
    assert not any(line in str(caught.value) for line in other.splitlines()[1:-1])


def test_while_a_host_is_connected_no_process_has_its_key_among_its_arguments(nodes):
    node = nodes["worker"]
    with connected(plan(node).host) as connection:
        connection.run("true", what="opening a connection")
        there = b"".join(_arguments())
    assert b"root@" + node.address.encode() in there
    assert not any(line.encode() in there for line in key_lines(node))


def _arguments() -> Iterator[bytes]:
    for one in Path("/proc").glob("[0-9]*"):
        try:
            yield (one / "cmdline").read_bytes() + (one / "environ").read_bytes()
        except OSError:
            continue
