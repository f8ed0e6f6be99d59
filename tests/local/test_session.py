"""Whole runs: interrupted, refused, and against a corpus of the user's."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually
from validation.common.resources import find
from validation.errors import ExitCode
from validation.milvus.connection import connect

COMMAND = Path(sys.executable).with_name("milvus-kit")


@pytest.fixture
def start(tmp_path):
    """Start the command in an empty folder."""

    def run(*arguments, **more):
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    return run


def processes_of(folder):
    """Return the commands of processes that mention a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if str(folder) in arguments or where.startswith(str(folder)):
                found.append(arguments.replace("\0", " "))
    return found


def await_nothing_of(folder):
    """Wait until nothing runs of a folder; the supervisors end before the command, at its word."""
    assert [one for one in processes_of(folder) if "supervisor.py" in one] == []
    eventually(lambda: not processes_of(folder), seconds=30)


def test_ctrl_c_keeps_what_was_measured_and_stops_every_server(start, tmp_path):
    running = start("try", "--profile", "smoke", "--rows", "2000")
    seen = []
    for line in running.stderr:
        seen.append(line)
        if "the generated rows are complete" in line and "…" not in line:
            running.send_signal(signal.SIGINT)
            break
    said, more = running.communicate(timeout=120)
    everything = "".join(seen) + more
    assert running.returncode == ExitCode.INTERRUPTED, said + everything
    results = json.loads((tmp_path / "runs" / "latest" / "results.json").read_text())
    assert results["state"] == "interrupted"
    assert results["verdict"] != "pass"
    assert any(one["metric"] == "data.rows_missing" for one in results["observations"])
    assert re.match(r"INCONCLUSIVE|FAIL", said.rstrip().splitlines()[-1])
    assert "Traceback" not in said + everything
    await_nothing_of(tmp_path)


@pytest.mark.parametrize(
    ("ignored", "sent"),
    [
        pytest.param((), signal.SIGHUP, id="a closed terminal", marks=pytest.mark.slow),
        pytest.param((signal.SIGHUP,), signal.SIGTERM, id="kill under nohup"),
    ],
)
def test_what_tells_a_run_to_end_leaves_its_report_and_no_collection(
    start, tmp_path, embedded_stack, ignored, sent
):
    running = start(
        *("validate", "--target", str(embedded_stack.status().target_file), "--profile", "smoke"),
        *("--rows", "2000", "--family", "data", "--family", "latency"),
        preexec_fn=lambda: [signal.signal(one, signal.SIG_IGN) for one in ignored],
    )
    for line in running.stderr:
        if "the generated rows are complete" in line and "…" not in line:
            for one in (*ignored, sent):
                running.send_signal(one)
            break
    said, more = running.communicate(timeout=120)
    assert running.returncode == ExitCode.INTERRUPTED, said + more
    assert "Traceback" not in said + more
    results = json.loads((tmp_path / "runs" / "latest" / "results.json").read_text())
    assert results["state"] == "interrupted"
    assert (tmp_path / "runs" / "latest" / "report.html").exists()
    with connect(embedded_stack.target) as connection:
        names = connection.client.list_collections()
    assert [name for name in names if results["run"][:15].replace("-", "_") in name] == []


def test_ctrl_c_while_servers_start_leaves_nothing(start, tmp_path):
    running = start("try", "--profile", "smoke", "--rows", "2000")
    for line in running.stderr:
        if "start MinIO" in line:
            running.send_signal(signal.SIGINT)
            break
    said, more = running.communicate(timeout=120)
    assert running.returncode == ExitCode.INTERRUPTED, said + more
    assert "Traceback" not in more
    await_nothing_of(tmp_path)
    assert not (tmp_path / "runs" / "latest").exists()


def test_a_changed_sample_file_is_refused_before_anything_is_loaded(
    start, tmp_path, embedded_target_file
):
    corpus = tmp_path / "corpus"
    shutil.copytree(find("sample_data"), corpus)
    with (corpus / "queries.jsonl").open("a") as stream:
        stream.write("\n")
    running = start(
        *("validate", "--target", str(embedded_target_file), "--profile", "smoke"),
        *("--rows", "2000", "--corpus", "corpus"),
    )
    _, said = running.communicate(timeout=120)
    assert running.returncode == ExitCode.USAGE, said
    assert "queries.jsonl" in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_a_sites_own_check_runs_beside_the_kits_and_fails_the_run(
    start, tmp_path, embedded_target_file
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test_mine.py").write_text(
        "def test_desk(gate, connection):\n"
        "    gate('site.collections', [len(connection.client.list_collections())],"
        " unit='collections')\n"
    )
    (tmp_path / "rules.yaml").write_text(
        "schema: milvus-kit/slo/1\nrules:\n"
        "  site.none: {metric: site.collections, max: -1, unit: collections}\n"
    )
    running = start(
        *("validate", "--target", str(embedded_target_file), "--profile", "smoke"),
        *("--rows", "2000", "--checks", "mine", "--rules", "rules.yaml"),
        *("--family", "site", "--family", "identity"),
    )
    said, more = running.communicate(timeout=180)
    assert running.returncode == ExitCode.FAIL, said + more
    assert "site.none" in said
