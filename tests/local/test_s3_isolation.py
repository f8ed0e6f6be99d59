"""Isolation by prefix on a real store: policies that an absent object cannot tell apart."""

from __future__ import annotations

import itertools
import socket

import pytest
import s3_servers

from validation.errors import ExitCode, UsageError
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys, endpoint_of
from validation.s3.conformance.table import TABLE
from validation.s3.preflight.contract import outsider
from validation.s3.preflight.profile import load
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Permissions
from validation.target import SecretRef
from validation.verdicts.verdict import Outcome

minio_admin = pytest.importorskip(
    "infra.storage.minio.admin", reason="missing tool: milvus-kit[infra]"
)
CHECK, NAMES = TABLE["access.other-prefix"], TABLE["access.other-names"]
ROOT = Keys(s3_servers.ACCESS, s3_servers.SECRET)
INSIDE = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        "Resource": ["arn:aws:s3:::milvus/files/*"],
    },
    {
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": ["arn:aws:s3:::milvus"],
        "Condition": {"StringLike": {"s3:prefix": ["files/*"]}},
    },
    {  # which Milvus asks at its start
        "Effect": "Allow",
        "Action": ["s3:HeadBucket"],
        "Resource": ["arn:aws:s3:::milvus"],
    },
]
HEAD_AS_IN_S3 = {  # where HeadBucket is ListBucket without a prefix
    "Effect": "Allow",
    "Action": ["s3:ListBucket"],
    "Resource": ["arn:aws:s3:::milvus"],
    "Condition": {"Null": {"s3:prefix": ["true"]}},
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with s3_servers.minio(tmp_path_factory.mktemp("minio")) as running:
        connect(s3_servers.storage(running)).create_bucket(Bucket="milvus")
        yield running


@pytest.fixture(scope="module")
def tenant(endpoint):
    """Return a storage contract with a new key that may do what Milvus needs, and more."""
    port = endpoint_of(s3_servers.storage(endpoint)).port
    admin = minio_admin.MinioAdmin(
        connect=lambda: socket.create_connection(("127.0.0.1", port), timeout=5),
        server_name="127.0.0.1",
        port=port,
        ca_pem=None,
        access_key=s3_servers.ACCESS,
        secret_key=s3_servers.SECRET,
    )
    numbers = itertools.count(1)

    def made(*actions, more=()):
        name, secret = f"tenant-{next(numbers)}", "a-tenant-s-secret"
        everywhere = {
            "Effect": "Allow",
            "Action": [*actions],
            "Resource": ["arn:aws:s3:::milvus/*"],
        }
        statements = [*INSIDE, *more, *([everywhere] if actions else [])]
        admin.put_policy(name, {"Version": "2012-10-17", "Statement": statements})
        admin.put_user(name, secret, name)
        return s3_servers.storage(
            endpoint,
            "minio",
            access_key=SecretRef.model_validate({"value": name}),
            secret_key=SecretRef.model_validate({"value": secret}),
        )

    return made


def outside_of(endpoint):
    found = connect(s3_servers.storage(endpoint)).list_objects_v2(Bucket="milvus")
    return [entry["Key"] for entry in found.get("Contents", ())]


def profile_of(storage, **more):
    return preflight(
        storage, permissions=Permissions(prefix_isolation=True, **more), checks=(CHECK, NAMES)
    )


def test_a_key_that_may_not_list_or_read_outside_its_prefix_is_shown_to_be_isolated(
    endpoint, tenant
):
    profile = profile_of(tenant(), outsider=ROOT)
    finding = profile.finding(CHECK.id)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert set(finding.evidence.values()) == {"403 AccessDenied"}
    assert set(finding.evidence) == {"LIST", "LIST V1", "LIST VERSIONS", "GET", "DELETE", "PUT"}
    names = profile.finding(NAMES.id)
    assert names.outcome is Outcome.PASS, names.reason
    assert set(names.evidence.values()) == {"403 AccessDenied"}
    assert profile.verdict is not Outcome.FAIL
    assert profile.allowed["outsider"] is True
    assert s3_servers.SECRET not in profile.model_dump_json()
    assert outside_of(endpoint) == []


@pytest.mark.parametrize(
    ("action", "method"),
    [("s3:GetObject", "GET"), ("s3:PutObject", "PUT"), ("s3:DeleteObject", "DELETE")],
)
def test_a_key_that_may_do_one_thing_outside_its_prefix_is_caught_at_it(
    endpoint, tenant, action, method
):
    finding = profile_of(tenant(action), outsider=ROOT).finding(CHECK.id)
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == f"{method} outside the root path was allowed"
    assert outside_of(endpoint) == []


def test_a_key_that_may_list_the_whole_bucket_is_shown_others_names(endpoint, tenant):
    client = connect(s3_servers.storage(endpoint))
    for key in ("a/before", "tenant-b/secret-name"):
        client.put_object(Bucket="milvus", Key=key, Body=b"theirs")
    try:
        profile = profile_of(tenant(more=[HEAD_AS_IN_S3]), outsider=ROOT)
        alone = profile_of(tenant(more=[HEAD_AS_IN_S3]))
    finally:
        for key in ("a/before", "tenant-b/secret-name"):
            client.delete_object(Bucket="milvus", Key=key)
    assert profile.finding(CHECK.id).outcome is Outcome.PASS
    for one in (profile, alone):
        finding = one.finding(NAMES.id)
        assert finding.outcome is Outcome.FAIL
        assert "shows names outside the root path" in finding.reason
        assert "HeadBucket" in finding.reason
        assert one.verdict is Outcome.FAIL
        assert "secret-name" not in one.model_dump_json()
    assert "LIST after the root path" in profile.finding(NAMES.id).reason


def test_a_key_that_may_list_a_bucket_with_nothing_of_others_is_not_called_confined(tenant):
    finding = profile_of(tenant(more=[HEAD_AS_IN_S3])).finding(NAMES.id)
    assert finding.outcome is Outcome.NOT_MEASURED
    assert "--outsider-access-key-env" in finding.reason


def test_without_an_object_that_is_there_reading_is_not_called_refused(tenant):
    profile = profile_of(tenant())
    finding = profile.finding(CHECK.id)
    assert (finding.outcome, finding.applies) == (Outcome.NOT_MEASURED, True)
    assert "--outsider-access-key-env" in finding.reason
    assert profile.verdict is Outcome.INCONCLUSIVE


def test_an_other_key_that_may_not_write_there_either_proves_nothing(tenant):
    finding = profile_of(tenant(), outsider=Keys("nobody", "nobody-s-secret")).finding(CHECK.id)
    assert finding.outcome is Outcome.NOT_MEASURED
    assert "cannot write there" in finding.reason


def test_what_the_other_key_could_not_remove_again_is_told(tenant, monkeypatch):
    from validation.s3.conformance.access import access  # noqa: PLC0415  (patched here alone)

    real = access.Workspace.client

    def stubborn(space, **changes):
        client = real(space, **changes)
        client.delete_object = lambda **_: client.head_bucket(Bucket="no-such-bucket-here")
        return client

    monkeypatch.setattr(access.Workspace, "client", stubborn)
    profile = profile_of(tenant(), outsider=ROOT)
    (left,) = profile.leftovers
    assert left.startswith("milvus/milvus-kit-preflight-")
    assert left.endswith("-outside/object")


def test_a_key_with_one_half_is_refused_and_none_is_none():
    assert outsider(None, None) is None
    with pytest.raises(UsageError, match="two halves"):
        outsider("NAME", None)


@pytest.mark.slow
def test_the_command_takes_the_other_key_from_the_environment(
    endpoint, tenant, tmp_path, monkeypatch
):
    storage = tenant("s3:GetObject")
    variables = {
        "AWS_ACCESS_KEY_ID": storage.access_key.reveal(),
        "AWS_SECRET_ACCESS_KEY": storage.secret_key.reveal(),
        "OTHER": ROOT.access,
        "OTHER_SECRET": ROOT.secret,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    from typer.testing import CliRunner  # noqa: PLC0415

    from validation.cli import app  # noqa: PLC0415

    options = ["--endpoint", endpoint, "--bucket", "milvus", "--prefix-isolation", "--quiet"]
    options += ["--outsider-access-key-env", "OTHER", "--outsider-secret-key-env", "OTHER_SECRET"]
    result = CliRunner().invoke(app, ["preflight", *options, "--output", str(tmp_path / "p.json")])
    assert result.exit_code == ExitCode.FAIL, result.output
    found = load(tmp_path / "p.json").finding(CHECK.id)
    assert (found.outcome, "GET" in found.reason) == (Outcome.FAIL, True)
