"""milvus-backup is adopted: what it is told, what it may not be told, and what the manifest says.

The tool itself cannot be had where this is tested: a program of its name stands in, which notes
how it was called.
"""

import contextlib
import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from tests.builders import targets
from tests.unit.test_upgrade_making import Server
from validation.backup import document, exporting, milvus_backup, restoring, schemas
from validation.backup.document import Collection
from validation.common.progress import Progress
from validation.errors import MeasurementError, MissingToolError, UnsupportedError, UsageError
from validation.milvus import loading
from validation.milvus.wire import Endpoint
from validation.target import SecretRef
from validation.upgrade import described

STAND_IN = f"""#!{sys.executable}
import json, os, sys
config = open(sys.argv[2]).read()
here = os.path.dirname(os.path.abspath(__file__))
secret = ("MILVUS_USER", "MILVUS_PASSWORD", "MILVUS_STORAGE")
kept = {{key: value for key, value in os.environ.items() if key.startswith(secret)}}
with open(os.path.join(here, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps({{"argv": sys.argv[3:], "config": config, "env": kept}}) + "\\n")
if os.path.exists(os.path.join(here, "broken")):
    print("config: backup.yaml")
    print("Error: backup storage: access denied", kept["MILVUS_STORAGE_AUTH_SECRET_ACCESS_KEY"])
    print("root:" + kept["MILVUS_PASSWORD"], kept["MILVUS_STORAGE_AUTH_ACCESS_KEY_ID"])
    sys.exit(1)
"""
SCHEMA = {"fields": [{"name": "id", "data_type": "Int64", "is_primary_key": True, "autoID": True}]}
SETTINGS = {"shards_num": 1, "consistency_level": 0, "num_partitions": 1}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program called milvus-backup on PATH; return the folder with its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / milvus_backup.COMMAND
    path.write_text(STAND_IN)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def server(monkeypatch):
    """A server of two collections whose keys Milvus itself makes."""
    made = Server(monkeypatch)
    known = targets()[0]
    assert known.storage is not None
    keys = {
        name: SecretRef.model_validate({"value": f"planted-{name}"})
        for name in ("access_key", "secret_key")
    }
    storage = known.storage.model_copy(update={**keys, "root_path": "files"})
    made.target = known.model_copy(update={"storage": storage})
    vars(made).update(
        version=(2, 5, 27),
        server_version="v2.5.27",
        endpoint=Endpoint("t", "127.0.0.1:19530", token="root:planted-password"),
    )
    monkeypatch.setattr(schemas, "described_by", lambda *_, **__: collection())
    return made


def collection():
    given = {"schema": SCHEMA, "settings": SETTINGS, "indexes": [], "aliases": ["other"]}
    return Collection.model_validate({**given, "partitions": {}, "loaded": True})


def backed_up(server, folder):
    return exporting.export(server, folder, Progress(quiet=True), copy_to="backups")


def calls(tool):
    return [json.loads(line) for line in (tool / "calls.jsonl").read_text().splitlines()]


def test_it_is_told_what_to_copy_and_where_and_no_secret_in_a_file(server, tool, tmp_path):
    made = backed_up(server, tmp_path / "b")
    assert {name: one.rows for name, one in made.collections.items()} == {"a": 5, "b": 5}
    prefix, _, name = made.copied.rpartition("/")
    (call,) = calls(tool)
    assert call["argv"] == ["create", "--name", name, "--filter", "default.a,default.b"]
    config = yaml.safe_load(call["config"])
    assert config["milvus"]["grpc"] == {
        "address": "127.0.0.1",
        "port": 19530,
        "tlsMode": "disabled",
    }
    assert config["milvus"]["storage"]["rootPath"] == "files"
    assert config["backup"]["storage"]["rootPath"] == prefix == "backups"
    assert "planted" not in call["config"]
    assert call["env"] == {
        "MILVUS_USER": "root",
        "MILVUS_PASSWORD": "planted-password",
        "MILVUS_STORAGE_AUTH_ACCESS_KEY_ID": "planted-access_key",
        "MILVUS_STORAGE_AUTH_SECRET_ACCESS_KEY": "planted-secret_key",
    }
    assert document.load(tmp_path / "b").copied == made.copied


def test_what_it_restored_is_proved_by_the_manifest(server, tool, tmp_path, monkeypatch):
    backed_up(server, tmp_path / "b")
    there = SimpleNamespace(has_collection=lambda *_, **__: False)
    vars(server).update(client=there, timeout=1, explained=lambda _: contextlib.nullcontext())
    there_now = iter([[], ["a", "b"]])
    monkeypatch.setattr(described, "collections", lambda _: next(there_now))
    monkeypatch.setattr(loading, "load_for_search", lambda *_, **__: None)

    def losing(_):
        yield {"id": np.arange(4), "v": np.zeros((4, 2), np.float32)}

    monkeypatch.setattr(server, "pages", losing)
    found = restoring.restore(server, tmp_path / "b", tmp_path / "after", Progress(quiet=True))
    assert "a, partition _default: 1 rows are missing; first keys: 4" in found.found
    (_, call) = calls(tool)
    assert call["argv"][0] == "restore"
    assert call["argv"][-3:] == ["--filter", "default.a,default.b", "--rebuild_index"]


def test_its_last_words_are_told_when_it_fails(server, tool, tmp_path):
    (tool / "broken").touch()
    with pytest.raises(MeasurementError, match=r"create failed.*access denied \*\*\*") as found:
        backed_up(server, tmp_path / "b")
    assert "planted" not in found.value.sentence()
    assert not (tmp_path / "b" / document.FILE).exists()


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize(
    ("version", "restore", "fits"),
    [
        ((2, 3, 5), False, True),
        ((2, 3, 5), True, False),
        ((2, 6, 20), True, True),
        ((3, 0, 0), False, False),
        ((3, 0, 1), True, True),
    ],
)
def test_versions_that_it_does_not_know_are_refused(server, version, restore, fits):
    vars(server)["version"] = version
    if fits:
        assert milvus_backup.require(server, restore=restore).endswith("/milvus-backup")
        return
    with pytest.raises(UnsupportedError, match="does not support this version"):
        milvus_backup.require(server, restore=restore)


def test_without_it_or_without_a_key_nothing_is_read(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="milvus-backup is not on PATH"):
        backed_up(server, tmp_path / "b")
    (tmp_path / milvus_backup.COMMAND).write_text("")
    (tmp_path / milvus_backup.COMMAND).chmod(0o755)
    server.target = targets()[0]
    with pytest.raises(UsageError, match="needs the store and its key"):
        backed_up(server, tmp_path / "b")
    assert not (tmp_path / "b").exists()
