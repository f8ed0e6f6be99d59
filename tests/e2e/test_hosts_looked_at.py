"""The family hosts over ssh, on two containers that behave as hosts."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import time

import pytest

from tests.e2e import container_node
from validation import target as targets
from validation.hosts import looking

pytestmark = pytest.mark.timeout(300)
SECONDS = 15
"""What the family may take for three hosts over ssh."""


@pytest.fixture(scope="module")
def target(nodes):
    """The hosts, and a store to which they can connect; the one on this machine's side of them."""
    with socket.create_server((container_node.GATEWAY, 0), backlog=256) as store:
        document = {
            "schema": targets.SCHEMA,
            "name": "hosts",
            "milvus": {"uri": "http://127.0.0.1:1"},
            "storage": {
                "provider": "s3",
                "endpoint": f"http://{container_node.GATEWAY}:{store.getsockname()[1]}",
                "bucket": "milvus",
            },
            "hosts": [
                {
                    "name": name,
                    "address": node.address,
                    "private_key": {"file": str(node.key)},
                    "host_key": node.host_key,
                    "node": "worker",
                }
                for name, node in nodes.items()
            ],
        }
        yield targets.parse(document, source="test")


def _seen(target):
    return {one.name: one for one in looking.looked_at(looking.places(target))}


def test_hosts_over_ssh_are_fit_and_reach_the_store_within_the_time_that_is_promised(target):
    (first, *_) = target.hosts
    third = first.model_copy(update={"name": "third", "user": "kit"})  # an ordinary user
    start = time.monotonic()
    seen = _seen(target.model_copy(update={"hosts": (*target.hosts, third)}))
    assert time.monotonic() - start < SECONDS
    assert {name: one.why for name, one in seen.items()} == dict.fromkeys(seen, "")
    for one in seen.values():
        assert len(one.fits) >= 7
        assert [act for act in one.fits if act.wrong] == []
        assert looking.apart(one.clock, (0.0, 0.0)) < 1_000
        (connected,) = one.way.connected
        assert (connected.lost, connected.why) == (0, "")
    for name in ("control", "worker"):
        (large,) = seen[name].way.large
        assert (large.device, large.mtu, large.whole) == ("eth0", "1500", True)
    assert seen["third"].way.large == ()  # its ping may not send
    assert "does not answer to ping" in seen["third"].way.unasked[0]


def test_a_way_that_drops_large_packets_is_told_of_its_own_host_alone(target, nodes):
    def allow(size: int) -> None:
        link = container_node.link(nodes["control"].name)
        subprocess.run(["ip", "link", "set", link, "mtu", str(size)], check=True)

    allow(1400)  # of what comes from the container, which still sends 1500
    try:
        whole = {name: one.way.large[0].whole for name, one in _seen(target).items()}
    finally:
        allow(1500)
    assert whole == {"control": False, "worker": True}


def test_a_clock_that_is_behind_and_a_host_that_is_away_are_told(target, nodes):
    shim = "/usr/local/sbin/date"
    plant = (
        f'printf \'#!/bin/sh\\nexec /bin/date -d "-9 seconds" "$@"\\n\' >{shim}; chmod 755 {shim}'
    )
    assert nodes["worker"].run(plant).returncode == 0
    away = target.hosts[0].model_copy(update={"port": 2})
    try:
        seen = _seen(target.model_copy(update={"hosts": (away, *target.hosts[1:])}))
    finally:
        nodes["worker"].run(f"rm {shim}")
    assert 7_000 < looking.apart(seen["worker"].clock, (0.0, 0.0)) < 9_500
    assert "ssh does not get through" in seen["control"].why
    assert dataclasses.replace(seen["control"], why="") == looking.Seen("control")
