"""The Kafka of a site gets its user without telling the machine's other users of it."""

from __future__ import annotations

import shutil

import pytest

from tests.e2e.site import kafka
from validation.errors import MilvusKitError

pytestmark = pytest.mark.usefixtures("tools")
SEEN = """#!/bin/sh
cd "{folder}"
printf '%s\\n' "$@" > arguments
stat -c %a user > mode
cp user credential
exec {java} "$@"
"""


@pytest.fixture
def run(tmp_path):
    """Return how to run Kafka's classes with a java that notes what it was called with."""
    java = tmp_path / "java"
    java.write_text(SEEN.format(folder=tmp_path, java=shutil.which("java")), encoding="utf-8")
    java.chmod(0o755)
    return [str(java), "-cp", f"{kafka._libraries(tmp_path)}/*"]


@pytest.fixture
def properties(tmp_path):
    path = tmp_path / "server.properties"
    path.write_text(kafka._properties("127.0.0.1", 29193, tmp_path), encoding="utf-8")
    return path


def _salted(folder) -> str:
    credential = (folder / "credential").read_text(encoding="utf-8")
    return credential.partition('saltedpassword="')[2].partition('"')[0]


def test_the_credential_is_read_from_a_file_of_ours_alone_that_is_gone_afterwards(
    run, properties, tmp_path
):
    kafka._format(run, properties, "planted-password")
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8")
    assert "kafka.tools.StorageTool" in arguments
    assert len(_salted(tmp_path)) == 88
    assert _salted(tmp_path) not in arguments
    assert (tmp_path / "mode").read_text(encoding="utf-8") == "600\n"
    assert not (tmp_path / "user").exists()
    assert kafka.USER.encode() in (tmp_path / "data/bootstrap.checkpoint").read_bytes()


def test_an_identity_that_begins_like_an_option_is_taken_as_it_is(
    run, properties, tmp_path, monkeypatch
):
    monkeypatch.setattr(kafka.secrets, "token_bytes", lambda size: b"\xfb" * size)
    kafka._format(run, properties, "planted-password")
    assert "\n--cluster-id=-_v7" in (tmp_path / "arguments").read_text(encoding="utf-8")


def test_a_credential_that_the_tool_repeats_is_masked(run, properties, tmp_path, monkeypatch):
    made = kafka._credential("planted-password")
    broken = made[0].replace('"]', "]"), made[1]
    monkeypatch.setattr(kafka, "_credential", lambda _: broken)
    with pytest.raises(MilvusKitError, match=r"Failed to decode .*\*\*\*") as caught:
        kafka._format(run, properties, "planted-password")
    assert made[1] not in str(caught.value)
    assert not (tmp_path / "user").exists()
