"""A cluster under the real engine: made, left alone, never exchanged for another."""

from __future__ import annotations

import gc

import pytest
from engine_stack import engine_stack
from pulumi import ResourceOptions, automation

from infra.kubernetes.check import ClusterCheck
from infra.kubernetes.kind import kind
from infra.kubernetes.needs import Needs
from infra.settings.cluster import KindCluster
from tests.infra.api_server import Cluster, running

# A program that an engine has given up leaves a coroutine of the SDK's behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_KIND = """#!/bin/sh
cd {folder}
echo "$*" >> asked
case "$1 $2" in
"get clusters") [ ! -e there ] || echo k ;;
"get kubeconfig") cat kubeconfig ;;
"create cluster") touch there ;;
"delete cluster") rm there ;;
esac
"""


class Wanted:
    """What the program declares; a test changes it."""

    name = "k"
    workers = 0


def declare() -> None:
    document = {"provider": "kind", "clusterName": Wanted.name, "workers": Wanted.workers}
    access, made = kind(KindCluster.model_validate(document))
    ClusterCheck(access, Needs(), ResourceOptions(depends_on=made))


@pytest.fixture(scope="module")
def cluster():
    with running(Cluster()) as started:
        yield started


@pytest.fixture(scope="module")
def stack(engine, cluster):
    environment, folder = engine
    for name, text in {"kind": _KIND.format(folder=folder), "docker": "#!/bin/sh\n"}.items():
        script = folder / "bin" / name
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
    (folder / "kubeconfig").write_text(cluster.kubeconfig, encoding="utf-8")
    made = engine_stack("cluster", declare, environment, folder)
    made.preview()  # nothing is known of the cluster yet
    made.up()
    yield made
    made.destroy()
    gc.collect()
    assert not (folder / "there").exists()


@pytest.fixture
def as_it_was(engine):
    """Put right what a test asked for, and make sure that the cluster is the same one."""
    asked = engine[1] / "asked"
    before = [line for line in asked.read_text().splitlines() if " cluster " in line]
    yield
    Wanted.name, Wanted.workers = "k", 0
    after = [line for line in asked.read_text().splitlines() if " cluster " in line]
    assert (after, len(after)) == (before, 1)


def test_a_second_update_changes_nothing_and_the_cluster_is_remembered(stack, cluster):
    changes = dict(stack.up().summary.resource_changes or {})
    assert set(changes) == {"same"}
    state = {one["urn"].split("::")[-1]: one for one in _resources(stack)}
    assert state["cluster"]["inputs"]["uid"] == cluster.uid
    assert state["cluster"]["outputs"]["uid"] == cluster.uid


def test_the_state_holds_no_key_of_the_cluster_in_plain_text(stack, engine):
    """An engine masks on screen all that equals a secret, whatever the state holds."""
    assert stack.up()
    files = [path for path in (engine[1] / "state").rglob("*") if path.is_file()]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    assert "::cluster" in text
    assert "planted-token" not in text


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("how", ["preview", "up"])
def test_another_shape_of_the_cluster_is_refused_and_nothing_is_touched(stack, how):
    Wanted.workers = 2
    with pytest.raises(automation.CommandError, match=r"kubernetes\.workers") as caught:
        getattr(stack, how)()  # `up` as automation does it, without a preview
    assert "(was 0, now 2)" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.usefixtures("as_it_was")
def test_a_cluster_of_another_name_is_refused_before_it_is_made(stack):
    Wanted.name = "other"
    with pytest.raises(automation.CommandError, match=r"kubernetes\.clusterName.*was k, now other"):
        stack.preview()


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("how", ["preview", "up", "refresh"])
def test_another_cluster_behind_the_same_kubeconfig_is_refused_with_both_named(stack, cluster, how):
    first, cluster.uid = cluster.uid, "22222222-bbbb"
    try:
        with pytest.raises(automation.CommandError, match=f"UID 22222222-bbbb, it was {first}"):
            getattr(stack, how)()
    finally:
        cluster.uid = first


def _resources(stack: automation.Stack) -> list[dict]:
    return (stack.export_stack().deployment or {})["resources"]
