"""What makes a host unfit, what is written to it, and what replaces a node."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from infra.kubernetes.node import files, fitness, inspection, teardown
from infra.kubernetes.node.connection import Connection, connected
from infra.kubernetes.node.inspection import Facts, Unit
from infra.kubernetes.node.plan import STATE, Host, NodePlan, Ssh
from infra.kubernetes.node.resource import NodeProvider
from validation.errors import ConfigurationError, MilvusKitError, OwnershipError, UnreachableError

HOST = Host(name="one", address="10.0.0.1", role="control-plane")
PLAN = NodePlan(
    cluster="test",
    host=HOST,
    kubernetes_version="1.36.3",
    pod_subnet="10.244.0.0/16",
    service_subnet="10.96.0.0/16",
)
FIT = Facts(
    uid=0,
    os="debian 12",
    machine="x86_64",
    systemd=True,
    cgroup=2,
    swap=(),
    cpus=2,
    memory_kib=4_000_000,
    disk_kib=50_000_000,
    simd=frozenset({"avx2"}),
    open_files=1_048_576,
    max_map_count=65_530,
    overcommit=0,
    aio=65_536,
    capabilities=0x1FFFFFFFFFF,
    kernel=("net/ipv4/ip_forward=0",),
    links=("lo", "eth0"),
    networks=(),
    firewall="",
    chains=(),
    addresses=("127.0.0.1", "10.0.0.1"),
    cni_folder="/opt/cni/bin",
    runtimes=(),
    old=(),
    ports=frozenset({22}),
    holders={6443: "process 12 (apiserver)"},
    kubeadm="v1.36.3",
    kubelet="v1.36.3",
    kubelet_unit=Unit(),
    missing=(),
    record={},
)


def test_a_fit_host_has_no_problem():
    assert fitness.problems(FIT, PLAN) == []


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"uid": 1000}, "user 1000"),
        ({"cpus": 1}, "1 CPU"),
        ({"memory_kib": 900_000}, "878 MiB"),
        ({"disk_kib": 3_000_000}, "2.9 GiB free"),
        ({"swap": ("/dev/sda2",)}, "/dev/sda2"),
        ({"simd": frozenset()}, "none of SSE4.2"),
        ({"open_files": 1_024}, "1024 open files"),
        ({"max_map_count": 30_000}, "vm.max_map_count is 30000"),
        ({"overcommit": 2}, "vm.overcommit_memory is 2"),
        ({"missing": ("conntrack",)}, "conntrack"),
        ({"cni_folder": ""}, "containernetworking-plugins"),
        ({"kubelet": "v1.35.0"}, "kubelet is v1.35.0"),
        ({"addresses": ("127.0.0.1",)}, "10.0.0.1 is on none"),
        ({"ports": frozenset({6443})}, "6443 by process 12 (apiserver)"),
        ({"ports": frozenset({10250})}, "10250 by an unknown process"),
        ({"runtimes": ("/run/docker.sock",)}, "/run/docker.sock"),
    ],
)
def test_each_fault_of_a_host_is_named_alone(fault, told):
    found = fitness.problems(dataclasses.replace(FIT, **fault), PLAN)
    assert len(found) == 1
    assert told in found[0]


def test_all_faults_are_told_at_once_and_nothing_was_changed():
    wrong = dataclasses.replace(FIT, swap=("/swap",), cpus=1)
    with pytest.raises(ConfigurationError, match="nothing was changed") as caught:
        fitness.require_fit(wrong, PLAN)
    assert "/swap" in str(caught.value)
    assert "1 CPU" in str(caught.value)


@pytest.mark.parametrize(
    "there", [{"record": {"cluster": "other"}}, {"old": ("/etc/kubernetes/kubelet.conf",)}]
)
def test_a_host_that_is_a_node_already_is_not_touched(there):
    with pytest.raises(OwnershipError, match="one"):
        fitness.require_fit(dataclasses.replace(FIT, **there), PLAN)


def test_an_etcd_that_is_not_ours_is_seen_and_an_empty_folder_of_a_package_is_not(
    monkeypatch, tmp_path
):
    """What would be removed with the node: Debian's etcd has its data below ``default``."""
    monkeypatch.setattr(
        inspection, "_OLD_SETTINGS", tuple(f"{tmp_path}{one}" for one in inspection._OLD_SETTINGS)
    )
    (tmp_path / "etc/kubernetes/manifests").mkdir(parents=True)
    with connected(HOST) as connection:
        assert inspection.inspect(connection).old == ()
        (tmp_path / "var/lib/etcd/default").mkdir(parents=True)
        facts = inspection.inspect(connection)
    assert facts.old == (f"{tmp_path}/var/lib/etcd/default",)
    with pytest.raises(OwnershipError, match="an etcd that the kit did not make"):
        fitness.require_fit(dataclasses.replace(facts, record={}), PLAN)


def test_this_machine_can_be_looked_at():
    here = Host(name="here", address="127.0.0.1", role="worker")
    with connected(here) as connection:
        found = inspection.inspect(connection)
    assert found.cpus >= 1
    assert "127.0.0.1" in found.addresses


def test_the_process_that_has_a_port_is_named():
    here = Host(name="here", address="127.0.0.1", role="worker")
    with socket.create_server(("127.0.0.1", 0)) as taken, connected(here) as connection:
        found = inspection.inspect(connection)
        port = taken.getsockname()[1]
    assert port in found.ports
    assert f"process {os.getpid()} (" in found.holders[port]


def test_a_script_is_no_argument_and_cannot_eat_itself():
    connection = Connection(HOST, ("/bin/sh", "-ec", 'eval "$(cat)"'))
    output = connection.run("cat\ntr '\\0' ' ' < /proc/$$/cmdline\necho end", what="a script")
    assert output.rstrip().endswith("end")
    assert "echo end" not in output


def test_a_failed_script_tells_what_the_host_said():
    connection = Connection(HOST, ("/bin/sh", "-ec", 'eval "$(cat)"'))
    with pytest.raises(MilvusKitError, match="no such thing"):
        connection.run("echo 'no such thing' >&2; false; echo unreached", what="a step")


def test_a_host_that_ssh_does_not_reach_is_named_with_its_remedy():
    ssh = Ssh(user="root", port=1, private_key="not a key", host_key="ssh-ed25519 AAAA")  # type: ignore[arg-type]
    away = Host(name="away", address="127.0.0.1", role="worker", ssh=ssh)
    with (
        pytest.raises(UnreachableError, match=r"root@127\.0\.0\.1:1") as caught,
        connected(away) as connection,
    ):
        connection.run("true", what="a step")
    assert "not a key" not in str(caught.value)


def test_a_written_file_has_its_text_and_its_mode(tmp_path):
    connection = Connection(HOST, ("/bin/sh", "-ec", 'eval "$(cat)"'))
    connection.write(str(tmp_path / "sub" / "file"), "$HOME `id` 'x'\n", mode="0640")
    file = tmp_path / "sub" / "file"
    assert file.read_text(encoding="utf-8") == "$HOME `id` 'x'\n"
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_host_without_the_capability_gets_no_lower_oom_scores():
    weak = dataclasses.replace(FIT, capabilities=FIT.capabilities & ~(1 << 24))
    assert "restrict_oom_score_adj = true" in files.containerd(weak, "pause:1")
    assert "restrict_oom_score_adj = false" in files.containerd(FIT, "pause:1")


def test_kubeadm_gets_one_document_of_each_kind():
    parts = {one["kind"]: one for one in yaml.safe_load_all(files.kubeadm_init(PLAN, FIT))}
    assert set(parts) == {
        "InitConfiguration",
        "ClusterConfiguration",
        "KubeletConfiguration",
        "KubeProxyConfiguration",
    }
    assert parts["InitConfiguration"]["nodeRegistration"]["taints"] == []
    assert parts["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    assert "failCgroupV1" not in parts["KubeletConfiguration"]


def test_kube_proxy_leaves_what_the_host_does_with_its_connections():
    """What pkg/proxy/conntrack/sysctls.go sets unless it is 0; nothing said is not 0."""
    parts = {one["kind"]: one for one in yaml.safe_load_all(files.kubeadm_init(PLAN, FIT))}
    told = parts["KubeProxyConfiguration"]["conntrack"]
    assert told == {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }
    for name in ("max", "tcp_timeout_established", "tcp_timeout_close_wait"):
        assert f"net/netfilter/nf_conntrack_{name}" in inspection._KERNEL


def test_a_host_that_joins_keeps_the_cgroups_of_its_own_kind():
    other = dataclasses.replace(FIT, systemd=False, cgroup=1)
    patch = json.loads(files.kubelet_patch(other))
    assert patch == {"cgroupDriver": "cgroupfs", "failCgroupV1": False}
    assert "SystemdCgroup = false" in files.containerd(other, "pause:1")
    worker = PLAN.model_copy(update={"host": HOST.model_copy(update={"role": "worker"})})
    join = yaml.safe_load(files.kubeadm_join(worker, "10.0.0.1:6443", "t", "sha256:0", ""))
    assert files.PATCH_FILE.startswith(join["patches"]["directory"] + "/")


def test_images_that_were_imported_are_neither_pulled_nor_collected():
    plan = PLAN.model_copy(update={"image_archives": "/images"})
    parts = {one["kind"]: one for one in yaml.safe_load_all(files.kubeadm_init(plan, FIT))}
    assert parts["InitConfiguration"]["nodeRegistration"]["imagePullPolicy"] == "Never"
    assert parts["KubeletConfiguration"]["imageGCHighThresholdPercent"] == 100


def test_services_of_a_host_inherit_no_credentials(monkeypatch):
    for name in ("PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "MILVUS_KIT_E2E_PASSPHRASE"):
        monkeypatch.setenv(name, "planted-secret")
    monkeypatch.setenv("MILVUS_KIT_MARK", "planted-mark")
    with connected(HOST) as connection:
        told = connection.run("env", what="showing the environment")
    assert "planted-secret" not in told
    assert "planted-mark" in told
    assert "PATH=" in told


def test_shims_of_a_node_in_a_container_on_the_same_host_are_left_alone(tmp_path):
    shim = tmp_path / "containerd-shim"
    shim.symlink_to("/bin/sleep")
    own = subprocess.Popen([str(shim), "60"])
    apart = ["unshare", "--user", "--pid", "--fork", "--kill-child"]
    other = subprocess.Popen([*apart, str(shim), "60"])
    try:
        inside = _child(other.pid)
        script = teardown._SHIMS.replace(f"{STATE}/containerd", str(tmp_path))
        with connected(HOST) as connection:
            connection.run(f"set +e\n{script}\nexit 0", what="ending shims")
        assert own.wait(10) == -signal.SIGKILL
        os.kill(inside, 0)
        assert other.poll() is None
    finally:
        for process in (own, other):
            process.kill()
            process.wait(120)


def _child(pid: int) -> int:
    """Return the process that runs in namespaces of its own, once it is what it will be."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"containerd-shim" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0]:
                return int(child)
        time.sleep(0.01)
    pytest.fail("unshare made no process")


def test_a_host_that_is_a_node_of_another_cluster_by_now_is_not_given_back(monkeypatch, tmp_path):
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"cluster": "other", "node": "one"}), encoding="utf-8")
    monkeypatch.setattr(teardown, "RECORD", str(record))
    with pytest.raises(OwnershipError, match="node one of cluster other"):
        NodeProvider().delete("id", {"plan": json.dumps(PLAN.document())})
    assert record.exists()


def test_a_node_that_was_never_finished_is_read_as_none(monkeypatch, tmp_path):
    record = tmp_path / "record.json"
    half = {"cluster": "test", "node": "one", "made": "no", "fingerprint": "x"}
    record.write_text(json.dumps(half), encoding="utf-8")
    monkeypatch.setattr(teardown, "RECORD", str(record))
    read = NodeProvider().read("test/one", {"plan": json.dumps(PLAN.document()), "kubeconfig": ""})
    assert read.id is None


def test_another_manifest_of_the_pod_network_and_another_number_of_nodes_replace_nothing():
    given = PLAN.model_copy(update={"cni_manifest": "one"})
    assert given.fingerprint() == given.model_copy(update={"cni_manifest": "two"}).fingerprint()
    assert given.fingerprint() == given.model_copy(update={"single": False}).fingerprint()
    assert given.fingerprint() != PLAN.fingerprint()


def test_a_node_is_replaced_for_what_it_is_and_not_for_how_it_is_reached():
    provider = NodeProvider()
    old = {"plan": json.dumps(PLAN.document()), "fingerprint": PLAN.fingerprint()}
    ssh = Ssh(user="admin", private_key="key", host_key="ssh-ed25519 AAAA")  # type: ignore[arg-type]
    reached = PLAN.model_copy(update={"host": HOST.model_copy(update={"ssh": ssh})})
    other = PLAN.model_copy(update={"pod_subnet": "10.9.0.0/16"})
    same = provider.diff("id", old, {"plan": json.dumps(PLAN.document())})
    assert not same.changes
    moved = provider.diff("id", old, {"plan": json.dumps(reached.document())})
    assert (moved.changes, moved.replaces) == (True, [])
    changed = provider.diff("id", old, {"plan": json.dumps(other.document())})
    assert changed.replaces == ["plan"]
    assert changed.delete_before_replace
