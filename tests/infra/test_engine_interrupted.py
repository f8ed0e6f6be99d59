"""Ctrl-C while a host is made a node: the next update goes on from what was left."""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import os
import signal
import threading
from pathlib import Path

import pulumi
import pytest
from engine_stack import engine_stack
from pulumi import automation

from infra.kubernetes.node import resource
from tests.infra.slow_node import SlowNodeProvider
from tests.infra.test_kubernetes_node import PLAN
from tests.waiting import eventually

# A program that an engine has given up leaves a coroutine of the SDK's behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).parents[2]


def declare() -> None:
    node = resource.Node("node-one", json.dumps(PLAN.document()))
    pulumi.export("kubeconfig", node.kubeconfig)


@pytest.fixture
def host(tmp_path):
    (tmp_path / "hold").touch()
    return tmp_path


@pytest.fixture
def stack(request, engine, host, monkeypatch):
    monkeypatch.setattr(resource, "NodeProvider", SlowNodeProvider)
    environment, folder = engine
    here = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "infra")])
    more = {"MILVUS_KIT_SLOW_NODE": str(host), "PYTHONPATH": here}
    made = engine_stack(f"node-{request.node.callspec.id}", declare, environment | more, folder)
    yield made
    made.destroy()
    _end_programs()
    assert not (host / "record.json").exists()


def done(host: Path) -> list[str]:
    path = host / "done"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_an_update_that_was_interrupted_while_a_node_was_made_can_be_run_again(stack, host, times):
    ended: list[str] = []

    def interrupted() -> None:
        with pytest.raises(automation.CommandError) as caught:
            stack.up()
        ended.append(str(caught.value))  # the error itself would keep the program that it ended

    update = threading.Thread(target=interrupted, daemon=True)
    update.start()
    eventually(lambda: done(host) == ["begun"], seconds=120)
    engine = _engine(Path(stack.workspace.work_dir))
    os.kill(engine, signal.SIGINT)
    if times == 1:
        (host / "hold").unlink()  # an engine that is asked once waits for what it has begun
    else:  # and one that is asked again does not; asked more often, it would leave its lock
        update.join(1)
        os.kill(engine, signal.SIGINT)
    update.join(60)
    (host / "hold").unlink(missing_ok=True)
    update.join(60)
    assert ended
    # What was begun may go on without the engine, to its end.
    eventually(lambda: times == 1 or "made" in done(host) or not _plugins(host), seconds=60)
    stack.up()
    assert stack.outputs()["kubeconfig"].value == "a kubeconfig"
    assert json.loads((host / "record.json").read_text())["made"] == "yes"
    assert set((stack.up().summary.resource_changes or {}).keys()) == {"same"}


def _end_programs() -> None:
    """End what the SDK leaves behind of a program whose engine is gone, before others meet it."""
    gc.collect()
    for one in gc.get_objects():
        if inspect.iscoroutine(one) and one.__qualname__ == "run_in_stack":
            with contextlib.suppress(Exception):  # it says that it was not to end
                one.close()


def _engine(folder: Path) -> int:
    """Return the engine that runs an update, as its lock tells."""
    (lock,) = (folder / "state").rglob("locks/**/*.json")
    return json.loads(lock.read_text(encoding="utf-8"))["pid"]


def _plugins(host: Path) -> list[int]:
    """Return the plugins that make this host a node."""
    mark = f"MILVUS_KIT_SLOW_NODE={host}".encode()
    found = []
    for process, words in _processes():
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            continue
        if mark in environment.split(b"\0") and "pulumi.dynamic" in " ".join(words):
            found.append(process)
    return found


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        found.append((int(folder.name), words))
    return found
