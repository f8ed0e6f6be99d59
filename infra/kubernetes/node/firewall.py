"""What a node leaves in its host's firewall: taken out alone, so that others' rules stay.

The kubelet, kube-proxy and the CNI plugins put chains named ``KUBE-…`` and ``CNI-…`` into iptables'
tables, and jumps to them into chains of everybody's. Only these go, each table in one transaction:
rules of others are never written again, whatever is added beside them meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from infra.kubernetes.node.connection import Connection
from validation.errors import MilvusKitError

_KUBERNETES = "KUBE-"
_PLUGINS = "CNI-"
_PROXY_TABLES = {"table ip kube-proxy", "table ip6 kube-proxy"}
_PLUGIN_TABLE = re.compile(r"table (ip|ip6|inet) (cni_hostport|cni_plugins_masquerade)")
_IPTABLES_TABLE = re.compile(r"table ip6? (mangle|filter|nat)")
_EMPTY = re.compile(
    r"|#.*|table .* \{|chain (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) \{"
    r"|type .*; policy accept;|\}"
)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_JUMP = re.compile(r"(?<!--comment) -[jg] (\S+)")
_TRIES = 5


def remove(connection: Connection, *, chains: AbstractSet[str], tables: AbstractSet[str]) -> None:
    """Take out what a node has made; a host without firewall commands has nothing of it.

    Args:
        connection: To the host.
        chains: Chains of CNI plugins that were there before: another program's.
        tables: Tables of nftables that were there before, as ``table ip nat``.

    Raises:
        MilvusKitError: A chain is still there.
    """
    for family in ("iptables", "ip6tables"):
        _remove_chains(connection, family, chains)
    for table in connection.attempt("nft list tables", seconds=60).output.splitlines():
        if table in _PROXY_TABLES or (table not in tables and _is_left(connection, table)):
            connection.attempt(f"nft delete {table}", seconds=60)


def _is_left(connection: Connection, table: str) -> bool:
    """Tell whether a table that was not there before was made for the node, and by it alone."""
    if _PLUGIN_TABLE.fullmatch(table):
        return True
    if not _IPTABLES_TABLE.fullmatch(table):
        return False
    # iptables makes a table for its first rule, and leaves it there.
    return is_empty(connection.attempt(f"nft list {table}", seconds=60).output)


def _remove_chains(connection: Connection, family: str, before: AbstractSet[str]) -> None:
    said = batch = ""
    for _ in range(_TRIES):
        there = connection.attempt(f"{family}-save", seconds=60)
        batch = removal(there.output, before)
        if not batch:
            return
        # Another writer may have come between: then the transaction fails, and changes nothing.
        restore = f"{family}-restore --noflush -w 10 <<'MILVUS_KIT_END'\n{batch}\nMILVUS_KIT_END"
        done = connection.attempt(restore, seconds=60)
        if not done.status:
            return
        said = done.errors
    raise MilvusKitError(
        f"chains of the node are still in the firewall: {said.strip()[-300:]}",
        where=connection.host.name,
        seen=f"{family}: {' '.join(line[3:] for line in batch.splitlines() if line[:2] == '-X')}",
        remedy=f"see who else changes the rules meanwhile (`{family}-save`), then run this again",
    )


def removal(saved: str, before: AbstractSet[str]) -> str:
    """Return what takes the node's chains out, for ``iptables-restore --noflush``.

    Args:
        saved: What ``iptables-save`` tells.
        before: Chains of CNI plugins that are not the node's.
    """
    batch: list[str] = []
    for table, lines in _tables(saved):
        names = [line[1:].split(" ", 1)[0] for line in lines if line.startswith(":")]
        ours = {
            name
            for name in names
            if name.startswith(_KUBERNETES) or (name.startswith(_PLUGINS) and name not in before)
        }
        if not ours:
            continue
        rules = [line for line in lines if line.startswith("-A ")]
        jumps = [
            f"-D {rule[3:]}"
            for rule in rules
            if rule.split(" ", 2)[1] not in ours and _target(rule) in ours
        ]
        chains = sorted(ours)
        emptied = [f"-F {chain}" for chain in chains]
        gone = [f"-X {chain}" for chain in chains]
        batch += [f"*{table}", *jumps, *emptied, *gone, "COMMIT"]
    return "\n".join(batch)


def _tables(saved: str) -> Iterator[tuple[str, list[str]]]:
    table, lines = "", []
    for line in saved.splitlines():
        if line.startswith("*"):
            table, lines = line[1:], []
        elif line == "COMMIT":
            yield table, lines
        else:
            lines.append(line)


def _target(rule: str) -> str:
    """Return the chain that a rule jumps or goes to; a comment that looks like a jump is none."""
    found = _JUMP.search(_QUOTED.sub('""', rule))
    return found[1] if found else ""


def is_empty(listing: str) -> bool:
    """Tell whether a table that iptables makes holds nothing but base chains that let all pass.

    Args:
        listing: What nft lists of it.
    """
    lines = [line.strip() for line in listing.splitlines()]
    return bool(lines) and all(_EMPTY.fullmatch(line) for line in lines)
