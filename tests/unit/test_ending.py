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
from typing import Any, cast

import pytest

from tests.waiting import eventually
from validation.common.ending import as_by_ctrl_c
from validation.errors import UnreachableError
from validation.milvus import ownership
from validation.milvus.connection import Connection
from validation.suite import background, plugin
from validation.suite.changed import Noted
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


def test_what_was_seen_before_a_look_broke_off_is_handed_on_with_the_reason():
    noted, seen = Noted(), []
    with noted.kept():
        noted("mutations.rows_back", [7], labels={"after": "changes"})
        raise UnreachableError("it went away", where="milvus")
    with pytest.raises(UnreachableError, match="it went away"):
        noted.hand_on(lambda *given, **more: seen.append((given, more)))
    assert seen == [(("mutations.rows_back", [7]), {"labels": {"after": "changes"}})]


def test_filters_that_were_asked_before_it_broke_off_count_and_later_ones_say_why():
    asked = object()
    filtering = background.Filtering(
        cast("Any", None), cast("Any", {"insert": asked}), UnreachableError("gone", where="milvus")
    )
    assert filtering.after("insert") is asked
    for later in (lambda: filtering.after("flush"), filtering.whole):
        with pytest.raises(UnreachableError, match="gone"):
            later()


TIMED = """
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

done = []


@pytest.fixture(scope="session")
def mutated_loading():
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(lambda: (time.sleep(0.2), done.append("looked")))


@pytest.fixture(scope="session")
def mutated(mutated_loading):
    return mutated_loading.result()


@pytest.mark.family("latency")
def test_timed():
    assert done == ["looked"]


@pytest.mark.family("lifecycle")
def test_restart(mutated):
    assert mutated
"""


def test_nothing_of_a_run_goes_on_beside_what_is_timed_or_restarted(pytester):
    pytester.makepyfile(TIMED)
    said = pytester.runpytest_inprocess("-p", "validation.suite.background", "-q")
    said.assert_outcomes(passed=2)
    assert set(plugin.FAMILIES) > background.ALONE
