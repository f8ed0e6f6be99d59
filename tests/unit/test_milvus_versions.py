"""What a server calls itself is a version, or it is not known which it is."""

from types import SimpleNamespace

import pytest

from validation.errors import UnreachableError
from validation.milvus.connection import Connection, parse_version
from validation.milvus.searching import require_keywords
from validation.suite.checks import test_identity as identity
from validation.target import Target

UNKNOWN = ["cebbe1e4da", "", "master-20240501-cebbe1e4", "20240501", "2f83a1c", "dirty"]


def connected(version, declared=None):
    target = Target.model_validate(
        {"name": "t", "milvus": {"uri": "http://a:1", "version": declared}}
    )
    endpoint = SimpleNamespace(name="http://a:1")
    return Connection(
        target,
        endpoint,  # type: ignore[arg-type]
        client=None,
        wire=None,  # type: ignore[arg-type]
        server_version=version,
        timeout=1,
        cleanup=None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("v2.3.5-lite", (2, 3, 5)),
        ("2.6.20", (2, 6, 20)),
        ("v3.0-20260731-abcdef", (3, 0)),
        ("3", (3,)),
        ("2.5-dev", (2, 5)),
        ("milvus_lite-3.2.2", (3, 2, 2)),
        *((text, ()) for text in UNKNOWN),
    ],
)
def test_a_commit_or_a_branch_is_no_version(text, numbers):
    assert parse_version(text) == numbers


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_server_of_an_unknown_version_is_not_taken_for_too_old(text):
    connected(text).require_version("2.3")
    require_keywords(connected(text))


def test_one_that_is_known_to_be_too_old_still_is():
    with pytest.raises(UnreachableError, match=r"older than Milvus 2\.3"):
        connected("v2.2.16").require_version("2.3")


@pytest.mark.parametrize(
    ("answered", "declared", "wanted"),
    [("v2.6.20", "2.6", [0.0]), ("v2.6.20", "2.5", [1.0]), ("cebbe1e4da", "2.6", None)],
)
def test_what_is_not_known_is_not_compared_with_the_declaration(answered, declared, wanted):
    seen = {}

    def gate(metric, samples=None, *, not_measured="", **_):
        seen[metric] = (samples, not_measured)

    connection = connected(answered, declared)
    identity.test_the_server_is_of_the_declared_version(gate, connection, connection.target)
    samples, reason = seen["identity.mismatches"]
    assert samples == wanted
    assert bool(reason) == (wanted is None)
    if reason:
        assert "'cebbe1e4da'" in reason
