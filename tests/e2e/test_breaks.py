"""Deliberate breaks and accidents: each makes the run fail, with a message that names it.

Every test plants one fault in the same stack, sees how the run ends, and takes the fault away
again; one that needs the stack to be in a certain state sees to that itself, so that any of them
may be run alone or in another order. One shows that nothing else was in the way.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from infra.kubernetes.check import ClusterCheckProvider
from infra.secrets import x509
from tests.e2e import breaks, evidence, project
from tests.e2e.deployment import Deployment
from tests.e2e.site.cluster import cluster, wanted_after
from tests.waiting import eventually
from validation.errors import MilvusKitError

STACK, TEMPLATE = "breaks", "ci-cluster"
NAMESPACE = "milvus-breaks"
ROLES = "milvus-kit:milvus"
STORE_PORT, MILVUS_PORT = 30930, 30560
FIRST_ROLE = "indexnode"
NO_IMAGE = "127.0.0.1:9/none/etcd:v0"
pytestmark = [pytest.mark.ends_the_stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def deployment(request, pulumi, tools, run_folder, progress):
    root = project.clone(run_folder / "project-breaks")
    made = Deployment(STACK, dataclasses.replace(pulumi, root=root), tools, run_folder, progress)
    document = yaml.safe_load((root / "stacks" / f"Pulumi.{TEMPLATE}.yaml").read_text("utf-8"))
    config = document["config"]
    config["milvus-kit:kubernetes"]["namespace"] = NAMESPACE
    config["milvus-kit:storage"]["access"]["nodePort"] = STORE_PORT
    config[ROLES]["access"]["nodePort"] = MILVUS_PORT
    for role in config[ROLES]["roles"].values():
        role["resources"]["cpu"] = "10m"
        role["terminationGraceSeconds"] = 10
        role["replicas"] = 1
    made.file.write_text(yaml.safe_dump(document), encoding="utf-8")
    if not made.exists():
        made.pulumi.run("stack", "init", STACK)
    with cluster(made, keep=request.config.getoption("--keep"), lent=wanted_after(request)):
        yield made
        evidence.collect(made, progress)
        made.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _failed(deployment: Deployment, fault) -> str:
    """Bring the stack up with a fault planted, and return what the failed run says."""
    breaks.plant(deployment.pulumi.root, fault)
    try:
        with pytest.raises(MilvusKitError) as caught:
            deployment.up()
    finally:
        breaks.plant(deployment.pulumi.root, None)
    return Path(caught.value.where).read_text(encoding="utf-8")


def _with_nothing(deployment: Deployment) -> None:
    """Have nothing of the stack on the cluster."""
    if deployment.pulumi.resources(STACK):
        deployment.pulumi.run("destroy", "-s", STACK, "--yes", "--skip-preview")


def _without_roles(deployment: Deployment) -> None:
    """Have none of Milvus's pods on the cluster."""
    if any(pod.startswith("milvus-") for pod in _pods(deployment)):
        _with_nothing(deployment)


def _pods(deployment: Deployment) -> set[str]:
    return {pod["metadata"]["name"] for pod in deployment.objects("pods", NAMESPACE)}


def _children(group: int) -> list[str]:
    done = subprocess.run(
        ["ps", "-o", "pid=,args=", "-s", str(group)], capture_output=True, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if "<defunct>" not in line]


def test_a_user_that_the_cluster_does_not_know_is_refused_before_anything_is_deployed(deployment):
    stranger = x509.issue(x509.authority("kubernetes"), "kubernetes-admin", [], client=True)
    with deployment.kubeconfig() as path:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    pair = {"client-certificate-data": stranger.certificate, "client-key-data": stranger.key}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in pair.items()}
    document["users"][0]["user"] = encoded
    props = {"kubeconfig": yaml.safe_dump(document), "needs": {}}
    failures = ClusterCheckProvider().check({}, props).failures
    assert len(failures) == 1
    assert "401 Unauthorized: it does not know the user of the kubeconfig" in failures[0].reason


def test_a_taken_node_port_and_an_image_on_no_node_are_named_at_preview(deployment):
    _with_nothing(deployment)
    before = deployment.file.read_text(encoding="utf-8")
    images = {"pullPolicy": "Never", "overrides": {"etcd": NO_IMAGE}}
    taking = ("service", "nodeport", "taken", "--tcp=1", f"--node-port={STORE_PORT}")
    assert deployment.kubectl("create", *taking, "-n", "default").returncode == 0
    try:
        deployment.edit(lambda config: config.update({"milvus-kit:images": images}))
        said = deployment.pulumi.run("preview", "-s", STACK, check=False)
    finally:
        deployment.file.write_text(before, encoding="utf-8")
        deployment.kubectl("delete", "service", "taken", "-n", "default")
    ours = f"node port {STORE_PORT} of Service {NAMESPACE}/object-store"
    assert f"{ours} is taken by Service default/taken" in said
    assert f"image {NO_IMAGE} is on no node" in said
    assert "import it on the nodes" in said
    assert deployment.kubectl("get", "namespace", NAMESPACE).returncode != 0


def test_an_update_that_was_interrupted_leaves_no_process_and_no_lock(deployment):
    _with_nothing(deployment)
    engine = deployment.pulumi
    process = subprocess.Popen(
        ["pulumi", "up", "-s", STACK, "--yes", "--skip-preview", "--non-interactive"],
        cwd=engine.root,
        env=engine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while not _pods(deployment) and process.poll() is None:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0, said
    assert "cancel" in said.lower(), said
    eventually(lambda: _children(process.pid) == [])  # plugins look each second for their engine
    assert list((engine.folder / "state").rglob("locks/**/*.json")) == []


def test_a_secret_and_an_image_that_are_not_there_are_named_with_their_pods(deployment):
    before = deployment.file.read_text(encoding="utf-8")
    missing = {"overrides": {"etcd": NO_IMAGE}}
    deployment.edit(lambda config: config.update({"milvus-kit:images": missing}))
    try:
        said = _failed(deployment, breaks.a_secret_of_another_name)
    finally:
        deployment.file.write_text(before, encoding="utf-8")
    assert re.search(rf'pod minio-0: .*secret "{breaks.WRONG_SECRET}" not found', said), said
    assert re.search(rf"pod etcd-0: container etcd: .*{re.escape(NO_IMAGE)}", said), said
    assert "likely: the image is not to be had" in said
    assert "likely: a Secret, a ConfigMap or a key in it" in said


def test_a_policy_that_forbids_writing_is_named_by_the_action(deployment):
    _without_roles(deployment)
    said = _failed(deployment, breaks.a_policy_that_forbids_writing)
    assert f"the key that was made for Milvus may not {breaks.FORBIDDEN}" in said
    assert "MinIO bucket milvus, policy milvus" in said
    assert not {pod for pod in _pods(deployment) if pod.startswith("milvus-")}


def test_a_field_that_kubernetes_does_not_know_is_named_with_its_object(deployment):
    said = _failed(deployment, breaks.a_manifest_with_an_unknown_field)
    assert re.search(rf"StatefulSet {NAMESPACE}/etcd.*{breaks.UNKNOWN_FIELD}", said), said


def test_a_role_that_starts_before_those_it_waits_for_is_named(deployment):
    _without_roles(deployment)
    said = _failed(deployment, breaks.roles_in_the_reverse_order)
    given_up = rf'Deployment {NAMESPACE}/milvus-proxy: ReplicaSet "\S+" has timed out progressing'
    assert re.search(given_up, said), said
    assert re.search("pod milvus-proxy-.* is not ready: Readiness probe failed", said), said


def test_a_probe_of_a_wrong_path_is_named_with_its_answer_also_before_it_is_given_up(deployment):
    said = _failed(deployment, breaks.a_manifest_with_a_wrong_path)
    answer = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    assert f"Deployment {NAMESPACE}/milvus-{FIRST_ROLE}: still waiting: " in said
    assert said.count(answer) >= 2, said


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (breaks.pods_of_a_user_that_the_image_does_not_know, "its user may not execute"),
        (breaks.a_mount_over_what_the_image_ships, "container milvus: ended with exit code"),
        (breaks.a_pod_for_which_no_node_has_room, "Insufficient cpu"),
        (breaks.a_key_that_the_config_map_has_not, "references non-existent config key"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_pod_that_cannot_start_ends_the_run_with_its_words(deployment, fault, told):
    said = _failed(deployment, fault)
    assert f"Deployment {NAMESPACE}/milvus-{FIRST_ROLE}: pods cannot start" in said
    assert re.search(rf"pod milvus-{FIRST_ROLE}-\S+: ", said), said
    assert told in said


def test_with_every_fault_taken_away_the_stack_comes_up(deployment):
    deployment.up()
    roles = len(yaml.safe_load(deployment.file.read_text("utf-8"))["config"][ROLES]["roles"])
    assert len([pod for pod in _pods(deployment) if pod.startswith("milvus-")]) == roles
