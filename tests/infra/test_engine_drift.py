"""What a refresh finds at a node is shown by the real engine, and taken note of by an update."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest
from engine_stack import engine_stack
from pulumi import automation

from infra.kubernetes.node import resource
from tests.infra.slow_node import SlowNodeProvider
from tests.infra.test_kubernetes_node import PLAN

# A program that an engine has given up leaves a coroutine of the SDK's behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).parents[2]


def declare() -> None:
    resource.Node("node-one", json.dumps(PLAN.document()))


@pytest.fixture
def stack(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "NodeProvider", SlowNodeProvider)
    environment, folder = engine
    here = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "infra")])
    more = {"MILVUS_KIT_SLOW_NODE": str(tmp_path), "PYTHONPATH": here}
    made = engine_stack("drift", declare, environment | more, folder)
    made.up()
    yield made
    made.destroy()
    gc.collect()


def changes(result) -> dict[str, int]:
    counts = dict(getattr(result, "change_summary", None) or result.summary.resource_changes or {})
    counts.pop("same", None)
    return {str(getattr(name, "value", name)): count for name, count in counts.items()}


def test_an_upgraded_kubelet_is_shown_by_refresh_and_preview_and_noted_by_up(stack, tmp_path):
    assert changes(stack.refresh()) == {}
    (tmp_path / "kubelet").write_text("v1.36.9", encoding="utf-8")
    with pytest.raises(automation.CommandError, match="no changes were expected"):
        stack.refresh(expect_no_changes=True)
    assert changes(stack.refresh()) == {"update": 1}
    assert changes(stack.preview()) == {"update": 1}
    assert changes(stack.up()) == {"update": 1}
    assert changes(stack.refresh()) == {}
    assert changes(stack.preview()) == {}
    assert (tmp_path / "done").read_text().splitlines() == ["begun", "made", "adopted"]
