"""What holds for the tests themselves, wherever and however they are started."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


def waits_forever(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    limited = any(keyword.arg == "timeout" for keyword in call.keywords)
    if call.func.attr == "communicate":
        return not limited
    return call.func.attr in {"wait", "join"} and not (limited or call.args)


def test_no_test_waits_without_a_limit():
    found = [
        f"{path.relative_to(TESTS)}:{node.lineno}"
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and waits_forever(node)
    ]
    assert found == []


DEFAULTS = """
import os, signal, subprocess, sys

def test_what_is_started_here_is_ended_by_every_signal():
    code = (
        "from signal import *;"
        "print(getsignal(SIGHUP) == SIG_DFL, getsignal(SIGINT) == default_int_handler)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    ).stdout
    assert said.strip() == "True True"


def test_this_process_outlives_the_terminal_as_nohup_asks():
    os.kill(os.getpid(), signal.SIGHUP)
"""


def test_what_tests_start_does_not_inherit_what_nohup_and_background_jobs_ignore(tmp_path):
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "test_inherited.py").write_text(DEFAULTS)
    ignoring = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1", str(tmp_path)],
        preexec_fn=lambda: [signal.signal(one, signal.SIG_IGN) for one in ignoring],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
