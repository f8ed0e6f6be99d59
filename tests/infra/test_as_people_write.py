"""What people write and where they live: taken and rendered rightly, or refused with a remedy."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from declaring import (
    CLUSTER_23,
    CONFIG,
    DEV,
    PROD,
    STANDALONE,
    changed,
    declare,
    settings_of,
    shown,
)
from test_milvus_network import flows

from infra.images import used
from infra.milvus.access.services import uri
from infra.milvus.roles.keys import leaves
from infra.needs import needs_of
from infra.servers import pods
from infra.settings.storage import Minio
from infra.storage.minio.objects import MinioPlan
from validation.common import addresses
from validation.errors import ConfigurationError


def with_settings(document, section: str, **values) -> Any:
    return getattr(settings_of(changed(document, **{section: values})), section)


def refused(document, **sections) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(changed(document, **sections))
    return str(caught.value)


def milvus_yaml(document, role: str) -> dict[str, Any]:
    return yaml.safe_load(declare(document).one("ConfigMap", f"milvus-{role}")["data"]["user.yaml"])


def templates(document) -> dict[str, dict[str, Any]]:
    return {name: shown(one)["spec"] for name, one in declare(document).workloads().items()}


def containers(spec) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


# Quantities


@pytest.mark.parametrize(
    ("given", "cpu"),
    [(1, "1"), (0.5, "0.5"), (2.0, "2"), ("1500m", "1500m"), ("1.", "1."), (".5", ".5")],
)
def test_cores_are_taken_as_numbers_and_as_text(given, cpu):
    etcd = with_settings(DEV, "etcd", resources={"cpu": given})
    assert etcd.resources.cpu == cpu


@pytest.mark.parametrize(
    ("given", "memory"),
    [("0.5Gi", 2**29), (4294967296, 2**32), ("1e9", 10**9), ("1E", 10**18), ("1.5G", 15 * 10**8)],
)
def test_memory_is_taken_in_every_form_that_kubernetes_has(given, memory):
    settings = settings_of(changed(DEV, etcd={"resources": {"memory": given}}))
    assert settings.etcd.resources.memory == str(given)
    (etcd,) = [one for one in needs_of(settings, where="test").pods if one.key == "etcd"]
    assert etcd.memory_bytes == memory


@pytest.mark.parametrize("given", ["4 Gi", "4GB", "4GiB", "", "0Gi", "0.0", 0, True, "-1Gi", "1ki"])
def test_what_is_no_amount_is_refused(given):
    assert "etcd.resources.memory" in refused(DEV, etcd={"resources": {"memory": given}})


def test_a_ceiling_below_the_request_is_refused_here_and_not_by_the_api_server():
    told = refused(DEV, etcd={"resources": {"cpu": 2, "cpuLimit": "1500m"}})
    assert "etcd.resources: cpuLimit is below cpu" in told
    settings_of(changed(DEV, etcd={"resources": {"cpu": 2, "cpuLimit": 2}}))


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"images": {"pullSecrets": "registry"}}, "images.pullSecrets: this must be a list"),
        ({"images": {"mirrors": {"docker.io": "r"}}}, "images.mirrors: this must be a list"),
        ({"etcd": {"resources": "1"}}, "etcd.resources: this must have keys of its own"),
        ({"milvus": {"roles": []}}, "milvus.roles: this must have keys of its own"),
    ],
)
def test_a_value_of_another_shape_is_told_in_words_of_yaml(sections, told):
    said = refused(DEV, **sections)
    assert told in said
    assert "-> write it as a" in said


def test_a_word_in_other_letters_is_recognised():
    dataset = {"vectors": 10**6, "dim": 768, "index": "hnsw"}
    assert "did you mean HNSW?" in refused(DEV, milvus={"dataset": dataset})


# Regions, hosts, addresses


@pytest.mark.parametrize("region", ["RegionOne", "default", "US", "us-east-1"])
@pytest.mark.parametrize("document", [DEV, PROD])
def test_a_region_is_whatever_the_store_calls_it(document, region):
    document = changed(document, storage={"region": region})
    assert milvus_yaml(document, "querynode")["minio"]["region"] == region


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("m.example.com.", "m.example.com"),
        ("[fd00::5]", "fd00::5"),
        ("fd00:0::5", "fd00::5"),
        ("10.0.0.5", "10.0.0.5"),
    ],
)
def test_a_host_is_taken_as_certificates_name_it(given, host):
    access = {"type": "LoadBalancer", "host": given}
    document = changed(PROD, milvus={"access": access})
    assert settings_of(document).milvus.access.host == host
    certificate = declare(document).of("Certificate")["milvus-tls"].inputs
    assert host in certificate["hosts"]


@pytest.mark.parametrize("given", ["m.example.com:19530", "10.0.0.5:443", "[fd00::5]:19530"])
def test_a_host_with_a_port_is_told_that_the_port_is_elsewhere(given):
    told = refused(PROD, milvus={"access": {"type": "LoadBalancer", "host": given}})
    assert "milvus.access.host" in told
    assert "its port has a key of its own" in told


@pytest.mark.parametrize(
    "sections",
    [
        {"milvus": {"access": {"type": "LoadBalancer", "host": "fe80::1%eth0"}}},
        {"storage": {"endpoint": "https://[fe80::1%25eth0]:9000"}},
    ],
)
def test_an_address_of_one_host_alone_is_none(sections):
    assert "host" in refused(PROD, **sections)


def test_an_ipv6_address_has_its_brackets_wherever_a_port_follows():
    storage = {"endpoint": "https://[fd00::9]:8443"}
    document = changed(PROD, storage=storage)
    minio = milvus_yaml(document, "querynode")["minio"]
    # Milvus takes what holds a colon for the whole address.
    assert (minio["address"], minio["port"]) == ("[fd00::9]:8443", 8443)
    woodpecker = declare(document).one("ConfigMap", "woodpecker")["data"]["user.yaml"]
    assert yaml.safe_load(woodpecker)["minio"]["address"] == "[fd00::9]"
    assert ("milvus", "egress", "fd00::9/128", "TCP 8443") in flows(document)
    operated = changed(
        document, milvus={"installer": "operator"}, etcd={"auth": False, "tls": False}
    )
    operated["log"] = {"type": "kafka", "mode": "adopt", "brokers": ["[fd00::7]:9093"], "tls": True}
    spec = declare(operated).one("Milvus", "milvus")["spec"]
    assert spec["dependencies"]["storage"]["endpoint"] == "[fd00::9]:8443"
    assert spec["dependencies"]["kafka"]["brokerList"] == ["[fd00::7]:9093"]
    assert ("milvus", "egress", "fd00::7/128", "TCP 9093") in flows(operated)


def test_a_client_finds_milvus_and_its_store_at_an_ipv6_address():
    access = {"type": "NodePort", "host": "fd00::5", "nodePort": 30500}
    store = {"access": access | {"nodePort": 30501}}
    settings = settings_of(changed(DEV, milvus={"access": access}, storage=store))
    assert uri(settings.milvus, "ns") == "http://[fd00::5]:30500"
    assert isinstance(settings.storage, Minio)
    plan = MinioPlan(settings=settings.storage, namespace="ns", image="x", tls_secret="t")
    assert plan.public_endpoint == "https://[fd00::5]:30501"


@pytest.mark.parametrize("endpoint", ["https://s3.example.com.", "https://s3.example.com./"])
def test_a_dot_at_the_end_of_an_endpoint_is_in_no_certificate(endpoint):
    document = changed(PROD, storage={"endpoint": endpoint})
    assert milvus_yaml(document, "querynode")["minio"]["address"] == "s3.example.com"


@pytest.mark.parametrize(
    ("broker", "taken"),
    [
        ("kafka.example.com.:9093", "kafka.example.com:9093"),
        ("[fd00::7]:9093", "[fd00::7]:9093"),
        ("10.0.0.7:9093", "10.0.0.7:9093"),
    ],
)
def test_a_broker_is_host_and_port(broker, taken):
    assert addresses.host_and_port(broker) == taken
    assert addresses.netloc(*addresses.split(taken)) == taken


@pytest.mark.parametrize(
    "broker", ["kafka", "kafka:0", "kafka:99999", "fd00::7:9093", "https://k:1", ":9092"]
)
def test_what_is_no_broker_is_refused_with_an_example(broker):
    log = {"type": "kafka", "mode": "adopt", "brokers": [broker]}
    assert "kafka.example.com:9092 or [fd00::5]:9092" in refused(CLUSTER_23, log=log)


# Where NetworkPolicies cannot tell by themselves


def test_a_store_behind_a_service_is_reached_at_its_pods_port():
    peers = [{"namespace": "minio", "pods": {"app": "minio"}, "ports": [9000]}]
    document = changed(
        PROD, storage={"endpoint": "https://minio.minio.svc"}, network={"store": peers}
    )
    for who in ("milvus", "woodpecker", "etcd-snapshot"):
        found = {flow for flow in flows(document) if flow[:2] == (who, "egress")}
        assert (who, "egress", "minio/minio", "TCP 9000") in found
        assert not {flow for flow in found if flow[2] == "anyone"}


def test_a_service_address_of_a_made_cluster_is_known_for_one():
    hosts = [{"name": "a", "address": "192.0.2.1", "role": "control-plane"}]
    kubeadm = {"provider": "kubeadm", "hosts": hosts, "createNamespace": False}
    told = refused(PROD | {"kubernetes": kubeadm}, storage={"endpoint": "https://10.96.7.7"})
    assert "network.store: this is a Service of the cluster" in told
    settings_of(PROD | {"kubernetes": kubeadm})


@pytest.mark.parametrize(
    ("peers", "flow"),
    [
        ({"networks": ["169.254.20.10/32"], "ports": [53]}, ("169.254.20.10/32", "53")),
        (
            {
                "namespace": "openshift-dns",
                "pods": {"dns.operator.openshift.io/daemonset-dns": "default"},
                "ports": [5353],
            },
            ("openshift-dns/default", "5353"),
        ),
    ],
)
def test_names_are_asked_for_where_the_cluster_answers_them(peers, flow):
    found = {one for one in flows(changed(DEV, network={"dns": [peers]})) if one[0] == "ours"}
    assert found == {("ours", "egress", flow[0], f"{how} {flow[1]}") for how in ("UDP", "TCP")}


def test_milvus_alone_reaches_what_embedding_functions_and_replication_need():
    egress = [{"ports": [443]}, {"networks": ["10.9.0.0/16"], "ports": [19530]}]
    more = flows(changed(DEV, network={"egress": egress})) - flows(DEV)
    assert more == {
        ("milvus", "egress", "anyone", "TCP 443"),
        ("milvus", "egress", "10.9.0.0/16", "TCP 19530"),
    }


def test_pods_of_both_versions_reach_each_other_while_one_replaces_the_other():
    milvus = {"version": "2.6.20", "upgradeFrom": "2.5.27"}
    document = changed(CLUSTER_23, milvus=milvus)
    opened = {port for who, way, _, port in flows(document) if (who, way) == ("milvus", "ingress")}
    assert {"TCP 21121", "TCP 19531", "TCP 13333", "TCP 22222"} <= opened
    after = flows(changed(CLUSTER_23, milvus={"version": "2.6.20"}))
    assert not {flow for flow in after if flow[3] in {"TCP 21121", "TCP 19531", "TCP 13333"}}


# Every pod: where it runs, what it may take, as whom


EVERYTHING = changed(
    CLUSTER_23,
    milvus={"auth": {"enabled": True}},
    etcd={"snapshots": {}},
    validation={"enabled": True},
)
WITH_SUITE = changed(PROD, validation={"enabled": True})
SELECTED = {
    "nodeSelector": {"pool": "milvus"},
    "tolerations": [{"key": "milvus", "operator": "Exists"}],
}


@pytest.mark.parametrize("document", [EVERYTHING, WITH_SUITE])
def test_every_pod_runs_where_the_cluster_is_said_to_run_pods(document):
    placed = changed(document, kubernetes={"placement": SELECTED})
    found = templates(placed)
    assert any(name.startswith("CronJob/") for name in found)
    for name, spec in found.items():
        assert spec["nodeSelector"] == {"pool": "milvus"}, name
        assert spec["tolerations"] == [{"key": "milvus", "operator": "Exists"}], name
    assert {
        one.node_selector.get("pool") for one in needs_of(settings_of(placed), where="").pods
    } == {"milvus"}


def test_a_pods_own_placement_comes_first():
    own = {"nodeSelector": {"disk": "fast"}}
    document = changed(EVERYTHING, kubernetes={"placement": SELECTED, "jobs": {"placement": own}})
    document = changed(document, log={"placement": own}, etcd={"placement": own, "snapshots": {}})
    found = templates(document)
    for name in ("Job/milvus-root-password", "CronJob/etcd-snapshot", "StatefulSet/kafka"):
        assert found[name]["nodeSelector"] == {"disk": "fast"}, name
        assert "tolerations" not in found[name], name
    assert found["Deployment/milvus-proxy"]["nodeSelector"] == {"pool": "milvus"}


LIMITED = {"cpu": "100m", "cpuLimit": "1", "memory": "1Gi", "ephemeralStorage": "2Gi"}


def limited(document) -> dict[str, Any]:
    settings = settings_of(document)
    keys = [one.key for one in needs_of(settings, where="").pods]
    names = [key.removeprefix("milvus.roles.") for key in keys if key.startswith("milvus.roles.")]
    parts = {name: {"resources": LIMITED} for name in names}
    document = changed(document, kubernetes={"jobs": {"resources": LIMITED}})
    document = changed(document, milvus={"roles": parts}, etcd={"resources": LIMITED})
    document = changed(document, log={"resources": LIMITED}, validation={"resources": LIMITED})
    is_ours = document["storage"]["type"] == "minio"
    return changed(document, storage={"resources": LIMITED}) if is_ours else document


@pytest.mark.parametrize("document", [EVERYTHING, WITH_SUITE])
def test_a_namespace_whose_quota_asks_for_every_limit_can_be_served(document):
    for name, spec in templates(limited(document)).items():
        for container in containers(spec):
            limits, requests = (container["resources"][key] for key in ("limits", "requests"))
            assert {*limits} >= {"cpu", "memory", "ephemeral-storage"}, (name, container["name"])
            assert {*requests} >= {"cpu", "memory", "ephemeral-storage"}, (name, container["name"])


@pytest.mark.parametrize("document", [EVERYTHING, PROD, STANDALONE])
def test_where_the_cluster_gives_pods_their_user_none_asks_for_one(document):
    for name, spec in templates(changed(document, kubernetes={"podUser": "assigned"})).items():
        security = spec["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(security), name
        assert security["runAsNonRoot"] is True, name
        for container in containers(spec):
            assert "runAsUser" not in container["securityContext"], name
        if name.startswith(("Deployment/milvus-", "StatefulSet/milvus-")):
            assert security["supplementalGroups"] == [0, 999], name
    for name, spec in templates(document).items():
        assert spec["securityContext"]["runAsUser"] == pods.USER, name


@pytest.mark.parametrize(
    "document", [EVERYTHING, changed(PROD, validation={"enabled": True}), STANDALONE]
)
def test_no_empty_volume_may_fill_its_node(document):
    for name, spec in templates(document).items():
        for volume in spec["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"].get("sizeLimit"), (name, volume["name"])


def test_milvus_is_told_how_much_of_the_nodes_disk_is_its_own():
    roles = {"querynode": {"localStorage": "300Gi"}, "datanode": {"resources": {"memory": "64Gi"}}}
    found = templates(changed(DEV, milvus={"roles": roles}))
    told = {}
    for name in ("querynode", "datanode", "proxy"):
        spec = found[f"Deployment/milvus-{name}"]
        env = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
        data = next(one for one in spec["volumes"] if one["name"] == "data")
        told[name] = (data["emptyDir"]["sizeLimit"], env["LOCAL_STORAGE_SIZE"])
    assert told == {
        "querynode": ("300Gi", "300"),
        "datanode": ("128Gi", "128"),
        "proxy": ("20Gi", "20"),
    }


# Images


def test_mirrors_hold_for_every_image_however_it_is_named():
    images = {
        "mirrors": [{"source": "docker.io", "mirror": "site.example.com/hub"}],
        "overrides": {"etcd": "docker.io/other/etcd:v3.5.33"},
        "requireDigest": False,
    }
    milvus = {"image": f"docker.io/milvusdb/milvus:v3.0.5@sha256:{'a' * 64}"}
    found = used(settings_of(changed(PROD, images=images, milvus=milvus)))
    assert found["etcd"] == "site.example.com/hub/other/etcd:v3.5.33"
    assert found["milvus"].startswith("site.example.com/hub/milvusdb/milvus:v3.0.5@sha256:")


def test_a_login_for_the_registry_becomes_a_secret_before_any_pod():
    declared = declare(DEV)
    secret = declared.of("Secret")["milvus-kit-registry"]
    assert secret.inputs["type"] == "kubernetes.io/dockerconfigjson"
    assert shown(secret.inputs)["stringData"] == {".dockerconfigjson": CONFIG["registryLogin"]}
    for name, spec in templates(DEV).items():
        assert spec["imagePullSecrets"] == [{"name": "milvus-kit-registry"}], name
    assert "milvus-kit-registry" in declared.of("StatefulSet")["minio"].depends_on


# What Milvus and its log can be told beside what the kit says


@pytest.mark.parametrize(
    ("document", "given"),
    [
        (STANDALONE, {"rocksmq": {"retentionTimeInMinutes": 60, "retentionSizeInMB": 512}}),
        (PROD, {"minio": {"requestTimeoutMs": 30000}}),
        (PROD, {"woodpecker": {"client": {"segmentRollingPolicy": {"maxSize": "64M"}}}}),
        (CLUSTER_23, {"kafka": {"consumer": {"fetch": {"min": {"bytes": 1}}}}}),
    ],
)
def test_keys_beside_those_of_the_kit_are_handed_on(document, given):
    version = "2.5.27" if document in (STANDALONE, CLUSTER_23) else "3.0.5"
    role = "standalone" if document is STANDALONE else "querynode"
    changed_ = changed(document, milvus={"configuration": given, "version": version})
    assert set(leaves(milvus_yaml(changed_, role))) >= set(leaves(given))


MUTUAL = {
    "type": "kafka",
    "mode": "adopt",
    "brokers": ["k.example.com:9093"],
    "tls": True,
    "existingClientSecret": "kafka-client",
}


@pytest.mark.parametrize("version", ["2.5.27", "2.3.5"])
def test_brokers_that_ask_for_a_certificate_are_shown_milvuss(version):
    there = {"provider": "existing", "namespace": "ns", "createNamespace": False}
    document = PROD | {"kubernetes": there, "log": MUTUAL}
    risks = dict.fromkeys(("CVE-2025-64513", "CVE-2026-26190"), "it is only read here")
    milvus = {"version": version, "acceptedRisks": risks if version == "2.3.5" else {}}
    document = changed(document, milvus=milvus)
    kafka = milvus_yaml(document, "datanode")["kafka"]
    certificate, key = "/milvus/tls/log-client/tls.crt", "/milvus/tls/log-client/tls.key"
    assert kafka["ssl"] == {"enabled": True, "tlsCert": certificate, "tlsKey": key}
    if version == "2.3.5":
        passed = {"certificate": {"location": certificate}, "key": {"location": key}}
        assert kafka["consumer"] == kafka["producer"] == {"ssl": passed}
    for name in ("proxy", "datanode", "rootcoord" if version == "2.3.5" else "mixcoord"):
        spec = templates(document)[f"Deployment/milvus-{name}"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == "log-client"]
        assert volume["secret"]["secretName"] == "kafka-client"
        mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
        assert mounts["log-client"] == "/milvus/tls/log-client"


def test_a_certificate_for_brokers_is_refused_where_nobody_would_see_it():
    assert "set tls: true" in refused(CLUSTER_23, log=MUTUAL | {"tls": False})
    assert "belong to mode: adopt" in refused(
        CLUSTER_23, log={"type": "kafka", "mode": "create", "existingClientSecret": "x"}
    )


# etcd


@pytest.mark.parametrize(
    ("volume", "quota"), [("2Gi", 2**30), ("20Gi", 4 * 2**30), ("50Gi", 8 * 2**30)]
)
def test_etcd_stops_before_its_volume_is_full(volume, quota):
    document = changed(DEV, etcd={"volume": {"size": volume}})
    args = templates(document)["StatefulSet/etcd"]["containers"][0]["args"]
    assert f"--quota-backend-bytes={quota}" in args


@pytest.mark.parametrize(("volume", "quota"), [("4Gi", "3Gi"), ("100Gi", "9Gi")])
def test_a_quota_that_etcd_cannot_keep_is_refused(volume, quota):
    told = refused(DEV, etcd={"volume": {"size": volume}, "quota": quota})
    assert "more than half of the volume" in told
    settings_of(changed(DEV, etcd={"volume": {"size": "10Gi"}, "quota": "5Gi"}))


@pytest.mark.parametrize("version", ["2.5.27", "2.6.20", "3.0.5"])
def test_no_version_is_left_to_send_etcd_a_password(version):
    document = changed(CLUSTER_23, milvus={"version": version})
    assert milvus_yaml(document, "proxy")["etcd"]["auth"] == {"enabled": False}
