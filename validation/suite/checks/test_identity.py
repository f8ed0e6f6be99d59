"""What answers is what was declared."""

import pytest

from validation.declared.cluster import differences
from validation.errors import MilvusKitError
from validation.milvus.connection import parse_version
from validation.security.act import behind, wrongs
from validation.verdicts.judging import BEHIND

pytestmark = pytest.mark.family("identity")


def test_the_server_is_of_the_declared_version(gate, connection, target):
    declared = target.milvus.version
    if declared is None:
        gate("identity.mismatches", not_measured="the target declares no version")
        return
    wanted = parse_version(declared)
    if not connection.version:
        reason = f"the server calls itself {connection.server_version!r}, which is no version"
        gate("identity.mismatches", not_measured=reason)
        return
    differs = connection.version[: len(wanted)] != wanted
    gate(
        "identity.mismatches",
        [float(differs)],
        columns={"fact": ["milvus.version"]},
        evidence={"declared": declared, "answered": connection.server_version},
    )


def test_what_runs_is_what_was_declared(gate, target):
    metric, declared = "identity.drift", target.kubernetes
    if declared is None or not declared.workloads:
        gate(metric, undeclared="the target declares no objects of a cluster")
        return
    try:
        found = differences(declared)
    except MilvusKitError as error:
        gate(metric, not_measured=f"{error.where}: {error.what}" if error.where else error.what)
        return
    gate(
        metric,
        wrongs(found),
        columns={"fact": [one.name for one in found]},
        evidence={"namespace": declared.namespace, BEHIND: behind(found)},
    )
