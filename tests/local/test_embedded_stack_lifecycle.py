"""Stacks that come and go: none of these touches the one that the other tests share."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from tests.waiting import eventually
from validation.common.progress import Progress
from validation.errors import EmbeddedStackError, UsageError
from validation.local import ports, sessions, state
from validation.local.stack import EmbeddedStack, restart
from validation.local.state import State

HOLDER = """
import sys, time
from pathlib import Path
from validation.local.state import State
from validation.local.stack import EmbeddedStack
with EmbeddedStack(Path(sys.argv[1]), s3=sys.argv[2]):
    print("up", flush=True)
    time.sleep(600)
"""
ROWS = [{"id": key, "vector": [key / 100, 1.0, 0.0, 0.0]} for key in range(100)]


def processes_of(folder: Path) -> list[str]:
    """Return the processes that have a folder in their command line or environment."""
    wanted, found = str(folder).encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()
            if wanted in line + (process / "environ").read_bytes():
                found.append(f"{process.name} {line.decode(errors='replace')}")
    return found


def remembered(folder: Path) -> State:
    found = state.read(folder)
    assert found is not None
    return found


def hold(folder: Path, s3: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), s3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def holders(tmp_path) -> Iterator[dict[Path, subprocess.Popen[str]]]:
    """Two processes that start a stack each, at the same time, on two kinds of store."""
    both = {
        tmp_path / "one": hold(tmp_path / "one"),
        tmp_path / "two": hold(tmp_path / "two", "emulator"),
    }
    try:
        for holder in both.values():
            assert holder.stdout is not None
            assert holder.stdout.readline() == "up\n"
        yield both
    finally:
        for holder in both.values():
            holder.kill()
            holder.communicate(timeout=120)
        for folder in both:
            EmbeddedStack(folder, progress=Progress(quiet=True)).stop(kill=True)


def test_two_stacks_side_by_side_do_not_meet_and_a_crashed_or_interrupted_parent_leaves_nothing(
    holders,
):
    (one, first), (two, second) = holders.items()
    used = [remembered(folder) for folder in (one, two)]
    assert not set(used[0].ports.values()) & set(used[1].ports.values())
    assert used[0].owner != used[1].owner
    targets = [EmbeddedStack(folder).target for folder in (one, two)]
    assert targets[1].storage is not None
    assert targets[1].storage.provider == "emulator"
    clients = [MilvusClient(target.milvus.uri) for target in targets]
    clients[0].create_collection("only_in_one", dimension=4)
    assert [client.list_collections() for client in clients] == [["only_in_one"], []]
    for client in clients:
        client.close()

    assert len(processes_of(one)) >= 5  # the holder, two supervisors, two servers
    first.kill()
    first.communicate(timeout=120)
    eventually(lambda: not processes_of(one))
    assert not EmbeddedStack(one).status().running
    assert EmbeddedStack(two).status().running

    os.killpg(second.pid, signal.SIGINT)  # as Ctrl-C in a terminal
    _, said = second.communicate(timeout=120)
    assert "KeyboardInterrupt" in said  # it was not swallowed
    assert processes_of(two) == []
    assert not EmbeddedStack(two).status().servers


@pytest.mark.parametrize("sign", ["s3", "milvus"])
def test_ctrl_c_while_a_server_starts_leaves_nothing(tmp_path, sign):
    holder = hold(tmp_path)
    eventually((tmp_path / f"{sign}.pid").exists)
    os.killpg(holder.pid, signal.SIGINT)
    holder.communicate(timeout=120)
    eventually(lambda: not processes_of(tmp_path))


def rows(client: MilvusClient) -> list[int]:
    """Return the keys found; a collection that was loaded is back a few seconds after a restart."""

    def found() -> list[int] | None:
        with contextlib.suppress(MilvusException):
            return sorted(row["id"] for row in client.query("kept", filter="id >= 0"))
        return None

    return eventually(found)


def leases(folder, etcd):
    """Return those of all sessions that Milvus has in its etcd."""
    sessions.note(folder, etcd)
    found = set(json.loads((folder / "milvus" / "sessions.json").read_text("utf-8")))
    assert found
    return found


def test_a_restart_keeps_the_rows_whether_asked_for_or_by_crash(tmp_path):
    with EmbeddedStack(tmp_path, progress=Progress(quiet=True)) as stack:
        client = MilvusClient(stack.target.milvus.uri)
        client.create_collection("kept", dimension=4, consistency_level="Strong")
        client.insert("kept", ROWS)  # never flushed: these live in the log alone
        before = remembered(stack.folder)
        for kill in (False, True):
            old = leases(stack.folder, before.ports["etcd"])
            assert restart(stack.target, kill=kill) > 0
            assert rows(client) == list(range(100))
            assert old.isdisjoint(leases(stack.folder, before.ports["etcd"]))
        after = remembered(stack.folder)
        assert after.servers["milvus"].pid != before.servers["milvus"].pid
        assert after.servers["s3"] == before.servers["s3"]
        assert (after.ports, after.owner) == (before.ports, before.owner)
        client.close()
    assert processes_of(tmp_path) == []


class _Impostor(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name there)
        pass


@pytest.fixture
def impostor() -> Iterator[int]:
    """A stranger's server that answers every health check with 200."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Impostor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path, impostor):
    with pytest.raises(UsageError, match=f"127.0.0.1:{impostor}: the port for proxy"):
        EmbeddedStack(tmp_path, ports={"proxy": impostor}).start()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("name", ["s3", "metrics"])
def test_a_stranger_who_takes_a_port_meanwhile_is_not_taken_for_ours(
    tmp_path, impostor, monkeypatch, name
):
    pick = ports.pick
    monkeypatch.setattr(ports, "pick", lambda *args: {**pick(*args), name: impostor})
    with pytest.raises(EmbeddedStackError, match="port was taken by another process"):
        EmbeddedStack(tmp_path, progress=Progress(quiet=True)).start()
    assert processes_of(tmp_path) == []


def milvus_kit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = "from validation.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "local", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_up_stays_up_after_the_command_and_is_idempotent_and_down_ends_it(tmp_path):
    option = ("--folder", str(tmp_path / "stack"))
    assert milvus_kit("status", *option).returncode == 1
    try:
        first = milvus_kit("up", *option)
        assert first.returncode == 0, first.stderr
        assert "milvus-kit validate --target" in first.stdout
        assert milvus_kit("status", *option).returncode == 0
        again = milvus_kit("up", *option)
        assert "already running" in again.stdout
        uri = EmbeddedStack(tmp_path / "stack").target.milvus.uri
        assert uri in first.stdout
        assert uri in again.stdout
        client = MilvusClient(uri)
        assert client.list_collections() == []
        client.close()
    finally:
        down = milvus_kit("down", *option)
    assert down.returncode == 0, down.stderr
    assert "MB stay in" in down.stdout
    assert milvus_kit("status", *option).returncode == 1
    assert processes_of(tmp_path / "stack") == []
    milvus_kit("down", "--delete-data", *option)
    assert not (tmp_path / "stack").exists()
