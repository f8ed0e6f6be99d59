"""The processes of one Milvus, each read at its own address.

A cluster's query nodes each count only what they do themselves, so all of them have to be read and
added up. The name in ``milvus.metrics_uri`` may stand for many addresses, as that of a headless
Service in Kubernetes does; each is asked. A process that answers at two addresses, as at both of a
dual-stack host, counts once.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from validation.common.addresses import is_ip
from validation.errors import MeasurementError, MilvusKitError, UnreachableError
from validation.milvus import metrics
from validation.milvus.metrics import Delta, Snapshot
from validation.target import Milvus

_ROLES = "milvus_num_node"
_QUERYNODE = "querynode"
_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Process:
    """One Milvus process and what its metrics said.

    Args:
        address: Where it was read, as `metrics.scrape` takes it; empty where the host in
            ``milvus.metrics_uri`` stands for this one alone.
        seen: All of its samples.
    """

    address: str
    seen: Snapshot = dataclasses.field(repr=False)

    @property
    def identity(self) -> tuple[float | None, frozenset[str]]:
        """When it started and its numbers in the cluster: the same for no two processes."""
        numbers = self.seen.values_of("node_id", prefix=_ROLES)
        return self.seen.total("process_start_time_seconds"), frozenset(numbers)

    @property
    def query_nodes(self) -> frozenset[str]:
        """Its numbers as a query node; empty if it is none.

        Since Milvus 2.6 a streaming node is one as well: it leads the searches of its channels.
        """
        registered = {
            value
            for key in self.seen.matching(_ROLES, role_name=_QUERYNODE)
            for label, value in key
            if label == "node_id"
        }
        return frozenset(registered | self.seen.values_of("node_id", prefix="milvus_querynode_"))


def addresses(milvus: Milvus) -> list[str]:
    """Return the addresses that the host of ``milvus.metrics_uri`` stands for; "" for one alone.

    Raises:
        UnreachableError: The name is unknown here.
    """
    parts = urlsplit(milvus.metrics_uri or "")
    host = parts.hostname or ""
    if is_ip(host):
        return [""]
    try:
        found = socket.getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        raise UnreachableError(
            "the host of Milvus's metrics is not known here",
            where="milvus.metrics_uri",
            seen=host,
            remedy="a Service's name is known in its cluster alone: run the suite there, as the"
            " Job that validation.enabled adds",
        ) from None
    known = list(dict.fromkeys(str(item[4][0]) for item in found))
    return known if len(known) > 1 else [""]


def scrape(milvus: Milvus) -> tuple[Process, ...]:
    """Read every process behind ``milvus.metrics_uri`` that answers, each once.

    Who does not answer is left out, so the number of those who do has to be compared with the
    number that there should be.

    Raises:
        UnsupportedError: The target declares no ``metrics_uri``.
        UnreachableError: Nobody answers.
        MeasurementError: What answers are no metrics.
    """
    if milvus.metrics_uri is None:
        metrics.scrape(milvus)  # says so
    known = addresses(milvus)
    found: dict[object, Process] = {}
    failed: list[MilvusKitError] = []
    with ThreadPoolExecutor(min(_AT_ONCE, len(known))) as pool:
        for one in pool.map(lambda address: _read(milvus, address), known):
            if isinstance(one, Process):
                found.setdefault(one.identity, one)
            else:
                failed.append(one)
    if not found:
        raise failed[0]
    return tuple(found.values())


def _read(milvus: Milvus, address: str) -> Process | MilvusKitError:
    try:
        return Process(address, metrics.scrape(milvus, address=address))
    except MilvusKitError as error:
        return error


def between(before: Sequence[Process], after: Sequence[Process]) -> dict[str, Delta]:
    """Return what each process gained between two readings, by address.

    Raises:
        MeasurementError: Not the same processes answered both times.
    """
    pairs: Mapping[object, Process] = {one.identity: one for one in before}
    if pairs.keys() != {one.identity for one in after}:
        raise MeasurementError(
            "other Milvus processes answer than before: one was restarted, came or went, or the"
            " address is a balancer's",
            where=after[0].seen.source,
            remedy="measure again; give an address that shows every process, not one at a time",
        )
    return {one.address: metrics.between(pairs[one.identity].seen, one.seen) for one in after}
