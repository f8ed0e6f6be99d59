from __future__ import annotations

import itertools

import pytest
import yaml
from declaring import (
    CLUSTER_23,
    DEV,
    PROD,
    STANDALONE,
    Declared,
    changed,
    declare,
    settings_of,
    shown,
)

from infra.milvus.capacity.planning import plan
from infra.milvus.roles import image
from validation.errors import ConfigurationError

STOP = "gracefulStopTimeout"
OLD_COORDINATORS = {"rootCoord", "queryCoord", "dataCoord"}
ALL = {"dev": DEV, "standalone": STANDALONE, "cluster-2.3": CLUSTER_23, "prod": PROD}


@pytest.fixture(scope="module", params=ALL)
def declared(request):
    return declare(ALL[request.param])


def templates(declared: Declared) -> dict[str, dict]:
    return {name: shown(template) for name, template in declared.workloads().items()}


def containers(template: dict) -> list[dict]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def milvus_pods(declared: Declared) -> dict[str, dict]:
    return {
        name.split("/")[1].removeprefix("milvus-"): template
        for name, template in templates(declared).items()
        if template["metadata"]["labels"]["app.kubernetes.io/name"] == "milvus"
    }


def test_no_pod_has_service_links_or_a_token(declared):
    for name, template in templates(declared).items():
        assert template["spec"]["enableServiceLinks"] is False, name
        assert template["spec"]["automountServiceAccountToken"] is False, name


def test_every_pod_meets_the_restricted_standard_with_a_read_only_image(declared):
    for name, template in templates(declared).items():
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] == 1000, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


def test_the_last_lines_of_a_container_that_failed_are_told_with_its_state(declared):
    for name, template in templates(declared).items():
        for container in containers(template):
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name


def test_every_image_has_a_version(declared):
    for name, template in templates(declared).items():
        for container in containers(template):
            assert ":" in container["image"].rsplit("/", 1)[1], name
            assert not container["image"].endswith(":latest"), name


def test_every_pod_pulls_with_the_declared_secret():
    there = {"createNamespace": False}
    images = {"requireDigest": False, "pullSecrets": ["registry"]}
    document = changed(PROD, images=images, kubernetes=there)
    for name, template in templates(declare(document)).items():
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}], name


def test_each_milvus_pod_writes_only_to_volumes_of_its_own(declared):
    for name, template in milvus_pods(declared).items():
        mounts = {
            item["mountPath"]: item for item in template["spec"]["containers"][0]["volumeMounts"]
        }
        for path in ("/var/lib/milvus", "/milvus/logs", "/run/milvus", "/tmp"):
            assert "readOnly" not in mounts[path], name
        assert mounts["/milvus/configs/user.yaml"]["readOnly"] is True, name
        for path in image.facts(version_of(declared)).written:
            assert path in mounts, name


def version_of(declared: Declared) -> str:
    return declared.of("DayZero")["day-zero"].inputs["version"]


def test_nothing_that_the_image_ships_beside_the_configuration_is_hidden(declared):
    for name, template in milvus_pods(declared).items():
        mounts = template["spec"]["containers"][0]["volumeMounts"]
        paths = {item["mountPath"] for item in mounts}
        assert "/milvus/configs" not in paths, name
        shipped = image.facts(version_of(declared)).shipped
        assert not paths & {f"/milvus/configs/{file}" for file in shipped}, name
        # A file that takes the place of nothing in a folder can only be mounted by its name.
        (ours,) = [item for item in mounts if item["mountPath"].startswith("/milvus/configs")]
        assert ours["subPath"] == "user.yaml", name
        assert set(declared.one("ConfigMap", f"milvus-{name}")["data"]) == {"user.yaml"}


def test_each_milvus_pod_may_execute_what_is_for_its_owner_and_group_alone(declared):
    assert image.facts("2.6.20").mode & 0o007 == 0o004  # others may not
    for name, template in milvus_pods(declared).items():
        context = template["spec"]["securityContext"]
        groups = {context["runAsGroup"], *context["supplementalGroups"]}
        for line in image.LINES:
            assert context["runAsUser"] == line.owner or line.owner in groups, name


def test_only_milvus_gets_the_groups_of_its_image(declared):
    for name, template in templates(declared).items():
        if "milvus-" not in name or "milvus-validation" in name:
            assert "supplementalGroups" not in template["spec"]["securityContext"], name


def test_each_milvus_pod_is_ready_when_it_says_so_and_alive_when_it_listens(declared):
    for name, template in milvus_pods(declared).items():
        container = template["spec"]["containers"][0]
        get = container["readinessProbe"]["httpGet"]
        assert get == {"path": "/healthz", "port": "metrics"}, name
        assert container["livenessProbe"]["tcpSocket"] == {"port": "metrics"}, name
        assert {"name": "metrics", "containerPort": 9091} in container["ports"], name


def test_roles_are_declared_in_order_each_after_the_one_before():
    for document, order in (
        (PROD, ["mixcoord", "streamingnode", "querynode", "datanode", "proxy"]),
        (
            CLUSTER_23,
            ["indexnode", "rootcoord", "datacoord", "querycoord", "querynode", "datanode", "proxy"],
        ),
    ):
        deployments = declare(document).of("Deployment")
        for before, after in itertools.pairwise(order):
            assert f"milvus-{before}-started" in deployments[f"milvus-{after}"].depends_on
        assert "etcd" in deployments[f"milvus-{order[0]}"].depends_on


@pytest.mark.parametrize("document", [PROD, STANDALONE], ids=["cluster", "standalone"])
def test_a_service_is_waited_for_only_once_its_pods_are_there(document):
    declared = declare(document)
    last = "milvus-standalone" if document is STANDALONE else "milvus-proxy"
    for name in ("milvus", "milvus-metrics"):
        assert f"{last}-started" in declared.of("Service")[name].depends_on, name


def test_an_upgrade_to_26_declares_the_new_streaming_nodes_first():
    document = changed(DEV, milvus={"version": "2.6.20", "upgradeFrom": "2.5.27"})
    deployments = declare(document).of("Deployment")
    assert "milvus-streamingnode-started" in deployments["milvus-mixcoord"].depends_on
    assert "milvus-mixcoord" not in deployments["milvus-streamingnode"].depends_on


def test_a_cluster_never_has_fewer_pods_of_a_role_than_before():
    for name, resource in declare(PROD).of("Deployment").items():
        strategy = resource.inputs["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, name


def test_two_standalone_servers_are_never_up_together():
    with_volume = declare(STANDALONE).of("StatefulSet")["milvus-standalone"].inputs["spec"]
    assert with_volume["replicas"] == 1
    document = changed(STANDALONE, log={"type": "kafka", "mode": "create"})
    document["milvus"].pop("dataVolume")
    without = declare(document).of("Deployment")["milvus-standalone"].inputs["spec"]
    assert without["strategy"] == {"type": "Recreate"}


def test_a_coordinator_that_is_replaced_waits_for_the_old_one():
    kafka = {"log": {"type": "kafka", "mode": "create"}}
    for document, role, sections in (
        (CLUSTER_23, "rootcoord", OLD_COORDINATORS),
        (changed(DEV, milvus={"version": "2.5.27"}) | kafka, "mixcoord", OLD_COORDINATORS),
        (PROD, "mixcoord", OLD_COORDINATORS | {"mixCoord"}),
    ):
        text = declare(document).one("ConfigMap", f"milvus-{role}")["data"]["user.yaml"]
        found = yaml.safe_load(text)
        standing = {name for name, part in found.items() if part.get("enableActiveStandby")}
        assert standing == sections


def test_production_gives_minutes_to_drain_and_milvus_gives_up_before_kubernetes_does():
    declared = declare(PROD)
    for name, template in milvus_pods(declared).items():
        grace = template["spec"]["terminationGracePeriodSeconds"]
        assert grace >= 60, name
        text = declared.one("ConfigMap", f"milvus-{name}")["data"]["user.yaml"]
        seconds = int(text.split("gracefulStopTimeout: ")[1].split()[0])
        pause = 15 if name == "proxy" else 0
        assert seconds + pause < grace, name
    short = changed(PROD, milvus={"roles": {"proxy": {"terminationGraceSeconds": 30}}})
    text = declare(short).one("ConfigMap", "milvus-proxy")["data"]["user.yaml"]
    assert "gracefulStopTimeout: 5\n" in text
    assert milvus_pods(declared)["querynode"]["spec"]["terminationGracePeriodSeconds"] == 600
    stop = milvus_pods(declared)["proxy"]["spec"]["containers"][0]["lifecycle"]["preStop"]
    assert stop == {"sleep": {"seconds": 15}}


@pytest.mark.parametrize(
    ("version", "role", "sections"),
    [
        ("3.0.5", "mixcoord", ["dataCoord", "queryCoord", "rootCoord"]),
        ("3.0.5", "proxy", ["proxy"]),
        ("3.0.5", "querynode", ["queryNode"]),
        ("3.0.5", "streamingnode", ["queryNode"]),
        ("3.0.5", "datanode", ["dataNode"]),
        ("2.5.27", "indexnode", ["indexNode"]),
        ("2.3.5", "datanode", []),  # it has no key of its own
    ],
)
def test_each_role_is_told_how_long_it_may_stop_by_its_own_key(version, role, sections):
    roles = {role: {"terminationGraceSeconds": 100}}
    kafka = {"type": "kafka", "mode": "create"}
    document = changed(DEV, milvus={"version": version, "roles": roles}) | {"log": kafka}
    text = declare(document).one("ConfigMap", f"milvus-{role}")["data"]["user.yaml"]
    found = yaml.safe_load(text)
    told = {name: part["gracefulStopTimeout"] for name, part in found.items() if STOP in part}
    assert told == dict.fromkeys(["common", *sections], 75)


def test_a_new_pod_proves_itself_in_production_before_the_next_one_is_replaced():
    seconds = {
        document["environment"]: declare(document).one("Deployment", "milvus-proxy")["spec"][
            "minReadySeconds"
        ]
        for document in (DEV, PROD)
    }
    assert seconds == {"dev": 0, "prod": 30}
    own = declare(changed(PROD, milvus={"readySeconds": 5}))
    assert own.one("Deployment", "milvus-proxy")["spec"]["minReadySeconds"] == 5


def test_every_role_with_more_than_one_replica_has_a_disruption_budget_and_is_spread():
    document = changed(DEV, milvus={"roles": {"querynode": {"replicas": 3}}})
    declared = declare(document)
    assert set(declared.of("PodDisruptionBudget")) == {"milvus-querynode"}
    budget = declared.one("PodDisruptionBudget", "milvus-querynode")["spec"]
    assert budget["maxUnavailable"] == 1
    pods = milvus_pods(declared)
    assert "podAntiAffinity" in pods["querynode"]["spec"]["affinity"]
    assert "affinity" not in pods["proxy"]["spec"]


def test_production_runs_two_of_each_role_with_budgets_for_all():
    declared = declare(PROD)
    names = {f"milvus-{name}" for name in milvus_pods(declared)}
    assert names <= set(declared.of("PodDisruptionBudget"))
    for name, resource in declared.of("Deployment").items():
        assert resource.inputs["spec"]["replicas"] == 2, name


def test_autoscaling_owns_the_number_of_replicas():
    scale = {"minReplicas": 2, "maxReplicas": 6}
    document = changed(DEV, milvus={"roles": {"querynode": {"autoscaling": scale}}})
    declared = declare(document)
    assert "replicas" not in declared.one("Deployment", "milvus-querynode")["spec"]
    spec = declared.one("HorizontalPodAutoscaler", "milvus-querynode")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["scaleTargetRef"]["name"] == "milvus-querynode"
    assert "milvus-querynode" in declared.of("PodDisruptionBudget")


def test_resources_can_be_declared_down_to_next_to_nothing():
    small = {"cpu": "10m", "memory": "256Mi"}
    names = ("mixcoord", "streamingnode", "querynode", "datanode", "proxy")
    document = changed(DEV, milvus={"roles": {name: {"resources": small} for name in names}})
    for name, template in milvus_pods(declare(document)).items():
        resources = template["spec"]["containers"][0]["resources"]
        assert resources["requests"] == {"cpu": "10m", "memory": "256Mi"}, name


def test_gpus_go_to_the_roles_that_search_and_build_and_their_image_to_all():
    document = changed(DEV, milvus={"gpu": {"enabled": True, "runtimeClass": "nvidia"}})
    pods = milvus_pods(declare(document))
    for name, template in pods.items():
        container = template["spec"]["containers"][0]
        limits = container["resources"].get("limits", {})
        expected = name in {"querynode", "datanode"}
        assert (limits.get("nvidia.com/gpu") == "1") is expected, name
        # The proxy and the coordinators check an index's type against their own binary's list.
        assert container["image"].endswith("-gpu"), name
        assert (template["spec"].get("runtimeClassName") == "nvidia") is expected, name


def test_diskann_gets_a_local_volume_that_lives_and_dies_with_the_pod():
    volume = {"size": "500Gi", "storageClass": "local-nvme"}
    document = changed(DEV, milvus={"diskann": {"enabled": True, "volume": volume}})
    declared = declare(document)
    pods = milvus_pods(declared)
    data = next(item for item in pods["querynode"]["spec"]["volumes"] if item["name"] == "data")
    spec = data["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert spec["storageClassName"] == "local-nvme"
    proxy = next(item for item in pods["proxy"]["spec"]["volumes"] if item["name"] == "data")
    assert proxy["emptyDir"] == {"sizeLimit": "20Gi"}
    room = {
        name: {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        for name, pod in pods.items()
    }
    assert room["querynode"]["LOCAL_STORAGE_SIZE"] == "500"
    assert room["proxy"]["LOCAL_STORAGE_SIZE"] == "20"
    text = declared.one("ConfigMap", "milvus-querynode")["data"]["user.yaml"]
    assert yaml.safe_load(text)["queryNode"]["enableDisk"] is True
    assert "indexNode" not in yaml.safe_load(text)


def test_the_command_can_be_set_for_an_image_of_another_layout():
    document = changed(STANDALONE, milvus={"command": ["/opt/milvus/bin/milvus"]})
    container = milvus_pods(declare(document))["standalone"]["spec"]["containers"][0]
    assert container["command"] == ["/opt/milvus/bin/milvus"]
    assert container["args"] == ["run", "standalone"]
    assert {"name": "MILVUSCONF", "value": "/milvus/configs"} in container["env"]


def test_a_role_of_another_version_is_refused_with_those_that_there_are():
    document = changed(DEV, milvus={"roles": {"indexnode": {"replicas": 2}}})
    with pytest.raises(ConfigurationError, match="its roles are mixcoord, streamingnode"):
        plan(settings_of(document))


def test_a_stack_too_small_for_its_data_set_declares_nothing():
    data = {"vectors": 100_000_000, "dim": 768}
    roles = {"querynode": {"replicas": 1, "resources": {"memory": "8Gi"}}}
    document = changed(DEV, milvus={"dataset": data, "roles": roles})
    with pytest.raises(ConfigurationError, match=r"memory: 8\.0 GiB declared, 357\.0 GiB needed"):
        declare(document)


def test_sizing_fills_in_what_the_settings_leave_out():
    data = {"vectors": 20_000_000, "dim": 768, "replicas": 2}
    planned = plan(settings_of(changed(PROD, milvus={"dataset": data})))
    query = planned["querynode"]
    assert (query.replicas, query.resources.memory, query.resources.cpu) == (10, "16Gi", "4")


def test_names_are_those_that_users_and_state_know():
    names = {
        (item.kind, item.name, item.inputs["metadata"]["name"])
        for item in declare(CLUSTER_23).resources
        if item.type.startswith("kubernetes:apps")
    }
    assert names == {
        ("StatefulSet", "etcd", "etcd"),
        ("StatefulSet", "kafka", "kafka"),
        ("StatefulSet", "minio", "minio"),
        *(
            ("Deployment", f"milvus-{role}", f"milvus-{role}")
            for role in (
                "rootcoord",
                "querycoord",
                "datacoord",
                "indexnode",
                "querynode",
                "datanode",
                "proxy",
            )
        ),
    }


def test_clients_get_grpc_alone_and_metrics_stay_inside():
    access = {"type": "LoadBalancer", "host": "milvus.example.com"}
    declared = declare(changed(PROD, milvus={"access": access}))
    service = declared.one("Service", "milvus")["spec"]
    assert [port["port"] for port in service["ports"]] == [19530]
    assert service["type"] == "LoadBalancer"
    metrics = declared.one("Service", "milvus-metrics")["spec"]
    assert (metrics["type"], [port["port"] for port in metrics["ports"]]) == ("ClusterIP", [9091])


@pytest.mark.parametrize("document", [DEV, CLUSTER_23, PROD])
def test_the_name_for_metrics_stands_for_every_pod_of_a_cluster(document):
    declared = declare(document)
    spec = declared.one("Service", "milvus-metrics")["spec"]
    assert spec["clusterIP"] == "None"
    reached = [
        name
        for name, template in declared.workloads().items()
        if spec["selector"].items() <= template["metadata"]["labels"].items()
    ]
    roles = {name.rpartition("milvus-")[2] for name in reached}
    newer = {"mixcoord", "streamingnode", "querynode", "datanode", "proxy"}
    older = {"indexnode", "rootcoord", "datacoord", "querycoord", "querynode", "datanode", "proxy"}
    assert roles == (older if document is CLUSTER_23 else newer)
    (port,) = spec["ports"]
    for name in reached:
        (container,) = declared.workloads()[name]["spec"]["containers"]
        opened = {one["containerPort"] for one in container["ports"]}
        assert port["port"] in opened, name  # a headless Service translates no port


def test_a_standalone_has_an_address_of_its_own_for_metrics():
    spec = declare(STANDALONE).one("Service", "milvus-metrics")["spec"]
    assert "clusterIP" not in spec
