from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import eventually
from validation.errors import EmbeddedStackError
from validation.local import process, supervisor
from validation.local.process import NOBODY, Owner, Running

SLEEPER = ["sleep", "600"]
IGNORE = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('deaf', flush=True)
time.sleep(600)
"""
DEAF = [sys.executable, "-c", IGNORE]


def started(tmp_path: Path, command: list[str], **more) -> Running:
    more = {"owner": Owner.this_process(), "environment": {}, **more}
    running = process.start("server", command, folder=tmp_path, **more)
    eventually(lambda: running.server_pid() is not None)
    return running


def runs(pid: int | None) -> bool:
    return pid is not None and supervisor.start_time(pid) != ""


def test_a_stopped_server_is_gone_with_its_supervisor(tmp_path):
    running = started(tmp_path, SLEEPER)
    child = running.server_pid()
    assert runs(child)
    process.stop(running)
    assert not runs(child)
    assert not running.alive()


def test_stopping_twice_is_no_error(tmp_path):
    running = started(tmp_path, SLEEPER)
    process.stop(running)
    process.stop(running)


def test_a_server_that_ignores_the_request_is_killed(tmp_path, monkeypatch):
    source = Path(supervisor.__file__).read_text(encoding="utf-8")
    quick = tmp_path / "supervisor.py"
    quick.write_text(source.replace("GRACE_SECONDS = 8.0", "GRACE_SECONDS = 0.3"))
    monkeypatch.setattr(supervisor, "__file__", str(quick))
    running = started(tmp_path, DEAF)
    child = running.server_pid()
    eventually(lambda: "deaf" in running.log_end())
    process.stop(running)
    assert not runs(child)


def test_a_kill_is_not_a_request(tmp_path):
    running = started(tmp_path, DEAF)
    child = running.server_pid()
    eventually(lambda: "deaf" in running.log_end())
    process.stop(running, kill=True)
    assert not runs(child)
    assert "status -9" in running.log_end()


def test_what_a_server_started_ends_with_it(tmp_path):
    running = started(tmp_path, ["sh", "-c", "sleep 600 & echo $!; wait"])
    eventually(lambda: running.log_end().split())
    grandchild = int(running.log_end().split()[0])
    assert runs(grandchild)
    process.stop(running, kill=True)
    eventually(lambda: not runs(grandchild))


def test_a_killed_supervisor_takes_its_server_along(tmp_path):
    running = started(tmp_path, SLEEPER)
    child = running.server_pid()
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: not runs(child))
    process.stop(running)


OWNER = """
import sys, time
from pathlib import Path
from validation.local import process
folder = Path(sys.argv[1])
running = process.start(
    "server", ["sleep", "600"], folder=folder, environment={}, owner=process.Owner.this_process()
)
while running.server_pid() is None:
    time.sleep(0.02)
if sys.argv[2] == "release":
    process.release(running)
print(running.pid, running.started, running.server_pid(), flush=True)
time.sleep(600)
"""


def owned_elsewhere(tmp_path: Path, what: str) -> tuple[subprocess.Popen[str], Running, int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), what], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid, start, child = owner.stdout.readline().split()
    running = Running(
        "server", int(pid), start, tmp_path / "logs" / "server.log", tmp_path / "server.pid"
    )
    return owner, running, int(child)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_server_ends_with_its_owner_however_that_ends(tmp_path, number):
    owner, running, child = owned_elsewhere(tmp_path, "keep")
    owner.send_signal(number)
    owner.communicate(timeout=120)
    eventually(lambda: not runs(child) and not running.alive())


def test_a_released_server_outlives_its_owner_and_can_be_stopped_by_others(tmp_path):
    owner, running, child = owned_elsewhere(tmp_path, "release")
    eventually(lambda: "runs on without its owner" in running.log_end())
    owner.kill()
    owner.communicate(timeout=120)
    time.sleep(3 * supervisor.POLL_SECONDS)  # an owner's end would have been seen by now
    assert running.alive()
    process.stop(running)
    assert not runs(child)


def test_ctrl_c_in_the_terminal_does_not_reach_a_server(tmp_path):
    running = started(tmp_path, SLEEPER)
    assert os.getpgid(running.pid) != os.getpgid(0)
    assert os.getsid(running.pid) != os.getsid(0)
    process.stop(running)


def test_what_a_signal_does_not_end_is_switched_off_by_its_command(tmp_path):
    """As a container is: its client is deaf, the engine's own command ends both."""
    running = started(tmp_path, DEAF, off=[["sh", "-c", f"kill -9 $(cat {tmp_path}/server.pid)"]])
    child = running.server_pid()
    eventually(lambda: "deaf" in running.log_end())
    process.stop(running)
    assert not runs(child)


def test_what_is_left_is_switched_off_after_a_crash_as_well(tmp_path):
    mark = tmp_path / "off"
    running = started(tmp_path, SLEEPER, off=[["touch", str(mark)]])
    child = running.server_pid()
    assert child is not None
    os.kill(child, signal.SIGKILL)
    eventually(mark.exists)
    eventually(lambda: not running.alive())


def test_only_a_minimal_environment_reaches_a_server(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIO_PORT", "tcp://elsewhere")
    running = started(tmp_path, ["env"], environment={"OURS": "1"}, owner=NOBODY)
    eventually(lambda: not running.alive())
    assert "OURS=1" in running.log_end()
    assert "MINIO_PORT" not in running.log_end()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("write /x: no space left on device", "disk is full"),
        ("Storage reached its minimum free drive threshold", "disk is full"),
        ("listen tcp :19530: bind: address already in use", "port was taken"),
        ("Specified port is already in use", "port was taken"),
        ("something else entirely", "name the cause"),
    ],
)
def test_a_server_that_ends_while_starting_is_told_with_its_log_and_the_remedy(
    tmp_path, said, remedy
):
    running = started(tmp_path, ["sh", "-c", f"echo '{said}' >&2; exit 3"])
    with pytest.raises(EmbeddedStackError) as caught:
        process.await_ready(running, lambda: False, seconds=20)
    assert said in str(caught.value)
    assert remedy in str(caught.value)
    assert str(running.log) in str(caught.value)


def test_the_cause_is_found_before_hundreds_of_lines_of_stacks(tmp_path):
    script = "echo 'panic: the cause'; for i in $(seq 400); do echo 'goroutine stack'; done; exit 2"
    running = started(tmp_path, ["sh", "-c", script])
    with pytest.raises(EmbeddedStackError, match="panic: the cause"):
        process.await_ready(running, lambda: False, seconds=20)


def test_an_earlier_runs_log_is_kept_but_not_blamed(tmp_path):
    first = started(tmp_path, ["sh", "-c", "echo 'no space left on device'; exit 1"])
    eventually(lambda: not first.alive())
    second = started(tmp_path, ["sh", "-c", "echo 'quite different'; exit 1"])
    eventually(lambda: not second.alive())
    assert "no space left" not in second.log_end()
    assert "no space left" in second.log.read_text()


def test_a_server_that_never_gets_ready_is_an_error_in_time(tmp_path):
    running = started(tmp_path, SLEEPER)
    with pytest.raises(EmbeddedStackError, match="not ready after 0 s"):
        process.await_ready(running, lambda: False, seconds=0.2)
    process.stop(running)


def test_a_process_id_used_again_is_not_taken_for_the_server(tmp_path):
    running = Running("server", os.getpid(), "1", tmp_path / "log", tmp_path / "server.pid")
    assert not running.alive()
    process.stop(running)  # and is not stopped either
