"""What a node leaves in the firewall is taken out, and nothing else, by the real commands."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_kubernetes_node import HOST

from infra.kubernetes.node import firewall, inspection
from infra.kubernetes.node.connection import _SHELL, Connection, Result
from validation.errors import MilvusKitError

# Of the node: the kubelet's, kube-proxy's in its iptables mode, portmap's and the bridge's.
_NODE = """
for family in iptables ip6tables; do
    $family -t mangle -N KUBE-KUBELET-CANARY
    $family -N KUBE-FIREWALL
    $family -A INPUT -j KUBE-FIREWALL
done
iptables -t nat -N KUBE-SERVICES
iptables -t nat -N KUBE-SVC-A
iptables -t nat -A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-A
iptables -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
iptables -t nat -N CNI-HOSTPORT-DNAT
iptables -t nat -N CNI-DN-1
iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'name: "kit"' -j CNI-DN-1
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
iptables -t nat -N CNI-2
iptables -t nat -A POSTROUTING -s 10.244.0.2/32 -m comment --comment 'id: "two"' -j CNI-2
nft add table ip kube-proxy
nft add chain ip kube-proxy services
"""
# Of others: rules that only talk of such chains, with what they have counted.
_OTHERS = """
iptables -t nat -N site
iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -m comment --comment "before -j KUBE-SERVICES" \\
    -c 7 420 -j MASQUERADE
iptables -A INPUT -p tcp --dport 22 -m comment --comment CNI-2 -c 5 300 -j ACCEPT
iptables -t nat -A site -c 3 180 -j RETURN
ip6tables -A FORWARD -s 2001:db8::/32 -c 2 160 -j DROP
nft add table inet site
nft add chain inet site guard '{ type filter hook input priority 10; policy drop; }'
nft add rule inet site guard tcp dport 9 counter packets 4 bytes 240 reject
"""
_SAVED = (
    "iptables-save -c | grep -v '^#'; ip6tables-save -c | grep -v '^#'; nft list table inet site"
)


@dataclasses.dataclass(frozen=True)
class Namespace(Connection):
    """A network namespace of the test's own; something may happen before its rules change."""

    meanwhile: list[Callable[[], object]] = dataclasses.field(default_factory=list)

    def attempt(self, script: str, *, seconds: float = 60) -> Result:
        if "-restore" in script and self.meanwhile:
            self.meanwhile.pop(0)()
        return super().attempt(script, seconds=seconds)

    def do(self, script: str) -> str:
        done = super().attempt(f"set -e\n{script}")
        assert done.status == 0, done.errors
        return done.output


@pytest.fixture(params=["nft", "legacy"])
def host(request, monkeypatch, tmp_path):
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            command = f"{family}-{request.param}{suffix}"
            found = shutil.which(command, path="/usr/sbin:/sbin:/usr/bin:/bin")
            if found is None:
                pytest.skip(f"needs the program {command}")
            (tmp_path / f"{family}{suffix}").symlink_to(found)
    if shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        pytest.skip("needs the program nft")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    holder = subprocess.Popen(["unshare", "--user", "--map-root-user", "--net", "sleep", "600"])
    try:
        _await_namespace(holder.pid)
        inside = ("nsenter", "--preserve-credentials", "--user", "--net", f"--target={holder.pid}")
        yield Namespace(HOST, (*inside, "/bin/sh", "-ec", _SHELL))
    finally:
        holder.kill()
        holder.wait(120)


def _await_namespace(pid: int) -> None:
    deadline = time.monotonic() + 10
    while b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
        assert time.monotonic() < deadline, "unshare made no namespace"
        time.sleep(0.01)


def remove(host: Namespace, before: set[str] | None = None) -> None:
    firewall.remove(host, chains=before or set(), tables=set())


def test_chains_jumps_and_tables_of_a_node_go_and_rules_of_others_stay_with_their_counters(host):
    host.do(_OTHERS)
    before = host.do(_SAVED)
    host.do(_NODE)
    assert "KUBE-SVC-A" in host.do(_SAVED)
    remove(host)
    after = host.do(_SAVED).splitlines()
    # Tables that the node's rules made are left by the legacy commands, without a rule in them.
    assert [line for line in after if not _is_scaffold(line)] == [
        line for line in before.splitlines() if not _is_scaffold(line)
    ]
    assert "[7:420]" in before
    assert "kube-proxy" not in host.do("nft list tables")


def _is_scaffold(line: str) -> bool:
    return line.startswith(("*", "COMMIT")) or " ACCEPT [" in line


def test_a_host_without_other_rules_is_left_without_any_table(host):
    host.do(_NODE)
    remove(host)
    assert host.do("nft list tables") == ""
    assert "-A" not in host.do("iptables-save; ip6tables-save")


def test_a_rule_that_another_program_adds_meanwhile_stays(host):
    host.do(_NODE)
    host.meanwhile.append(lambda: host.do("iptables -A INPUT -p udp --dport 53 -j ACCEPT"))
    remove(host)
    saved = host.do("iptables-save")
    assert "-A INPUT -p udp -m udp --dport 53 -j ACCEPT" in saved
    assert "KUBE-" not in saved


def test_a_jump_that_another_program_adds_meanwhile_is_taken_out_at_the_next_try(host):
    host.do(_NODE)
    host.meanwhile.append(lambda: host.do("iptables -A FORWARD -j KUBE-FIREWALL"))
    remove(host)
    assert "KUBE-" not in host.do("iptables-save")


def test_a_transaction_that_fails_changes_nothing_and_chains_that_stay_are_named(host):
    host.do(_NODE)
    again = iter(range(99))
    jump = "iptables -A FORWARD -m comment --comment {} -j KUBE-FIREWALL"
    host.meanwhile.extend([lambda: host.do(jump.format(f"n{next(again)}"))] * 99)
    with pytest.raises(MilvusKitError, match="KUBE-FIREWALL") as caught:
        remove(host)
    assert "iptables-save" in str(caught.value)
    assert "-A INPUT -j KUBE-FIREWALL" in host.do("iptables-save -t filter")


def test_chains_of_another_user_of_cni_plugins_stay(host):
    host.do("""iptables -t nat -N CNI-HOSTPORT-DNAT
iptables -t nat -N CNI-DN-other
iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp --dport 80 -j CNI-DN-other
iptables -t nat -A PREROUTING -j CNI-HOSTPORT-DNAT""")
    there = set(inspection.inspect(host).chains)
    assert there == {"CNI-HOSTPORT-DNAT", "CNI-DN-other"}
    before = host.do("iptables-save -t nat | grep -v '^#'")
    host.do("""iptables -t nat -N CNI-DN-ours
iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp --dport 81 -j CNI-DN-ours""")
    remove(host, there)
    assert host.do("iptables-save -t nat | grep -v '^#'") == before


@pytest.mark.parametrize(
    "rule", ["tcp dport 22 reject", "ip saddr 192.0.2.1 return", "log prefix seen"]
)
def test_a_table_with_anything_in_it_is_not_empty(host, rule):
    host.do("""nft add table ip filter
nft add chain ip filter INPUT '{ type filter hook input priority 0; policy accept; }'""")
    assert firewall.is_empty(host.do("nft list table ip filter"))
    host.do(f"nft add rule ip filter INPUT {rule}")
    assert not firewall.is_empty(host.do("nft list table ip filter"))
    remove(host)
    assert rule.split()[0] in host.do("nft list table ip filter")


def test_a_host_without_firewall_commands_has_nothing_to_remove():
    nothing = Connection(HOST, ("/bin/sh", "-c", "exit 127"))
    firewall.remove(nothing, chains=set(), tables=set())
