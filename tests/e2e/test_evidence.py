"""What is kept of a run explains it, and gives no secret away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import evidence
from tests.e2e.deployment import Deployment
from validation.common.progress import Progress

POD = {
    "metadata": {"namespace": "one", "name": "milvus-0"},
    "spec": {"containers": []},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "NotReady", "message": "not yet"}
        ]
    },
}
LOG = "[INFO] started\n[ERROR] no log at milvus:planted-password@kafka\n"


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    """A stack with one pod, as kubectl would show it."""
    nothing: Any = None
    made = Deployment("ci", nothing, nothing, tmp_path, Progress())
    made.hidden.add("planted-password")
    monkeypatch.setattr(made, "has_cluster", lambda: True)

    def kubectl(*arguments: str, **_: str) -> subprocess.CompletedProcess[str]:
        told = {"logs": LOG, "get": json.dumps({"items": [POD] if "pods" in arguments else []})}
        return subprocess.CompletedProcess(arguments, 0, told.get(arguments[0], ""), "")

    monkeypatch.setattr(made, "kubectl", kubectl)
    return made


def _kept(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())


def test_a_secret_that_a_pod_logs_is_masked_in_what_is_kept_and_told(deployment):
    evidence.collect(deployment, deployment.progress)
    told = "\n".join(evidence.causes(deployment))
    for text in (_kept(deployment.folder), told):
        assert "milvus:***@kafka" in text
        assert "planted-password" not in text


def test_a_pod_that_is_not_ready_is_told_with_its_condition_and_last_words(deployment):
    told = evidence.causes(deployment)
    assert told[:2] == ["pod: one/milvus-0", "condition: NotReady: not yet"]
    assert told[-1].strip().startswith("[ERROR] no log")


def test_a_cluster_that_does_not_answer_hides_no_failure(deployment, monkeypatch):
    def kubectl(*_: str) -> None:
        raise subprocess.TimeoutExpired("kubectl", 300)

    monkeypatch.setattr(deployment, "kubectl", kubectl)
    assert "timed out" in "".join(evidence.causes(deployment))


def test_a_file_that_holds_a_secret_is_found(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "pod.log").write_bytes(b"\xff key=planted-password\n")
    (tmp_path / "other").write_text("nothing", encoding="utf-8")
    assert evidence.telling(tmp_path, ["planted-password"]) == [tmp_path / "logs" / "pod.log"]
    with pytest.raises(ValueError, match="nothing to look for"):
        evidence.telling(tmp_path, [""])


def test_the_passphrase_of_a_state_is_kept_only_with_a_stack_that_goes_on_running(tmp_path):
    over, running = tmp_path / "over", tmp_path / "running"
    for folder in (over, running):
        folder.mkdir()
    given = evidence.passphrase(over, keep=False)
    assert given not in _kept(over)
    assert "went with the run" in _kept(over)
    first, second = (evidence.passphrase(running, keep=True) for _ in range(2))
    assert first == second != given
    assert (running / "passphrase").stat().st_mode & 0o777 == 0o600
