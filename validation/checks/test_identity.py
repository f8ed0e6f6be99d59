"""What answers is what was declared."""

import pytest

from validation.milvus.connection import parse_version

pytestmark = pytest.mark.family("identity")


def test_the_server_is_of_the_declared_version(gate, connection, target):
    declared = target.milvus.version
    if declared is None:
        gate("identity.mismatches", not_measured="the target declares no version")
        return
    wanted = parse_version(declared)
    differs = connection.version[: len(wanted)] != wanted
    gate(
        "identity.mismatches",
        [float(differs)],
        columns={"fact": ["milvus.version"]},
        evidence={"declared": declared, "answered": connection.server_version},
    )
