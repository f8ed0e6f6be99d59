"""Secrets are looked for in all of a namespace that others may read, and what is closed is told."""

import base64
import json

import pytest
from api_server import kubeconfig, running

from validation.security import leaks, namespace
from validation.target import Kubernetes, SecretRef

SECRET = "s3cr3t-of-a-test"
POD = {
    "metadata": {"name": "milvus-0"},
    "spec": {"containers": [{"name": "milvus", "args": ["run"], "env": []}]},
    "status": {
        "initContainerStatuses": [{"name": "wait", "restartCount": 0}],
        "containerStatuses": [{"name": "milvus", "restartCount": 1}],
    },
}


class Namespace:
    """An API server with one pod; its answers are what a test makes of them."""

    url = ""

    def __init__(self):
        at = "/api/v1/namespaces/ns"
        self.told = {
            f"{at}/configmaps": {"items": [{"metadata": {"name": "files"}, "data": {"a": "b"}}]},
            f"{at}/pods": {"items": [json.loads(json.dumps(POD))]},
            f"{at}/pods/milvus-0/log?container=milvus&previous=false": "started",
            f"{at}/pods/milvus-0/log?container=milvus&previous=true": "ended",
        }

    @property
    def pod(self):
        (pod,) = self.told["/api/v1/namespaces/ns/pods"]["items"]
        return pod

    def tell(self, path):
        if self.told.get(path) == "closed":
            return 403, {}
        if "/log?" in path and path not in self.told:
            return 400, {"message": "container is waiting to start"}
        return 200, self.told[path]


@pytest.fixture
def cluster():
    return Namespace()


def searched(cluster, secret=SECRET):
    with running(cluster):
        ref = SecretRef.model_validate({"value": kubeconfig(cluster.url)})
        places = namespace.places(Kubernetes(namespace="ns", kubeconfig=ref))
        return leaks.searched({"key": secret}, places)


def test_a_namespace_without_the_secret_is_searched_whole(cluster):
    found = searched(cluster)
    assert (found.found, found.unread, found.why_void) == ([], [], None)
    assert found.places == 5


def in_a_log(cluster, *, previous):
    at = "/api/v1/namespaces/ns/pods/milvus-0/log"
    cluster.told[f"{at}?container=milvus&previous={previous}"] = f"login as {SECRET}"


PLANTED = {
    "ConfigMap files": lambda cluster: cluster.told["/api/v1/namespaces/ns/configmaps"]["items"][0][
        "data"
    ].update(a=f"key: {SECRET}"),
    "pod milvus-0": lambda cluster: cluster.pod["spec"]["containers"][0]["args"].append(
        f"--password={SECRET}"
    ),
    "log of milvus-0/milvus": lambda cluster: in_a_log(cluster, previous="false"),
    "log of milvus-0/milvus before it was restarted": lambda cluster: in_a_log(
        cluster, previous="true"
    ),
}


@pytest.mark.parametrize("place", PLANTED)
def test_a_secret_is_found_where_it_stands_and_nowhere_else(cluster, place):
    PLANTED[place](cluster)
    assert searched(cluster).found == [f"key in {place}"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("configmaps", "namespace ns"),
        ("pods/milvus-0/log?container=milvus&previous=false", "log of milvus-0/milvus"),
    ],
)
def test_what_may_not_be_read_leaves_it_open(cluster, path, place):
    cluster.told[f"/api/v1/namespaces/ns/{path}"] = "closed"
    found = searched(cluster)
    assert [one.partition(": ")[0] for one in found.unread] == [place]
    assert "HTTP 403" in str(found.why_void)


def test_an_api_server_that_is_away_leaves_it_open():
    ref = SecretRef.model_validate({"value": kubeconfig("http://127.0.0.1:1")})
    found = leaks.searched(
        {"key": SECRET}, namespace.places(Kubernetes(namespace="ns", kubeconfig=ref))
    )
    assert "does not answer" in str(found.why_void)


AWKWARD = 'p"a\\s\nté'


@pytest.mark.parametrize(
    "data",
    [
        {"data": {"a": f"key: {AWKWARD}"}},
        {"data": {"a": json.dumps({"key": AWKWARD})}},
        {"binaryData": {"a": base64.b64encode(f"key: {AWKWARD}".encode()).decode()}},
        {"metadata": {"name": "files", "annotations": {"last": json.dumps({"a": AWKWARD})}}},
    ],
)
def test_a_secret_with_letters_that_json_escapes_is_found_in_a_config_map(cluster, data):
    cluster.told["/api/v1/namespaces/ns/configmaps"]["items"][0].update(data)
    assert searched(cluster, AWKWARD).found == ["key in ConfigMap files"]
