"""This machine is asked for only by those who may, and what is left on it is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e import clean, host, project, strays
from tests.e2e.images.bundle import chosen, image_archives
from tests.e2e.site.cluster import cluster
from tests.waiting import eventually
from validation.errors import ExitCode, MissingToolError, OwnershipError


def test_without_root_the_run_says_so_and_does_not_begin(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MissingToolError, match="need root"):
        host.require_root()


def test_a_cluster_of_an_earlier_run_is_named(monkeypatch, tmp_path):
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"cluster": "ci", "since": "yesterday"}), encoding="utf-8")
    monkeypatch.setattr(host, "RECORD", str(record))
    monkeypatch.setattr(host, "_RECORD", tmp_path / "e2e.json")
    (tmp_path / "e2e.json").touch()
    with pytest.raises(OwnershipError, match=r"(?s)ci since yesterday.*make e2e-clean"):
        host.require_no_cluster()


@pytest.fixture
def somebody_elses(monkeypatch, tmp_path):
    """Plant a node that the kit made for a stack of the user's, and catch who would remove it."""
    record = tmp_path / "record.json"
    said = {"cluster": "customers-prod", "node": "n", "since": "last year"}
    record.write_text(json.dumps(said), encoding="utf-8")
    monkeypatch.setattr(host, "RECORD", str(record))
    monkeypatch.setattr(host, "_RECORD", tmp_path / "e2e.json")
    monkeypatch.setattr(strays, "end", lambda **_: [])
    given_back: list[object] = []
    monkeypatch.setattr(clean.teardown, "give_back", given_back.append)
    return given_back


def test_a_node_that_no_run_made_is_named_and_left_alone(somebody_elses, capsys):
    assert clean.main() == ExitCode.USAGE
    assert "customers-prod since last year" in capsys.readouterr().err
    assert somebody_elses == []


def test_tests_that_want_a_bare_cluster_leave_somebody_elses_alone(somebody_elses):
    nobody: Any = None
    with pytest.raises(OwnershipError, match="customers-prod"), cluster(nobody, keep=False):
        pass
    assert somebody_elses == []


def test_what_is_left_of_a_cluster_is_seen(monkeypatch, tmp_path):
    left = tmp_path / "kubelet"
    left.mkdir()
    monkeypatch.setattr(host, "_FILES", (str(left),))
    assert f"file {left}" in host.leftovers()


GONE = f"{2**22 + 1}-0"
"""A harness that nobody is: no process has a number this high."""


@pytest.fixture
def marked(monkeypatch):
    """Start processes with a mark of these tests' own, as a harness would."""
    monkeypatch.setattr(strays, "MARK", "MILVUS_KIT_E2E_TEST")
    started = []

    def start(harness: str, *arguments: str) -> int:
        command = [sys.executable, "-c", "import time; time.sleep(60)", *arguments]
        process = subprocess.Popen(command, env={**os.environ, strays.MARK: harness})
        started.append(process)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait(120)


def test_what_a_killed_run_left_running_is_found_and_ended(marked):
    stray = marked(GONE)
    assert any(f"process {stray} " in one for one in host.leftovers())
    assert [one.split()[1] for one in strays.end(node=False)] == [str(stray)]
    assert strays.left() == []


def test_the_nodes_own_services_are_ended_after_the_node_was_given_back(marked):
    service = marked(GONE, "/var/lib/milvus-kit/node/containerd.toml")
    assert strays.end(node=False) == []
    assert [one.split()[1] for one in strays.end(node=True)] == [str(service)]


def test_a_run_that_is_under_way_is_named_and_left_alone(marked):
    harness = f"{os.getpid()}-{strays._started(os.getpid())}"
    marked(harness)
    with pytest.raises(OwnershipError, match="under way") as caught:
        strays.require_no_other_run()
    assert f"process {os.getpid()}" in str(caught.value)
    assert strays.end(node=True) == []


def test_volumes_that_were_there_before_a_run_are_kept(monkeypatch, tmp_path):
    volumes = tmp_path / "volumes"
    (volumes / "somebody-elses").mkdir(parents=True)
    for name, value in {
        "_VOLUMES": volumes,
        "_RECORD": tmp_path / "e2e.json",
        "IMAGES": tmp_path / "images",
        "_ip": lambda *_: f"inet {host.ADDRESS}/32",
    }.items():
        monkeypatch.setattr(host, name, value)
    host.prepare(tmp_path)
    (volumes / "pvc-1").mkdir()
    assert "volume pvc-1" in host.restore()
    assert [one.name for one in volumes.iterdir()] == ["somebody-elses"]


def test_an_address_and_a_folder_of_somebody_elses_are_kept(monkeypatch, tmp_path):
    asked = []

    def ip(*arguments: str) -> str:
        asked.append(arguments)
        return f"inet {host.ADDRESS}/32"

    monkeypatch.setattr(host, "_RECORD", tmp_path / "e2e.json")
    monkeypatch.setattr(host, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(host, "_VOLUMES", tmp_path / "volumes")
    monkeypatch.setattr(host, "_ip", ip)
    (tmp_path / "images").mkdir()
    with pytest.raises(OwnershipError, match="it is taken"):
        host.prepare(tmp_path)
    (tmp_path / "images").rmdir()
    host.prepare(tmp_path)
    host.restore()
    assert not [one for one in asked if one[1] in {"add", "del"}]


_MAKES_A_NODE = """
from tests.e2e import strays
strays.mark()
from infra.kubernetes.node import bootstrap
from tests.e2e.site.cluster import plan
bootstrap.create(plan())
"""


@pytest.mark.ends_the_stack
@pytest.mark.timeout(600)
def test_what_a_run_that_was_killed_left_on_this_machine_is_given_back(tools, progress):
    host.require_no_cluster()
    host.prepare(chosen(image_archives(tools, progress), "killed", []))
    command = [sys.executable, "-c", _MAKES_A_NODE]
    run = subprocess.Popen(command, env={**os.environ, "PATH": tools.path()}, cwd=project.ROOT)
    try:
        eventually(lambda: any("/kubelet" in one for one in host.leftovers()), seconds=120)
    finally:
        run.kill()  # in the middle of it, and without a word
        run.wait(120)
    try:
        assert host.node_record()["made"] == "no"
        with pytest.raises(OwnershipError, match="make e2e-clean"):
            host.require_no_cluster()
    finally:
        assert clean.command() == 0
    assert host.leftovers() == []
    assert not host.is_prepared()


def test_a_machine_whose_node_is_somebody_elses_is_left_alone(monkeypatch, tmp_path, capsys):
    from infra.kubernetes.node import teardown  # noqa: PLC0415  (a command, run here as one)

    monkeypatch.setattr(teardown, "RECORD", str(tmp_path / "none"))
    assert teardown.main() == 2
    assert "carries no cluster of the kit's" in capsys.readouterr().err
