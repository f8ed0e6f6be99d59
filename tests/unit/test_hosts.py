"""Machines are looked at over real connections, and each thing that is wrong with one is told."""

from __future__ import annotations

import dataclasses
import http.server
import os
import stat
import subprocess
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

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
from validation.suite.checks import test_hosts as hosts_check
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
HEAD = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
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
        ({"devices": (HEAD,)}, "NVMe", HEAD),
        ({"devices": (HEAD,), "transports": ("tcp",)}, "NVMe", "reached by tcp"),
        ({"devices": (HEAD,), "transports": ("pcie,tcp,",)}, "NVMe", "reached by pcie,tcp"),
        ({"devices": (*FIT.devices, HEAD), "transports": ("pcie", "rdma")}, "NVMe", "by rdma"),
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


@pytest.mark.parametrize("transports", [("pcie",), ("pcie,",), ("?",), ()])
def test_a_local_device_is_fit_whether_or_not_the_kernel_tells_its_transport(transports):
    assert not any(fitness.held(dataclasses.replace(FIT, transports=transports), ALL).values())


def test_a_device_of_several_local_controllers_is_fit():
    local = dataclasses.replace(FIT, devices=(HEAD,), transports=("pcie,",))
    assert not any(fitness.held(local, ALL).values())


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
    lines = "connected=10.0.0.9 20 0 \nlarge=10.0.0.9 eth0 9000 no no\ndone=yes\n"
    way = network.way(lines, 443)
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


@pytest.mark.parametrize(
    ("says", "counted", "told"),
    [
        ("echo NVIDIA-SMI has failed because it could not reach the driver.; exit 9", 0, "because"),
        ("echo Failed to initialize NVML: Driver/library version mismatch; exit 18", 0, "NVML"),
        ("echo No devices were found", 0, "No devices were found"),
        ("echo No devices were found; exit 6", 0, "No devices were found"),
        ("echo 570.86.15; exit 15", 0, "570.86.15"),
        ("echo 570.86.15; echo '[Unknown Error]'", 1, "[Unknown Error]"),
        ("echo 570.86.15; echo 570.86.15", 2, ""),
    ],
)
def test_only_versions_of_an_nvidia_smi_that_ends_well_are_drivers(programs, says, counted, told):
    program(programs, "nvidia-smi", says)
    with connection.on_host(targets.Host(name="here")) as shell:
        lines = shell.run(fitness.script(Use("host", gpus=2)), what="looking")
    facts: dict[str, Any] = fitness.facts(fitness.told(lines))
    assert len(facts["drivers"]) == counted
    why = fitness.held(Machine(**facts), Use("host", gpus=2))["GPUs"]
    assert told in why
    assert bool(why) == (counted < 2)


def disk(tmp_path, mountinfo, links, transports=()):
    """Return what the script tells of a folder, by a /sys and a /proc of the test's own."""
    for path, leads in links.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / leads).mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to(tmp_path / leads)
    for path, transport in dict(transports).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{transport}\n")
    (tmp_path / "mountinfo").write_text(f"36 35 {mountinfo}\n")
    script = fitness.script(Use("host", nvme="/data"))
    script = script.replace("/sys/", f"{tmp_path}/").replace(
        "/proc/self/mountinfo", f"{tmp_path}/mountinfo"
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    told = fitness.told(done.stdout)
    return told["type"], told["device"].replace(f"{tmp_path}/", "").split(), told["transport"]


def test_devices_below_a_btrfs_are_those_of_its_source_and_of_its_others(programs, tmp_path):
    program(programs, "df", "echo; echo x x x x x /data")
    links = {"class/block/nvme0n1": "pci/nvme/nvme0/nvme0n1", "class/block/sdb": "pci/sdb"}
    links |= {f"fs/btrfs/uuid/devices/{name.rpartition('/')[2]}": at for name, at in links.items()}
    mounted = "0:40 / /data rw shared:1 - btrfs /dev/nvme0n1 rw"
    transports = {"pci/nvme/nvme0/transport": "pcie"}
    found = disk(tmp_path, mounted, links, transports)
    assert found == ("btrfs", ["pci/nvme/nvme0/nvme0n1", "pci/sdb"], "pcie, ? ")


def test_a_btrfs_on_a_volume_that_has_no_node_here_is_found_by_its_name(programs, tmp_path):
    program(programs, "df", "echo; echo x x x x x /data")
    links = {"class/block/dm-3": "virtual/dm-3", "virtual/dm-3/slaves/a": "pci/nvme/nvme1/nvme1n1"}
    (tmp_path / "virtual/dm-3/dm").mkdir(parents=True)
    (tmp_path / "virtual/dm-3/dm/name").write_text("vg-data\n")
    found = disk(tmp_path, "0:40 / /data rw - btrfs /dev/mapper/vg-data rw", links)
    assert found[1] == ["pci/nvme/nvme1/nvme1n1"]


def test_of_a_device_that_several_controllers_reach_each_transport_is_told(programs, tmp_path):
    program(programs, "df", "echo; echo x x x x x /data")
    head = "nvme-subsystem/nvme-subsys0"
    links = {
        "dev/block/259:0": f"{head}/nvme0n1",
        f"{head}/nvme0": "fabrics/nvme0",
        f"{head}/nvme1": "pci/nvme1",
    }
    transports = {"fabrics/nvme0/transport": "tcp", "pci/nvme1/transport": "pcie"}
    found = disk(tmp_path, "259:0 / /data rw - xfs /dev/nvme0n1 rw", links, transports)
    assert found == ("xfs", [f"{head}/nvme0n1"], "pcie,tcp, ")


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


@pytest.mark.parametrize("end", ["exit 1", "exit 0"])
def test_an_answer_that_breaks_off_is_none(programs, end):
    program(programs, "kubectl", f"echo machine=x86_64; echo cpus=1; {end}")
    with connection.in_pod(targets.Kubernetes(namespace="ns"), "milvus-0", "milvus") as shell:
        place = looking.Place("milvus-0", Use("pod"), lambda: nullcontext(shell), None, "")
        (seen,) = looking.looked_at([place])
    assert "looking at the machine: its answer broke off" in seen.why
    assert seen.fits == looking.Seen("").fits
    with pytest.raises(MeasurementError, match="broke off"):
        network.way("connected=10.0.0.9 20 0 \ndone=ye", 443)


def clocks(*intervals):
    seen = [looking.Seen(f"m{at}", clock=one) for at, one in enumerate(intervals)]
    return [
        hosts_check.clock_handed(one, [it for it in seen if it is not one]).get("samples")
        for one in seen
    ]


def test_clocks_are_held_against_each_other_and_not_against_this_one():
    assert clocks((-9_010.0, -8_990.0), (-9_005.0, -8_995.0)) == [[0.0], [0.0]]
    assert clocks((-810.0, -790.0), (690.0, 710.0)) == [[1_480.0], [1_480.0]]
    assert clocks((7_000.0, 7_010.0)) == [[7_000.0]]  # alone, there is no other to hold it against


def test_a_clock_that_is_known_too_loosely_tells_what_it_forces_and_no_more():
    assert clocks((-900.0, 900.0), (0.0, 10.0)) == [None, None]
    assert clocks((-900.0, 900.0), (0.0, 10.0), (5.0, 9.0)) == [None, [0.0], [0.0]]
    assert clocks((-900.0, 900.0), (2_000.0, 2_010.0)) == [[1_100.0], [1_100.0]]


class Cluster:
    """What an API server tells of two workloads, the first of which is broken in some way."""

    broken = ""

    def __init__(self, _):
        pass

    def workload(self, one):
        if one.name == "bad" and self.broken == "closed":
            raise MeasurementError("pods may not be read: HTTP 403")
        return one

    def pods(self, live):
        return [{"metadata": {"name": f"{live.name}-0"}, "status": {"phase": "Running"}}]

    def config_map(self, one):
        file = self.broken if one.name == "bad" else "minio: {address: s3, port: 9000}"
        return {"data": {"user.yaml": file}}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("closed", "pods may not be read: HTTP 403"),
        ("minio: [", "ConfigMap bad: user.yaml of its ConfigMap is no configuration"),
        ("minio: {address: s3, port: many}", "ConfigMap bad: user.yaml"),
        ("minio: {address: s3, port: [1]}", "ConfigMap bad: user.yaml"),
    ],
)
def test_a_workload_that_cannot_be_read_says_so_and_the_others_are_looked_at(
    monkeypatch, store, broken, told
):
    monkeypatch.setattr(looking, "Objects", Cluster)
    monkeypatch.setattr(Cluster, "broken", broken)
    workloads = [
        targets.Workload(kind="Deployment", name=name, image="milvus") for name in ("bad", "good")
    ]
    kubernetes = targets.Kubernetes(namespace="ns", workloads=tuple(workloads))
    target = target_of(store, {"name": "here"}).model_copy(update={"kubernetes": kubernetes})
    here, bad, good = looking.places(target)
    assert (here.name, bad.name, good.name) == ("here", "bad", "good-0")
    assert good.store == ("s3", 9000)
    (seen,) = looking.looked_at([bad])
    assert told in seen.why


def test_a_machine_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(connection, "_SECONDS", 0.2)
    with (
        connection.on_host(targets.Host(name="here")) as shell,
        pytest.raises(MeasurementError, match="no answer within"),
    ):
        shell.run("sleep 30", what="waiting")
