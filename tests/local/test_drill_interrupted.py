"""Ctrl-C in the middle of a drill ends everything that the drill has begun."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_session import await_nothing_of

from validation.errors import ExitCode
from validation.local import trust

LONG = """
from validation import cli
from validation.drill import trial
trial.HOLD_SECONDS = 300.0
cli.main(["drill", "--fault", {!r}])
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stopped", "removed-key"])
def test_ctrl_c_while_a_fault_is_held_leaves_no_process_no_mount_and_no_traceback(fault, tmp_path):
    if fault == "removed-key" and trust.why_not(trust.SYSTEM_FILE):
        pytest.skip("missing tool: mount namespaces")
    running = subprocess.Popen(
        [sys.executable, "-c", LONG.format(fault)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = []
    assert running.stderr is not None
    for line in running.stderr:
        seen.append(line)
        if "the fault is held" in line:
            running.send_signal(signal.SIGINT)
            break
    said, more = running.communicate(timeout=120)
    everything = said + "".join(seen) + more
    assert running.returncode == ExitCode.INTERRUPTED, everything
    assert "Traceback" not in everything
    assert "Exception" not in everything
    assert "PASS" not in said.splitlines()[-1]
    await_nothing_of(tmp_path)
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert str(trust.SYSTEM_FILE) not in mounts
    assert str(tmp_path) not in mounts
