"""A command that is told to end ends as by Ctrl-C."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from tests.waiting import eventually
from validation.common.ending import as_by_ctrl_c
from validation.milvus import ownership
from validation.milvus.connection import Connection
from validation.suite import background
from validation.target import Target

COMMAND = """
import sys, time
from pathlib import Path
from validation.common.ending import as_by_ctrl_c
folder = Path(sys.argv[1])
try:
    with as_by_ctrl_c():
        (folder / "began").touch()
        time.sleep(300)
except KeyboardInterrupt:
    for line in range(100):
        print("cleaning up", line, flush=True)
        time.sleep(0.01)
    (folder / "cleaned").touch()
    sys.exit(130)
"""


def started(folder, **more):
    process = subprocess.Popen([sys.executable, "-c", COMMAND, str(folder)], **more)
    eventually((folder / "began").exists)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_that_asks_to_end_lets_a_command_clean_up(tmp_path, number):
    process = started(tmp_path)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert (tmp_path / "cleaned").exists()


def test_a_signal_that_comes_again_does_not_break_off_the_cleaning_up(tmp_path):
    process = started(tmp_path, stdout=subprocess.PIPE, text=True)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning up 0\n"
    for number in (signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
    process.communicate(timeout=60)
    assert (process.returncode, (tmp_path / "cleaned").exists()) == (130, True)


def test_nohup_is_heeded_and_does_not_keep_a_command_from_ending(tmp_path):
    process = started(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert (tmp_path / "cleaned").exists()


def test_a_terminal_that_is_closed_does_not_break_off_the_cleaning_up(tmp_path):
    ours, theirs = pty.openpty()
    process = started(tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.close(ours)
    process.send_signal(signal.SIGHUP)  # as the kernel does for a controlling terminal
    assert process.wait(60) == 130
    assert (tmp_path / "cleaned").exists()


def test_other_code_of_this_process_keeps_its_handlers():
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)]
    with as_by_ctrl_c():
        pass
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_load_that_nobody_waits_for_any_more_is_broken_off_at_its_next_step(monkeypatch):
    dropped = []
    connection = Connection(
        Target.model_validate({"name": "t", "milvus": {"uri": "http://a:1"}}),
        SimpleNamespace(name="http://a:1"),  # type: ignore[arg-type]
        client=None,
        wire=None,  # type: ignore[arg-type]
        server_version="v2.3.5",
        timeout=1,
        cleanup=contextlib.ExitStack(),
    )

    def drop(opened, name):
        with opened.explained("drop"):
            dropped.append(name)

    def load(opened):
        while True:
            with opened.explained("ask"):
                time.sleep(0.001)

    monkeypatch.setattr(background, "connect", lambda _: connection)
    monkeypatch.setattr(ownership, "drop_ours", drop)
    with background.in_background(connection.target, "mk_t", load) as future:
        assert not future.done()
    assert isinstance(future.exception(), CancelledError)
    assert dropped == ["mk_t"]
