from __future__ import annotations

import dataclasses
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from validation import target as targets
from validation.common.progress import Progress
from validation.errors import (
    ConfigurationError,
    EmbeddedStackError,
    MissingToolError,
    UnsupportedError,
    UsageError,
)
from validation.local import folder as folders
from validation.local import milvus, minio, process, servers, state
from validation.local.contract import target_of
from validation.local.lite import lite_target
from validation.local.process import Owner, Running
from validation.local.stack import EmbeddedStack, from_state, restart
from validation.local.state import State

DEAD = Owner(2**22 + 1, "1")


def remembered(**more) -> State:
    ports = {name: 20_000 + number for number, name in enumerate(("s3", *milvus.PORTS))}
    s3 = minio.S3Server("cache", "minio", "/bin/minio", rejected=("path: no minio on PATH",))
    base = State(name="local", server=Path("/server"), version="2.3.5", ports=ports, s3=s3)
    return dataclasses.replace(base, **more)


@pytest.fixture
def stack(tmp_path) -> EmbeddedStack:
    return EmbeddedStack(tmp_path / "stack", progress=Progress(quiet=True))


@pytest.fixture
def sleeper(tmp_path) -> Iterator[Running]:
    running = process.start(
        "s3", ["sleep", "600"], folder=tmp_path, environment={}, owner=Owner.this_process()
    )
    yield running
    process.stop(running, kill=True)


def gone(running: Running, name: str = "milvus") -> Running:
    return dataclasses.replace(running, name=name, pid=DEAD.pid, started="1")


def keep(stack: EmbeddedStack, found: State) -> State:
    stack.folder.mkdir(exist_ok=True)
    state.write(stack.folder, found)
    return found


def test_what_is_remembered_comes_back_as_it_was(stack, sleeper):
    found = keep(stack, remembered(servers={"s3": sleeper}, owner=Owner.this_process()))
    assert state.read(stack.folder) == found


def test_a_folder_without_a_stack_is_not_running(stack):
    assert not stack.status().running
    stack.stop()
    assert not stack.folder.exists()


def test_a_stack_with_one_server_gone_is_not_running(stack, sleeper):
    keep(stack, remembered(servers={"s3": sleeper, "milvus": gone(sleeper)}))
    status = stack.status()
    assert not status.running
    assert status.servers == {"s3": True, "milvus": False}


def test_a_damaged_state_file_is_named_with_the_next_step(stack):
    stack.folder.mkdir()
    (stack.folder / "state.json").write_text('{"name": 3}')
    with pytest.raises(ConfigurationError) as caught:
        stack.status()
    assert str(stack.folder / "state.json") in str(caught.value)
    assert "delete the file" in str(caught.value)


def test_a_second_stack_in_the_same_folder_is_refused(stack, sleeper):
    keep(stack, remembered(servers={"s3": sleeper}, owner=Owner.this_process()))
    with pytest.raises(UsageError, match="runs in this folder already") as caught:
        stack.start()
    assert str(os.getpid()) in str(caught.value)
    assert sleeper.alive()


def test_what_a_crashed_owner_left_is_stopped_and_forgotten(stack, sleeper):
    before = keep(stack, remembered(servers={"s3": sleeper}, owner=DEAD))
    stack._settle(before)
    assert not sleeper.alive()
    after = state.read(stack.folder)
    assert after is not None
    assert after.servers == {}
    assert after.ports == before.ports


def test_a_stack_whose_milvus_crashed_is_cleaned_up_before_it_starts_again(stack, sleeper):
    before = keep(stack, remembered(servers={"s3": sleeper, "milvus": gone(sleeper)}))
    stack._settle(before)
    assert not sleeper.alive()


def test_a_container_that_outlived_its_killed_supervisor_is_ended(stack, sleeper, tmp_path):
    engine = tmp_path / "docker"
    engine.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    engine.chmod(0o755)
    s3 = minio.S3Server("container", "minio", str(engine), image="mine:1")
    before = keep(stack, remembered(servers={"s3": gone(sleeper, "s3")}, owner=DEAD, s3=s3))
    stack._settle(before)
    assert f"rm --force milvus-kit-s3-{before.ports['s3']}" in (tmp_path / "asked").read_text()


def test_a_start_that_fails_leaves_no_server(stack, monkeypatch):
    pytest.importorskip("milvus", reason="needs the Python package milvus")
    seen: list[Running] = []

    def broken(folder: Path, found: State, _server: minio.S3Server) -> State:
        running = process.start(
            "s3", ["sleep", "600"], folder=folder, environment={}, owner=found.owner
        )
        seen.append(running)
        state.write(folder, dataclasses.replace(found, servers={"s3": running}))
        raise KeyboardInterrupt

    monkeypatch.setattr(minio, "choose", lambda *_, **__: remembered().s3)
    monkeypatch.setattr(servers, "start_s3", broken)
    with pytest.raises(KeyboardInterrupt):
        stack.start()
    assert not seen[0].alive()
    assert not stack.status().servers


def test_a_full_disk_while_starting_is_a_message_and_no_traceback(stack, monkeypatch):
    pytest.importorskip("milvus", reason="needs the Python package milvus")

    def full(*_, **__):
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr(minio, "choose", full)
    with pytest.raises(EmbeddedStackError) as caught:
        stack.start()
    assert "/some/file: the stack's files cannot be written: No space left" in str(caught.value)
    assert "free some space" in str(caught.value)


def test_a_nearly_full_disk_is_told_before_anything_starts(stack, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=5 << 20)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError) as caught:
        stack.start()
    assert "5 MiB free" in str(caught.value)
    assert str(stack.folder) in str(caught.value)
    assert not (stack.folder / "state.json").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="folder cannot be used"):
        EmbeddedStack(tmp_path / "file" / "stack").start()


def test_keys_are_random_and_for_their_owner_alone(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    files = [*state.key_files(one), *state.key_files(two)]
    assert len({file.read_text() for file in files}) == 4
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert state.key_files(one) == tuple(files[:2])


def test_the_target_refers_to_secrets_and_tells_which_store_and_why(tmp_path):
    target = target_of(tmp_path, remembered())
    targets.save(target, tmp_path / "target.yaml")  # refuses secrets in plain text
    text = (tmp_path / "target.yaml").read_text()
    for file in state.key_files(tmp_path):
        assert file.read_text() not in text
    assert targets.load(tmp_path / "target.yaml") == target
    assert any("no minio on PATH" in note for note in target.notes)


def test_an_emulated_store_says_that_its_latency_is_no_evidence(tmp_path):
    s3 = minio.S3Server("emulator", "emulator", "python")
    target = target_of(tmp_path, remembered(s3=s3))
    assert target.storage is not None
    assert target.storage.provider == "emulator"
    assert minio.EMULATOR_NOTE in target.notes


def test_a_real_store_is_not_called_an_emulator(tmp_path):
    assert minio.EMULATOR_NOTE not in target_of(tmp_path, remembered()).notes


def test_a_target_that_is_not_embedded_is_not_restarted(tmp_path):
    target = target_of(tmp_path, remembered()).model_copy(update={"restart": None})
    with pytest.raises(UnsupportedError, match="not an embedded stack"):
        restart(target)


def test_a_stopped_stack_is_not_restarted(stack):
    keep(stack, remembered())
    with pytest.raises(EmbeddedStackError, match="does not run"):
        restart(target_of(stack.folder, remembered()))


def test_a_state_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no embedded stack here"):
        from_state(tmp_path / "state.json")


def test_deleting_takes_the_stacks_files_and_nobody_elses(stack):
    keep(stack, remembered())
    (stack.folder / "s3").mkdir()
    (stack.folder / "s3" / "object").write_text("x" * 100)
    (stack.folder / "mine.txt").write_text("mine")
    assert folders.size(stack.folder) >= 100
    folders.delete(stack.folder)
    assert [path.name for path in stack.folder.iterdir()] == ["mine.txt"]


def test_a_folder_that_never_was_a_stack_is_not_touched(tmp_path):
    (tmp_path / "s3").mkdir()
    folders.delete(tmp_path)
    assert (tmp_path / "s3").exists()


def test_a_running_stacks_files_are_not_deleted(stack, sleeper):
    keep(stack, remembered(servers={"s3": sleeper}))
    with pytest.raises(UsageError, match="stop it first"):
        folders.delete(stack.folder)
    assert (stack.folder / "state.json").exists()


def test_without_a_server_for_the_platform_the_target_is_milvus_lite_and_says_so(
    stack, monkeypatch
):
    pytest.importorskip("milvus_lite", reason="needs the Python package milvus-lite")
    monkeypatch.setattr(milvus, "exists_here", lambda: False)
    target = stack.start()
    assert target.milvus.deployment == "lite"
    assert target.storage is None
    assert "no Milvus server for this platform" in target.notes[0]
    assert stack.target == target


def test_a_server_that_is_merely_not_installed_is_not_replaced_in_silence(stack, monkeypatch):
    monkeypatch.setattr(milvus, "exists_here", lambda: True)
    monkeypatch.setattr(milvus, "wheel", lambda: None)
    with pytest.raises(MissingToolError, match=r"milvus-kit\[embedded\]"):
        stack.start()


def test_where_there_is_no_server_tls_and_users_are_refused_and_not_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(milvus, "exists_here", lambda: False)
    with pytest.raises(MissingToolError, match="no Milvus server for this platform"):
        EmbeddedStack(tmp_path, secure=True).start()
    assert not (tmp_path / "target.yaml").exists()


def test_the_lite_target_is_named_and_labelled(tmp_path):
    pytest.importorskip("milvus_lite", reason="needs the Python package milvus-lite")
    target = lite_target(tmp_path / "lite")
    assert target.name == "local-lite"
    assert target.milvus.uri.endswith(".db")
    assert "not evidence" in target.notes[0]
