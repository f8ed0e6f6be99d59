"""Stack ``ci-prod``: the prod program on a cluster, a store and a Kafka that somebody else runs."""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

import grpc
import pytest
from botocore.exceptions import ClientError
from pymilvus.grpc_gen.milvus_pb2 import ShowCollectionsRequest
from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub

from infra.kubernetes import check
from infra.secrets import x509
from tests.e2e import evidence
from tests.e2e.deployment import Deployment
from tests.e2e.searching import ROWS, Searching
from tests.e2e.site.cluster import CONTEXT
from tests.e2e.site.whole import site as whole_site
from tests.waiting import eventually
from validation.errors import ExitCode, UnreachableError

STACK = "ci-prod"
NAMESPACE = "milvus-ci-prod"
BUCKET = "milvus-ci-prod"
ROLES = ("rootcoord", "querycoord", "datacoord", "indexnode", "datanode", "querynode", "proxy")
WATCHED_SECONDS = 12
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def site(request, pulumi, tools, run_folder, progress):
    made = Deployment(STACK, pulumi, tools, run_folder, progress)
    with whole_site(made, NAMESPACE, keep=request.config.getoption("--keep")) as found:
        made.hidden.add(found.kafka.password)  # a Milvus before 2.4.6 logs it
        yield made, found
        evidence.collect(made, progress)


@pytest.fixture(scope="module")
def deployment(site):
    return site[0]


@pytest.fixture(scope="module")
def outside(site):
    return site[1]


@pytest.fixture(scope="module")
def target(deployment):
    return deployment.pulumi.output(STACK, "target")


@pytest.fixture(scope="module")
def access(target, deployment):
    """What a client of Milvus needs."""
    milvus = target["milvus"]
    ca = deployment.folder / "milvus-ca.pem"
    ca.write_text(milvus["tls"]["ca_pem"], encoding="utf-8")
    password = milvus["auth"]["password"]["value"]
    return {"user": "root", "password": password, "secure": True, "server_pem_path": str(ca)}


def _pods(deployment) -> dict[str, dict]:
    return {pod["metadata"]["name"]: pod for pod in deployment.objects("pods", NAMESPACE)}


def _claims(deployment) -> list[dict]:
    return deployment.objects("pvc", NAMESPACE)


def _names(deployment, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in deployment.objects(kind, NAMESPACE)}


def _answer(target, ca_pem: str | None, who: str) -> str:
    """Return the status of Milvus's answer to a bare request: plaintext, or TLS with that CA."""
    address = target["milvus"]["uri"].removeprefix("https://")
    trusted = grpc.ssl_channel_credentials(ca_pem.encode()) if ca_pem else None
    channel = grpc.secure_channel(address, trusted) if trusted else grpc.insecure_channel(address)
    metadata = [("authorization", base64.b64encode(who.encode()).decode())] if who else []
    with channel:
        stub = MilvusServiceStub(channel)
        request = ShowCollectionsRequest()
        try:
            stub.ShowCollections(request, timeout=5, metadata=metadata)
        except grpc.RpcError as error:
            return error.code().name if isinstance(error, grpc.Call) else repr(error)
        return "OK"


def _refused(deployment, change) -> str:
    """Return what a preview says to a changed configuration, which is then put back."""
    before = deployment.file.read_text(encoding="utf-8")
    try:
        deployment.edit(change)
        said = deployment.pulumi.run("preview", "-s", STACK, check=False)
    finally:
        deployment.file.write_text(before, encoding="utf-8")
    assert "error:" in said
    return said


def test_a_stack_that_does_not_fit_on_the_cluster_is_refused_with_every_reason(deployment):
    def change(config):
        config["milvus-kit:kubernetes"]["storageClass"] = "gold"
        nodes = config["milvus-kit:milvus"]["roles"]["querynode"]["resources"]
        nodes.update(cpu="500", memory="900Gi")

    said = _refused(deployment, change)
    assert "storage class gold is not there (there are: local-path)" in said
    assert re.search(r"its pods request 1000\.\d+ CPUs, the nodes have \d", said)
    assert re.search(r"its pods request 18\d\d\.\d GiB, the nodes have \d", said)
    assert "nothing was deployed" in said
    assert _pods(deployment) == {}


def test_a_context_that_leads_nowhere_is_named_with_its_address(outside):
    access = {"kubeconfig_file": str(outside.kubeconfig), "needs": {}}
    assert check.look({**access, "context": CONTEXT}).nodes
    with pytest.raises(UnreachableError, match="does not answer") as caught:
        check.look({**access, "context": "nowhere"})
    assert "https://127.0.0.1:1" in str(caught.value)


@pytest.mark.foundation
def test_up_brings_every_role_twice_and_a_quorum_of_etcd_to_ready(deployment):
    deployment.up()
    pods = _pods(deployment)
    ready = [
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in pods.values()
        if all(one["ready"] for one in pod["status"].get("containerStatuses") or [{"ready": False}])
    ]
    assert {role: ready.count(role) for role in ROLES} == dict.fromkeys(ROLES, 2)
    assert ready.count("etcd") == 3
    assert _names(deployment, "pdb") == {"etcd", *(f"milvus-{role}" for role in ROLES)}


@pytest.fixture(scope="module")
def hidden(outside, target) -> list[str]:
    return [
        target["milvus"]["auth"]["password"]["value"],
        target["storage"]["secret_key"]["value"],
        outside.client_secret,
        outside.kafka.password,
    ]


def test_the_state_holds_no_secret_in_plain_text(deployment, hidden):
    state = deployment.folder / "state"
    assert list(state.rglob("*.json"))
    assert evidence.telling(state, [*hidden, "PRIVATE KEY"]) == []
    assert evidence.telling(deployment.folder, hidden) == []


def test_the_store_is_reached_by_tls_with_its_own_ca_alone(outside):
    store = outside.store
    with pytest.raises(urllib.error.HTTPError) as plain:
        urllib.request.urlopen(f"http://{store.host}:{store.port}/", timeout=10)
    assert plain.value.code == 400
    other = ssl.create_default_context(cadata=x509.authority("another").certificate)
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(store.endpoint, timeout=10, context=other)


def test_the_key_that_milvus_got_opens_its_bucket_and_nothing_else(outside, target):
    storage = target["storage"]
    keys = (storage["access_key"]["value"], storage["secret_key"]["value"])
    assert (storage["bucket"], storage["provider"]) == (BUCKET, "x10000")
    with outside.store.as_root() as root:
        root.create_bucket(Bucket="somebody-elses")
        root.put_object(Bucket="somebody-elses", Key="a", Body=b"")
    with outside.store.client(*keys) as client:
        client.list_objects_v2(Bucket=BUCKET)
        for call, arguments in {
            "list_objects_v2": {"Bucket": "somebody-elses"},
            "get_object": {"Bucket": "somebody-elses", "Key": "a"},
            "put_object": {"Bucket": "somebody-elses", "Key": "b", "Body": b""},
            "create_bucket": {"Bucket": "not-ours"},
            "delete_bucket": {"Bucket": BUCKET},
        }.items():
            with pytest.raises(ClientError, match="AccessDenied"):
                getattr(client, call)(**arguments)


@pytest.mark.parametrize("who", ["", "root:somebody-elses", "root:Milvus"])
def test_milvus_lets_in_only_who_knows_the_password(target, who):
    assert _answer(target, target["milvus"]["tls"]["ca_pem"], who) == "UNAUTHENTICATED"
    password = target["milvus"]["auth"]["password"]["value"]
    assert _answer(target, target["milvus"]["tls"]["ca_pem"], f"root:{password}") == "OK"


def test_milvus_speaks_tls_alone_with_a_certificate_of_the_stacks_own_ca(target):
    who = f"root:{target['milvus']['auth']['password']['value']}"
    assert _answer(target, None, who) == "UNAVAILABLE"
    assert _answer(target, x509.authority("another").certificate, who) == "UNAVAILABLE"


def test_validation_from_outside_passes(deployment):
    status, output = deployment.validate("--profile", "smoke")
    assert status == 0, output[-3000:]


def _eviction(deployment, pod: str) -> str:
    """Ask for a pod's eviction as a drain would, without carrying it out; return the answer."""
    request = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": NAMESPACE},
        "deleteOptions": {"dryRun": ["All"]},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    done = deployment.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(request))
    return done.stdout + done.stderr


def _budgets(deployment) -> dict[str, dict[str, int]]:
    found = deployment.objects("poddisruptionbudgets", NAMESPACE)
    return {one["metadata"]["name"]: one["status"] for one in found}


def test_of_two_pods_of_a_role_a_drain_may_take_one(deployment):
    budgets = _budgets(deployment)
    for role in ROLES:
        seen = budgets[f"milvus-{role}"]
        counted = [seen[key] for key in ("expectedPods", "currentHealthy", "disruptionsAllowed")]
        assert counted == [2, 2, 1], role
    pod = next(name for name in _pods(deployment) if name.startswith("milvus-proxy-"))
    assert '"status":"Success"' in _eviction(deployment, pod).replace(" ", "")


def test_no_pod_may_ask_the_api_server_for_anything_of_the_namespace(deployment):
    pods = _pods(deployment).values()
    assert not [one for pod in pods for one in pod["spec"].get("volumes", []) if "projected" in one]
    for account in {pod["spec"]["serviceAccountName"] for pod in pods}:
        name = f"system:serviceaccount:{NAMESPACE}:{account}"
        for verb, kind in (("get", "secrets"), ("list", "pods"), ("create", "pods")):
            ask = ("auth", "can-i", verb, kind, "-n", NAMESPACE, f"--as={name}")
            assert deployment.kubectl(*ask).stdout.strip() == "no", ask


def test_a_member_of_etcd_is_killed_under_searches_and_nothing_is_lost(deployment, target, access):
    assert '"status":"Success"' in _eviction(deployment, "etcd-1").replace(" ", "")
    with Searching(target["milvus"]["uri"], replicas=2, **access) as searching:
        start = time.monotonic()
        gone = _pods(deployment)["etcd-0"]["metadata"]["uid"]
        kill = ("delete", "pod", "etcd-0", "-n", NAMESPACE, "--grace-period=0", "--force")
        deployment.kubectl(*kill)
        while _budgets(deployment)["etcd"]["disruptionsAllowed"] and time.monotonic() < start + 10:
            time.sleep(0.1)
        # With a member away, a drain may not take another: two of three are the quorum.
        assert "violate the pod's disruption budget" in _eviction(deployment, "etcd-1")
        answered, failed = searching.counted(start, WATCHED_SECONDS)
        searching.answers_since(time.monotonic(), 60)
        # Metadata are written while a member is away or just back.
        client: Any = searching.client
        client.create_collection("made_meanwhile", dimension=4)
        rows = client.query("e2e_under_load", "", output_fields=["count(*)"])
        ready = ("wait", "--for=condition=Ready", "pod/etcd-0", "-n", NAMESPACE, "--timeout=60s")
        assert deployment.kubectl(*ready).returncode == 0
    deployment.progress.say(f"etcd-0 killed: {failed} of {answered + failed} searches failed")
    assert _pods(deployment)["etcd-0"]["metadata"]["uid"] != gone
    assert rows[0]["count(*)"] == ROWS
    assert answered > 50
    assert failed <= 0.05 * (answered + failed)


def _at_work(deployment) -> list[str]:
    """Return the pods that run, or soon will; those of Jobs stay when they are complete."""
    done = {"Succeeded", "Failed"}
    return [name for name, pod in _pods(deployment).items() if pod["status"]["phase"] not in done]


def _run_now(deployment, cron_job: str) -> None:
    """Make a Job of a CronJob, wait until it is complete, and remove it."""
    job = f"{cron_job}-now"
    made = deployment.kubectl(
        *("create", "job", job, f"--from=cronjob/{cron_job}", "-n", NAMESPACE)
    )
    assert made.returncode == 0, made.stderr
    waited = deployment.kubectl(
        *("wait", "--for=condition=Complete", f"job/{job}", "-n", NAMESPACE, "--timeout=120s")
    )
    assert waited.returncode == 0, "\n".join(evidence.causes(deployment))
    deployment.kubectl("delete", "job", job, "-n", NAMESPACE)


def _is_loaded(client: Any, name: str) -> bool:
    return client.get_load_state(name)["state"].name == "Loaded"


def test_etcd_is_brought_back_from_its_newest_snapshot_as_the_docs_say(
    deployment, outside, target, access
):
    scale = ("scale", "-n", NAMESPACE)
    with Searching(target["milvus"]["uri"], replicas=2, **access) as searching:
        client: Any = searching.client
        before = deployment.manifest("before")
        _run_now(deployment, "etcd-snapshot")
        with outside.store.as_root() as root:
            found = root.list_objects_v2(Bucket=BUCKET, Prefix="etcd-snapshots/")
        assert len(found["Contents"]) == 1
        client.create_collection("made_after_the_snapshot", dimension=4)
        start = time.monotonic()
        for what in (("deployment", "-l", "app.kubernetes.io/name=milvus"), ("statefulset/etcd",)):
            done = deployment.kubectl(*scale, *what, "--replicas=0")
            assert done.returncode == 0, done.stderr
        eventually(lambda: not _at_work(deployment), seconds=90)
        for member in range(3):
            _run_now(deployment, f"etcd-restore-etcd-{member}")
        deployment.kubectl(*scale, "statefulset/etcd", "--replicas=3")
        deployment.up("--refresh")
        searching.answers_since(time.monotonic(), 120)
        seconds = time.monotonic() - start
        known = client.list_collections()
        eventually(lambda: all(_is_loaded(client, name) for name in known), seconds=90)
        status, output = deployment.manifests_differ(before, deployment.manifest("restored"))
    deployment.progress.say(f"etcd restored: right answers {seconds:.0f} s after all was stopped")
    assert status == ExitCode.PASS, output[-3000:]  # every row, index and user is there again
    assert "made_after_the_snapshot" not in known


def test_destroy_refuses_what_prod_protects_and_touches_nothing(deployment):
    before = set(_pods(deployment))
    said = deployment.pulumi.run(
        "destroy", "-s", STACK, "--yes", "--skip-preview", check=False, seconds=300
    )
    assert "protect" in said
    assert set(_pods(deployment)) == before


def test_a_second_update_that_lifts_the_protection_changes_nothing_else(deployment):
    before = {name: pod["metadata"]["uid"] for name, pod in _pods(deployment).items()}
    deployment.edit(lambda config: config["milvus-kit:storage"].update(protect=False))
    output = deployment.up()
    counted = output[output.index("Resources:") :].split("Duration")[0].split("\n")
    assert [line.split()[-1] for line in counted[1:] if line.strip()] == ["unchanged"], counted
    assert {name: pod["metadata"]["uid"] for name, pod in _pods(deployment).items()} == before


def test_destroy_once_allowed_leaves_the_data_and_nothing_else(deployment, outside, target, hidden):
    given = _names(deployment, "secret") & {"store-ca", "kafka-ca", "kafka-user"}
    deployment.destroy()
    assert evidence.telling(deployment.folder, hidden) == []
    kept = "".join(path.read_text("utf-8") for path in deployment.folder.glob("cluster-*/*.log"))
    assert "sasl.password" in kept  # and it was masked
    assert deployment.pulumi.resources(STACK) == []
    kinds = "pods,deploy,sts,job,cronjob,svc,cm,secret,networkpolicy,pdb"
    left = _names(deployment, kinds) - {"kube-root-ca.crt"}
    assert left == given
    # prod keeps what holds data: the bucket, and the claims of etcd.
    assert _names(deployment, "pvc") == {f"data-etcd-{n}" for n in range(3)}
    chosen = ("-l", "app.kubernetes.io/name=etcd")  # as docs/topology.md says
    deployment.kubectl("delete", "pvc", *chosen, "-n", NAMESPACE, "--wait=false")
    assert all("deletionTimestamp" in one["metadata"] for one in _claims(deployment))
    with outside.store.as_root() as root:
        held = root.list_objects_v2(Bucket=BUCKET)["Contents"]
        assert {item["Key"].split("/")[0] for item in held} == {"files", "etcd-snapshots"}
    assert list(outside.management.things["buckets"]) == [BUCKET]
    assert outside.management.things["users"] == {}
    storage = target["storage"]
    keys = (storage["access_key"]["value"], storage["secret_key"]["value"])
    with (
        outside.store.client(*keys) as client,
        pytest.raises(ClientError, match="InvalidAccessKeyId"),
    ):
        client.list_objects_v2(Bucket=BUCKET)
