from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from declaring import (
    CLUSTER_23,
    DEV,
    PROD,
    STANDALONE,
    changed,
    declare,
    run,
    settings_of,
    shown,
)

from infra import program
from infra.milvus.dependencies import woodpecker
from validation.errors import ConfigurationError
from validation.milvus import vulnerabilities


def milvus_yaml(document, role: str) -> dict:
    return yaml.safe_load(declare(document).one("ConfigMap", f"milvus-{role}")["data"]["user.yaml"])


def replaced(document, **log) -> dict:
    result = changed(document)
    result["log"] = log
    return result


ADOPTED = replaced(
    changed(PROD, kubernetes={"createNamespace": False}),
    type="kafka",
    mode="adopt",
    brokers=["a.example.com:9093", "b.example.com:9093"],
    tls=True,
    ca={"existingSecret": {"name": "kafka-ca", "key": "root.pem"}},
    sasl={"user": "milvus", "password": {"config": "logPassword"}},
)
OLD = changed(
    ADOPTED,
    milvus={
        "version": "2.3.5",
        "acceptedRisks": dict.fromkeys(
            [one.id for one in vulnerabilities.of("2.3.5")], "an old version, for this test"
        ),
    },
)
PULSAR = replaced(PROD, type="pulsar", host="p.example.com", port=6651, tls=True)
PULSAR["log"]["token"] = {"config": "logPassword"}


def test_rocksmq_lives_on_the_standalones_own_volume():
    found = milvus_yaml(STANDALONE, "standalone")
    assert found["mq"] == {"type": "rocksmq"}
    assert found["rocksmq"]["path"].startswith("/var/lib/milvus/")
    spec = declare(STANDALONE).one("StatefulSet", "milvus-standalone")["spec"]
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "10Gi"


def test_embedded_woodpecker_writes_to_the_object_store():
    found = milvus_yaml(DEV, "proxy")
    assert (found["mq"]["type"], found["woodpecker"]["storage"]["type"]) == ("woodpecker", "minio")


def test_a_small_kafka_says_every_field_that_milvus_would_otherwise_guess():
    kafka = milvus_yaml(CLUSTER_23, "datanode")["kafka"]
    assert kafka == {
        "brokerList": "kafka.ns.svc:9092",
        "saslUsername": "",
        "saslPassword": "",
        "saslMechanisms": "",
        "securityProtocol": "PLAINTEXT",
        "readTimeout": 10,
    }


def test_the_small_kafka_takes_milvuss_large_messages_and_formats_its_volume_once():
    declared = declare(CLUSTER_23)
    text = declared.one("ConfigMap", "kafka")["data"]["server.properties"]
    assert "message.max.bytes=10485760\n" in text
    assert "process.roles=broker,controller\n" in text
    container = shown(declared.workloads()["StatefulSet/kafka"])["spec"]["containers"][0]
    script = container["command"][-1]
    assert "format --ignore-formatted --cluster-id " in script
    assert script.endswith(
        "exec /opt/kafka/bin/kafka-server-start.sh /etc/kafka-kit/server.properties"
    )
    assert {"name": "KAFKA_HEAP_OPTS", "value": "-Xms256m -Xmx512m"} in container["env"]


def test_the_small_kafka_keeps_its_cluster_id():
    scripts = {
        shown(declare(CLUSTER_23).workloads()["StatefulSet/kafka"])["spec"]["containers"][0][
            "command"
        ][-1]
        for _ in range(2)
    }
    assert len(scripts) == 1


def test_an_adopted_kafka_is_reached_with_tls_and_a_password_by_reference():
    kafka = milvus_yaml(ADOPTED, "datanode")["kafka"]
    assert kafka["brokerList"] == "a.example.com:9093,b.example.com:9093"
    assert kafka["securityProtocol"] == "SASL_SSL"
    assert kafka["saslMechanisms"] == "SCRAM-SHA-512"
    assert "saslPassword" not in kafka
    assert kafka["ssl"] == {"enabled": True, "tlsCaCert": "/milvus/tls/log/ca.crt"}
    pod = shown(declare(ADOPTED).workloads()["Deployment/milvus-datanode"])["spec"]
    env = {item["name"]: item for item in pod["containers"][0]["env"]}
    ref = env["KAFKA_SASL_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert ref == {"name": "milvus-log", "key": "password"}
    ca = next(item for item in pod["volumes"] if item["name"] == "log-ca")["secret"]
    assert (ca["secretName"], ca["items"]) == ("kafka-ca", [{"key": "root.pem", "path": "ca.crt"}])


def test_a_milvus_without_tls_settings_for_kafka_hands_the_ca_to_its_library():
    kafka = milvus_yaml(OLD, "datanode")["kafka"]
    where = {"ssl": {"ca": {"location": "/milvus/tls/log/ca.crt"}}}
    assert kafka["consumer"] == kafka["producer"] == where
    assert "consumer" not in milvus_yaml(ADOPTED, "datanode")["kafka"]
    assert "consumer" not in milvus_yaml(CLUSTER_23, "datanode")["kafka"]


def notes_of(document) -> list[str]:
    found: list[list[str]] = []
    settings = settings_of(document)
    run(lambda: program.build(settings, "test").apply(lambda one: found.append(one["notes"])))
    return found[0]


def test_the_target_warns_of_a_milvus_that_tells_kafkas_password_to_its_log():
    without = replaced(OLD, **{**ADOPTED["log"], "sasl": None})
    newer = changed(ADOPTED, milvus={"version": "2.5.27"})
    told = [
        any("Kafka's password" in note for note in notes_of(document))
        for document in (OLD, without, newer)
    ]
    assert told == [True, False, False]


def test_an_adopted_pulsar_gets_its_token_from_the_kubelet():
    pulsar = milvus_yaml(PULSAR, "datanode")["pulsar"]
    assert pulsar["address"] == "pulsar+ssl://p.example.com:6651"
    pod = shown(declare(PULSAR).workloads()["Deployment/milvus-datanode"])["spec"]
    env = {item["name"]: item for item in pod["containers"][0]["env"]}
    assert env["PULSAR_AUTH_PARAMS"]["value"] == "token:$(PULSAR_TOKEN)"
    assert env["PULSAR_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "milvus-log"
    order = [item["name"] for item in pod["containers"][0]["env"]]
    assert order.index("PULSAR_TOKEN") < order.index("PULSAR_AUTH_PARAMS")


def test_the_woodpecker_service_is_a_quorum_that_milvus_knows_by_name():
    found = milvus_yaml(PROD, "streamingnode")["woodpecker"]
    assert found["storage"]["type"] == "service"
    pools = yaml.safe_load(found["client"]["quorum"]["quorumBufferPools"])
    assert pools[0]["seeds"] == [f"woodpecker-{n}.woodpecker.ns.svc:18080" for n in range(4)]
    declared = declare(PROD)
    assert declared.one("StatefulSet", "woodpecker")["spec"]["replicas"] == 4
    assert found["client"]["quorum"]["quorumSelectStrategy"]["replicas"] == 3
    assert declared.one("PodDisruptionBudget", "woodpecker")["spec"]["maxUnavailable"] == 1


def test_woodpeckers_key_is_written_into_memory_and_nowhere_else(tmp_path):
    pod = shown(declare(PROD).workloads()["StatefulSet/woodpecker"])["spec"]
    volume = next(item for item in pod["volumes"] if item["name"] == "configuration")
    assert volume["emptyDir"]["medium"] == "Memory"
    text = declare(PROD).one("ConfigMap", "woodpecker")["data"]["user.yaml"]
    template, config = tmp_path / "template", tmp_path / "config"
    template.mkdir()
    config.mkdir()
    (template / "user.yaml").write_text(text, encoding="utf-8")
    script = woodpecker.KEY_SCRIPT.replace(woodpecker.TEMPLATE, str(template))
    script = script.replace(woodpecker.CONFIG, str(config))
    key, secret = "AK/+=IA", "s/e+c=r&et\\n$HOME'\""
    subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", "S3_ACCESS_KEY": key, "S3_SECRET_KEY": secret},
        check=True,
    )
    written = yaml.safe_load(Path(config / "user.yaml").read_text(encoding="utf-8"))
    keys = {"accessKeyID": key, "secretAccessKey": secret}
    assert written["minio"] == yaml.safe_load(text)["minio"] | keys
    assert written["log"] == yaml.safe_load(text)["log"]


def test_one_server_of_woodpecker_may_be_away_on_a_host_of_its_own():
    spec = declare(PROD).one("StatefulSet", "woodpecker")["spec"]
    pod = spec["template"]["spec"]
    assert spec["minReadySeconds"] == 30  # its health page says 200 before the others know it
    apart = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart[0]["topologyKey"] == "kubernetes.io/hostname"
    with pytest.raises(ConfigurationError, match=r"log\.replicas"):
        declare(replaced(PROD, type="woodpecker", mode="service", replicas=3))


def test_the_images_own_script_starts_woodpecker_and_nothing_that_it_ships_is_replaced():
    declared = declare(PROD)
    pod = shown(declared.workloads()["StatefulSet/woodpecker"])["spec"]
    container = pod["containers"][0]
    assert "command" not in container
    assert "args" not in container
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["ADVERTISE_GOSSIP_ADDR"] == "$(NODE_NAME).woodpecker.ns.svc:17946"
    assert len(env["SERVICE_SEEDS"].split(",")) == 4
    assert next(item["name"] for item in container["env"]) == "NODE_NAME"  # others refer to it
    assert set(declared.one("ConfigMap", "woodpecker")["data"]) == {"user.yaml"}
    written = yaml.safe_load(declared.one("ConfigMap", "woodpecker")["data"]["user.yaml"])
    assert set(written) == {"minio", "log"}


def test_woodpeckers_servers_have_no_business_with_etcd():
    declared = declare(PROD)
    pod = shown(declared.workloads()["StatefulSet/woodpecker"])["spec"]
    assert "etcd" not in str(pod)
    spec = declared.one("NetworkPolicy", "milvus-kit-woodpecker")["spec"]
    assert 2379 not in [port["port"] for rule in spec["egress"] for port in rule["ports"]]
    clients = declared.one("NetworkPolicy", "milvus-kit-etcd")["spec"]["ingress"][0]["from"]
    assert "woodpecker" not in str(clients)


@pytest.mark.parametrize(
    ("document", "log"),
    [
        (CLUSTER_23, {"type": "woodpecker", "mode": "embedded"}),
        (CLUSTER_23, {"type": "rocksmq"}),
        (
            STANDALONE | {"milvus": {"version": "3.0.5", "mode": "standalone"}},
            {"type": "woodpecker", "mode": "service"},
        ),
    ],
)
def test_a_log_that_this_milvus_cannot_use_declares_nothing(document, log):
    with pytest.raises(ConfigurationError):
        declare(replaced(document, **log))


def test_embedded_woodpecker_on_a_store_of_unknown_conduct_is_refused():
    with pytest.raises(ConfigurationError, match="conditional writes"):
        declare(replaced(PROD, type="woodpecker", mode="embedded"))
