"""Machines are looked at over real connections, and each thing that is wrong with one is told."""

from __future__ import annotations

import dataclasses
import http.server
import os
import stat
import threading
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from ssh_server import serving

from validation import target as targets
from validation.common.resources import find
from validation.errors import ConfigurationError, MeasurementError
from validation.hosts import connection, fitness, looking, network
from validation.hosts.fitness import Machine, Use
from validation.runs.folder import assemble
from validation.runs.profiles import profile_named
from validation.runs.pytest_run import Suite, run_here
from validation.selftest.faults import FAULTS
from validation.selftest.scene import HOSTS
from validation.verdicts import rules
from validation.verdicts.verdict import Outcome

FIT = Machine(
    machine="x86_64",
    swap=(),
    cpus=8,
    memory_kib=32_000_000,
    disk_kib=90_000_000,
    simd=frozenset({"avx2"}),
    open_files=1_048_576,
    max_map_count=262_144,
    overcommit=1,
    aio=1_048_576,
    file_system="xfs",
    devices=("/sys/devices/pci0000:00/0000:00:1d.0/nvme/nvme0/nvme0n1/nvme0n1p2",),
    drivers=("570.86.15",),
    runtime=("/usr/bin/nvidia-ctk",),
)
ALL = Use("node", leads=True, nvme="/data", gpus=1)
FABRIC = "/sys/devices/virtual/nvme-fabrics/ctl/nvme1/nvme1n1"


def test_a_machine_that_has_everything_is_fit():
    assert dict.fromkeys(fitness.NEEDS, "") == fitness.held(FIT, ALL)


@pytest.mark.parametrize(
    ("fault", "name", "told"),
    [
        ({"cpus": 1}, "CPUs", "1 CPU"),
        ({"memory_kib": 900_000}, "memory", "878 MiB"),
        ({"disk_kib": 3_000_000}, "free disk", "2.9 GiB"),
        ({"swap": ("/dev/sda2",)}, "swap", "/dev/sda2"),
        ({"simd": frozenset()}, "CPU features", "x86_64"),
        ({"open_files": 16_383}, "open files", "16383"),
        ({"max_map_count": 65_529}, "vm.max_map_count", "65529"),
        ({"overcommit": 2}, "vm.overcommit_memory", "is 2"),
        ({"aio": 65_535}, "fs.aio-max-nr", "65535"),
        ({"file_system": "overlay"}, "NVMe", "on overlay"),
        ({"file_system": ""}, "NVMe", "is the folder there"),
        ({"devices": (*FIT.devices, "/sys/devices/virtio1/block/vda")}, "NVMe", "virtio1"),
        ({"devices": (FABRIC,)}, "NVMe", "local NVMe device"),
        ({"devices": ()}, "NVMe", "no device"),
        ({"drivers": ()}, "GPUs", "shows 0 GPUs, 1 are"),
        ({"runtime": ()}, "GPU runtime", "NVIDIA Container Toolkit"),
    ],
)
def test_what_is_missing_is_told_and_nothing_else(fault, name, told):
    wrong = {
        key: why for key, why in fitness.held(dataclasses.replace(FIT, **fault), ALL).items() if why
    }
    assert list(wrong) == [name]
    assert told in wrong[name]


def test_a_pod_and_a_host_of_no_cluster_are_not_asked_what_nodes_are():
    nothing = dataclasses.replace(FIT, cpus=1, memory_kib=1, disk_kib=1, aio=1, drivers=())
    assert not any(fitness.held(nothing, Use("pod")).values())
    swapping = dataclasses.replace(FIT, swap=("/swapfile",))
    assert not any(fitness.held(swapping, Use("host")).values())
    assert any(fitness.held(swapping, Use("pod")).values())


@pytest.fixture(scope="module")
def ssh(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture(scope="module")
def store():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(20)


def over(ssh, name, **more):
    return {
        "name": name,
        "address": "127.0.0.1",
        "port": ssh.port,
        "user": "root",
        "private_key": {"file": str(ssh.key)},
        "host_key": ssh.host_key,
        **more,
    }


def target_of(store, *hosts):
    return targets.parse(
        {
            "schema": targets.SCHEMA,
            "name": "hosts",
            "milvus": {"uri": "http://127.0.0.1:1"},
            "storage": {"provider": "s3", "endpoint": store, "bucket": "milvus"},
            "hosts": list(hosts),
        },
        source="test",
    )


def gates(target, folder):
    file = find("stacks/default.slo.yaml")
    targets.save(target, folder / "target.yaml")
    asked = Suite(folder / "target.yaml", file, "smoke", folder, families=("hosts",), quiet=True)
    run_here(asked)
    mine = [rule for rule in rules.load(file) if rule.metric.startswith("hosts.")]
    results = assemble(folder, mine, rules_source=file.name, started=datetime.now(UTC))
    assert [check.outcome for check in results.checks if check.outcome == "error"] == []
    return {(gate.gate, gate.labels.get("machine")): gate for gate in results.gates}


def test_three_machines_over_ssh_pass(ssh, store, tmp_path):
    target = target_of(store, *(over(ssh, f"host-{at}") for at in range(3)))
    found = gates(target, tmp_path)
    for gate in ("hosts.fit", "hosts.clocks", "hosts.store_lost"):
        for at in range(3):
            assert found[gate, f"host-{at}"].outcome is Outcome.PASS
    assert any("/proc/sys/vm/max_map_count" in one for one in ssh.commands)


def test_a_machine_that_cannot_be_reached_is_not_measured_and_the_others_are(ssh, store, tmp_path):
    found = gates(target_of(store, over(ssh, "there"), over(ssh, "away", port=1)), tmp_path)
    assert found["hosts.fit", "there"].outcome is Outcome.PASS
    for gate in ("hosts.fit", "hosts.clocks", "hosts.store_lost", "hosts.store_mtu"):
        away = found[gate, "away"]
        assert away.outcome is Outcome.NOT_MEASURED
        assert "root@127.0.0.1:1: ssh does not get through" in away.reason
        assert "\n" not in away.reason


def test_a_foreign_host_key_and_a_key_that_is_not_let_in_are_told_apart(ssh, store, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with serving(other) as foreign:
        target = target_of(
            store,
            over(ssh, "masked", host_key=foreign.host_key),
            over(ssh, "locked", private_key={"file": str(foreign.key)}),
        )
        masked, locked = looking.looked_at(looking.places(target))
    assert "shows another host key" in masked.why
    assert "does not let this key in" in locked.why
    missing = target_of(store, over(ssh, "keyless", private_key={"file": "/no/key"}))
    (keyless,) = looking.looked_at(looking.places(missing))
    assert "/no/key: cannot read the secret file" in keyless.why


def test_no_secret_and_no_key_is_in_what_is_run(ssh, store, monkeypatch):
    monkeypatch.setenv("S3_SECRET_KEY", "hidden-secret")
    (there, here) = looking.places(target_of(store, over(ssh, "there"), {"name": "here"}))
    with here.opened() as shell:
        assert "hidden-secret" not in shell.run("env", what="looking")
    with there.opened() as shell:
        shell.run("true; echo", what="looking")
    assert not any("hidden" in one or "PRIVATE KEY" in one for one in ssh.commands)


def test_a_target_without_hosts_declares_nothing_to_look_at(store, tmp_path):
    found = gates(target_of(store), tmp_path)
    assert {gate.outcome for (name, _), gate in found.items() if name.startswith("hosts")} == {
        Outcome.NOT_MEASURED
    }
    assert not any(
        gate.required for (name, _), gate in found.items() if name != "checks.assertions"
    )


def test_two_hosts_of_one_name_are_refused(store):
    with pytest.raises(ConfigurationError, match="two hosts have the same name: one"):
        target_of(store, {"name": "one"}, {"name": "one"})


PLANTED = [fault for fault in FAULTS.values() if fault.scene is HOSTS]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_each_fault_turns_its_own_gate_red(fault, store, tmp_path, monkeypatch):
    monkeypatch.setattr(network, "_SECONDS", 1)
    with fault.plant(target_of(store, {"name": "here"}), profile_named("smoke")) as target:
        found = gates(target, tmp_path)
    red = {gate.rule.metric for gate in found.values() if gate.outcome is Outcome.FAIL}
    assert {name for name in red if fault.turns_red(found_rule(found, name))} == red != set()


def found_rule(found, metric):
    return next(gate.rule for gate in found.values() if gate.rule.metric == metric)


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


PING = """case "$*" in -V) echo "ping from iputils 20240117";; *"-M do"*) exit {whole};; esac"""


@pytest.mark.parametrize(("whole", "outcome"), [(0, Outcome.PASS), (1, Outcome.FAIL)])
def test_large_packets_that_get_lost_are_told(programs, store, tmp_path, whole, outcome):
    program(programs, "ping", PING.format(whole=whole))
    program(programs, "ip", "echo 127.0.0.1 dev lo src 127.0.0.1")
    found = gates(target_of(store, {"name": "here"}), tmp_path)
    gate = found["hosts.store_mtu", "here"]
    assert gate.outcome is outcome
    assert outcome is Outcome.PASS or "which lo sends, do not get through" in gate.reason


def test_an_address_that_does_not_answer_to_ping_says_nothing_of_large_packets():
    way = network.way("connected=10.0.0.9 20 0 \nlarge=10.0.0.9 eth0 9000 no no\n", 443)
    assert (way.large, way.unasked) == ((), ("10.0.0.9 does not answer to ping",))


def test_gpus_and_the_folder_for_diskann_are_looked_at_on_the_machine(programs, tmp_path):
    program(programs, "nvidia-smi", "echo 570.86.15")
    program(programs, "nvidia-ctk", "true")
    use = Use("node", nvme=str(tmp_path), gpus=1)
    with connection.on_host(targets.Host(name="here")) as shell:
        told = fitness.told(shell.run(fitness.script(use), what="looking"))
    facts = fitness.facts(told)
    assert facts["drivers"] == ("570.86.15",)
    assert facts["runtime"] == (str(programs / "nvidia-ctk"),)
    assert facts["file_system"]


KUBECTL = """
while [ "$1" != exec ]; do printf '%s ' "$1" >> {log}; shift; done
echo "$2" >> {log}
shift 3
exec "$@"
"""


def test_a_pod_is_looked_at_through_kubectl(programs, store, tmp_path):
    log = tmp_path / "log"
    program(programs, "kubectl", KUBECTL.format(log=log))
    kubeconfig = targets.SecretRef.model_validate({"value": "a kubeconfig"})
    declared = targets.Kubernetes(namespace="milvus", kubeconfig=kubeconfig, context="mine")
    place = looking.Place(
        "milvus-0",
        Use("pod"),
        lambda: connection.in_pod(declared, "milvus-0", "milvus"),
        ("127.0.0.1", int(store.rpartition(":")[2])),
        "kubernetes",
    )
    (seen,) = looking.looked_at([place])
    assert seen.why == ""
    assert not any(act.wrong for act in seen.fits)
    assert [(way.lost, way.why) for way in seen.way.connected] == [(0, "")]
    asked = log.read_text().split()
    assert {"--context=mine", "-n", "milvus", "-c", "milvus-0"} <= set(asked)


def test_what_kubectl_says_is_the_reason(programs):
    program(programs, "kubectl", 'echo "Error from server (Forbidden): no exec" >&2; exit 1')
    declared = targets.Kubernetes(namespace="milvus")
    with connection.in_pod(declared, "milvus-0", "milvus") as shell:
        place = looking.Place("milvus-0", Use("pod"), lambda: nullcontext(shell), None, "")
        (seen,) = looking.looked_at([place])
    assert (
        seen.why == "pod milvus-0: looking at the machine: Error from server (Forbidden): no exec"
    )


def test_a_machine_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(connection, "_SECONDS", 0.2)
    with (
        connection.on_host(targets.Host(name="here")) as shell,
        pytest.raises(MeasurementError, match="no answer within"),
    ):
        shell.run("sleep 30", what="waiting")
