"""What runs is held against what was declared: a changed field is named, and nothing else is."""

import copy
from urllib.parse import parse_qs

import declaring
import pytest
from api_server import kubeconfig, running
from declaring import CLUSTER_23, DEV, STANDALONE, settings_of
from kubernetes.utils.quantity import parse_quantity

from infra import program
from validation import target as targets
from validation.declared import digests
from validation.declared.cluster import differences
from validation.errors import MeasurementError
from validation.security.act import behind


class Objects:
    """The API server of a cluster in which everything is as a stack declares it."""

    def __init__(self, document):
        found = []
        made = declaring.run(
            lambda: program.build(settings_of(document), "test").apply(found.append)
        )
        self.target = targets.parse(found[0], source="test")
        kinds = {"deployments": "Deployment", "statefulsets": "StatefulSet"}
        self.objects = {
            f"{plural}/{one['metadata']['name']}": copy.deepcopy(one)
            for plural, kind in {**kinds, "configmaps": "ConfigMap"}.items()
            for one in made.kubernetes()
            if one["kind"] == kind and one["metadata"]["name"].startswith("milvus-")
        }
        self.pods = {
            name: [self.pod(one, f"{name}-{at}") for at in range(one["spec"].get("replicas", 1))]
            for name, one in self.objects.items()
            if "template" in one.get("spec", {})
        }
        self.forbidden = False
        self.url = ""

    @staticmethod
    def pod(owner, name):
        made = copy.deepcopy(owner["spec"]["template"])
        made["metadata"]["name"] = name.partition("/")[2]
        made["status"] = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [],
        }
        return made

    def tell(self, path):
        where, _, query = path.partition("?")
        kind, name = where.split("/")[-2:]
        if self.forbidden:
            return 403, {}
        if name == "pods":
            return 200, {
                "items": [pod for pods in self.pods.values() for pod in pods if matches(pod, query)]
            }
        found = self.objects.get(f"{kind}/{name}")
        return (404, {}) if found is None else (200, found)


def matches(pod, query):
    (wanted,) = parse_qs(query)["labelSelector"]
    labels = pod["metadata"]["labels"]
    return all(labels.get(key) == value for key, value in (p.split("=") for p in wanted.split(",")))


@pytest.fixture(params=[DEV, STANDALONE, CLUSTER_23], ids=["cluster", "standalone", "2.3"])
def cluster(request):
    return Objects(request.param)


def looked_at(cluster):
    with running(cluster):
        return differences(declared(cluster, cluster.url))


def declared(cluster, url):
    ref = targets.SecretRef.model_validate({"value": kubeconfig(url)})
    return cluster.target.kubernetes.model_copy(update={"kubeconfig": ref})


def test_what_is_as_declared_differs_in_nothing(cluster):
    found = looked_at(cluster)
    assert len(found) > 10
    assert behind(found) == ""


def any_of(cluster):
    return next(
        (name, one) for name, one in cluster.objects.items() if "template" in one.get("spec", {})
    )


def test_another_number_of_replicas_is_named(cluster):
    name, one = any_of(cluster)
    one["spec"]["replicas"] = 7
    short = name.partition("/")[2]
    assert behind(looked_at(cluster)).startswith(f"{short}: replicas: declared ")
    assert "found 7" in behind(looked_at(cluster))


def test_another_image_is_named_in_object_and_pod(cluster):
    name, one = any_of(cluster)
    for place in (one["spec"]["template"], *cluster.pods[name]):
        place["spec"]["containers"][0]["image"] = "elsewhere/milvus:v9"
    said = behind(looked_at(cluster))
    assert said.count("image: declared ") == 1 + len(cluster.pods[name])
    assert "found elsewhere/milvus:v9" in said


def test_a_changed_setting_is_named(cluster):
    name, _ = any_of(cluster)
    short = name.partition("/")[2]
    cluster.objects[f"configmaps/{short}"]["data"]["user.yaml"] += "\nquotaAndLimits: {}\n"
    assert behind(looked_at(cluster)).startswith(f"{short}: files of its ConfigMap: declared ")


def test_a_changed_variable_resource_or_argument_is_named(cluster):
    name, one = any_of(cluster)
    (own,) = one["spec"]["template"]["spec"]["containers"]
    own["env"].append({"name": "PROXY_PORT", "value": "1"})
    own["resources"].setdefault("limits", {})["memory"] = "1Ti"
    own["args"] = [*own["args"], "-x"]
    said = behind(looked_at(cluster))
    short = name.partition("/")[2]
    for what in ("environment", "resources", "arguments"):
        assert f"{short}: {what}: declared " in said


def own_of(one):
    (own,) = one["spec"]["template"]["spec"]["containers"]
    return own


CHANGES = {
    "command": lambda one: own_of(one).update(command=["/bin/sh", "-c"]),
    "environment": lambda one: own_of(one).update(envFrom=[{"secretRef": {"name": "more"}}]),
    "environment (valueFrom)": lambda one: next(
        it for it in own_of(one)["env"] if it["name"] == "MINIO_ACCESS_KEY_ID"
    )["valueFrom"]["secretKeyRef"].update(name="another"),
    "environment (instead of a Secret)": lambda one: next(
        it for it in own_of(one)["env"] if it["name"] == "MINIO_ACCESS_KEY_ID"
    ).update(valueFrom=None, value="mine"),
    "init containers": lambda one: one["spec"]["template"]["spec"].update(
        initContainers=[{"name": "first", "image": "other:1"}]
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_command_source_of_variables_or_init_container_is_named(cluster, what):
    name, one = any_of(cluster)
    CHANGES[what](one)
    said = behind(looked_at(cluster))
    assert said.startswith(f"{name.partition('/')[2]}: {what.partition(' (')[0]}: declared ")
    assert "; " not in said


def test_a_renamed_file_of_a_config_map_is_named(cluster):
    name, _ = any_of(cluster)
    short = name.partition("/")[2]
    data = cluster.objects[f"configmaps/{short}"]["data"]
    data["other.yaml"] = data.pop("user.yaml")
    assert behind(looked_at(cluster)).startswith(f"{short}: files of its ConfigMap: declared ")


def test_what_the_api_server_fills_into_references_is_no_drift():
    def digest(field, resource, secret):
        sources = [{"fieldRef": field}, {"resourceFieldRef": resource}, {"secretKeyRef": secret}]
        env = [{"name": f"N{at}", "valueFrom": one} for at, one in enumerate(sources)]
        return digests.environment({"env": env})

    sent = digest({"fieldPath": "x"}, {"resource": "y"}, {"name": "s", "key": "k"})
    assert sent == digest(
        {"apiVersion": "v1", "fieldPath": "x"},
        {"resource": "y", "divisor": "0"},
        {"name": "s", "key": "k", "optional": False},
    )
    assert sent != digest({"fieldPath": "x"}, {"resource": "y"}, {"name": "s", "key": "other"})


def test_a_target_of_an_older_kit_declares_no_command_and_none_is_compared(cluster):
    for one in cluster.objects.values():
        if "template" in one.get("spec", {}):
            own_of(one)["command"] = ["other"]
    workloads = tuple(
        one.model_copy(update={"command": None}) for one in cluster.target.kubernetes.workloads
    )
    cluster.target = cluster.target.model_copy(
        update={"kubernetes": cluster.target.kubernetes.model_copy(update={"workloads": workloads})}
    )
    assert behind(looked_at(cluster)) == ""


def test_what_a_cluster_adds_to_pods_is_no_drift(cluster):
    name, _ = any_of(cluster)
    for pod in cluster.pods[name]:
        pod["spec"]["containers"][0]["resources"].setdefault("limits", {})["example.com/x"] = "1"
        pod["spec"]["containers"].append({"name": "mesh", "image": "mesh:1"})
    assert behind(looked_at(cluster)) == ""
    (one,) = cluster.pods[name][:1]
    one["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "63"
    assert "resources: declared " in behind(looked_at(cluster))


def test_a_missing_object_and_a_pod_that_is_not_ready_are_named(cluster):
    name, _ = any_of(cluster)
    cluster.pods[name][0]["status"]["conditions"] = []
    assert "pods that are ready: declared " in behind(looked_at(cluster))
    del cluster.objects[name]
    assert "there is none" in behind(looked_at(cluster))


def test_amounts_are_compared_and_not_how_they_are_written(cluster):
    _, one = any_of(cluster)
    (own,) = one["spec"]["template"]["spec"]["containers"]
    requests = own["resources"]["requests"]
    requests["cpu"] = f"{int(parse_quantity(requests['cpu']) * 1000)}m"
    assert behind(looked_at(cluster)) == ""


def test_a_namespace_that_may_not_be_read_is_not_taken_for_an_empty_one(cluster):
    cluster.forbidden = True
    with pytest.raises(MeasurementError, match="may not be read: HTTP 403"):
        looked_at(cluster)


def test_an_api_server_that_is_not_there_is_named(cluster):
    with pytest.raises(MeasurementError, match="does not answer"):
        differences(declared(cluster, "http://127.0.0.1:1"))
