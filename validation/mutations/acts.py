"""Do to a collection what a plan says."""

from __future__ import annotations

import numpy as np

from validation.milvus import indexing, loading
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.ownership import drop_ours
from validation.milvus.waiting import LIMIT_SECONDS, Report, poll
from validation.mutations.plan import DROPPED, PARTITIONS, Plan

_TIMEOUT_SECONDS = 60


def begin(
    connection: Connection,
    plan: Plan,
    *,
    name: str,
    index: IndexSpec,
    run: str,
    report: Report | None = None,
) -> None:
    """Create the collection and its partitions, insert the first rows, and load it for search.

    Args:
        connection: An open connection to the server.
        plan: What is to be done.
        name: Of the collection; one of ours by that name is dropped.
        index: Of the vectors.
        run: Identity of the run, for the mark.
        report: Is told how far it is.
    """
    drop_ours(connection, name)
    loading.create(connection, plan.start, name=name, run=run)
    with connection.explained(f"create partitions of {name}"):
        for partition in PARTITIONS:
            connection.client.create_partition(name, partition, timeout=connection.timeout)
    _send(connection, plan, name, np.arange(plan.start.rows), first=True)
    loading.flush(connection, name)
    indexing.build(connection, name, index, plan.start, report=report)
    loading.load_for_search(connection, name, report=report)


def change(connection: Connection, plan: Plan, name: str) -> None:
    """Delete, upsert, insert again and drop a partition."""
    client = connection.client
    with connection.explained(f"delete rows of {name}"):
        keys = plan.keys[plan.deleted].tolist()
        client.delete(name, ids=keys, timeout=_TIMEOUT_SECONDS)
        client.delete(name, filter=plan.filter.expression(), timeout=_TIMEOUT_SECONDS)
    _send(connection, plan, name, plan.upserted, upsert=True)
    _send(connection, plan, name, plan.again)
    dropped = PARTITIONS[DROPPED]
    with connection.explained(f"drop partition {dropped} of {name}"):
        if not connection.is_lite:  # which knows no release of a partition, and needs none
            client.release_partitions(name, [dropped], timeout=_TIMEOUT_SECONDS)
        client.drop_partition(name, dropped, timeout=_TIMEOUT_SECONDS)


def compact(connection: Connection, name: str, *, seconds: float = LIMIT_SECONDS) -> None:
    """Let the server merge segments and apply deletes to them; wait until it has.

    Raises:
        MeasurementError: It did not end in time.
    """
    doing = f"compact {name}"
    with connection.explained(doing):
        job = connection.client.compact(name, timeout=connection.timeout)

    def done() -> bool:
        with connection.explained(doing):
            state = connection.client.get_compaction_state(job, timeout=connection.timeout)
        return str(state) == "Completed"

    poll(done, seconds=seconds, doing=doing, where=connection.endpoint.name)


def _send(
    connection: Connection,
    plan: Plan,
    name: str,
    positions: np.ndarray,
    *,
    first: bool = False,
    upsert: bool = False,
) -> None:
    """Insert or upsert rows, each into its partition."""
    for at, partition in enumerate(PARTITIONS):
        some = positions[plan.partition[positions] == at]
        if some.size:
            rows = plan.content(some, first=first)
            loading.insert(connection, name, rows, partition=partition, upsert=upsert)
