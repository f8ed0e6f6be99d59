from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import PROJECT, Settings, reference
from infra.settings.defaults import filled
from infra.settings.model import secrets_in, version_of
from infra.settings.parse import _sections, from_file, from_pulumi, parse
from infra.settings.quantities import bytes_of, cores_of
from infra.settings.rules import registry, remarks
from validation.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
PEM = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
DEV: dict[str, Any] = {
    "environment": "dev",
    "kubernetes": {"provider": "existing"},
    "storage": {"type": "minio"},
    "milvus": {"version": "3.0.5", "mode": "standalone"},
    "log": {"type": "woodpecker", "mode": "embedded"},
}
PROD: dict[str, Any] = {
    "environment": "prod",
    "kubernetes": {"provider": "existing", "createNamespace": False},
    "storage": {
        "type": "x10000",
        "endpoint": "https://s3.example.com",
        "credentials": {"existingSecret": {"name": "key"}},
    },
    "milvus": {"version": "3.0.5", "mode": "cluster"},
    "log": {"type": "woodpecker", "mode": "service"},
}
GREENLAKE = {
    "systemId": "8UW0000001",
    "region": "us-west",
    "clientId": "glId",
    "clientSecret": "glSecret",
}


def with_(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy in which one key, given by its path, has a value; None takes it away."""
    result = copy.deepcopy(document)
    *parents, last = path.split(".")
    here = result
    for part in parents:
        here = here.setdefault(part, {})
    if value is None:
        here.pop(last, None)
    else:
        here[last] = value
    return result


def problems(document: dict[str, Any], *secrets: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(document, secrets=secrets, source="test")
    return str(caught.value)


def settings(document: dict[str, Any], *secrets: str) -> Settings:
    return parse(document, secrets=secrets, source="test")


def test_least_documents_are_accepted():
    assert settings(DEV).milvus.mode == "standalone"
    assert settings(PROD).production


def test_every_error_is_named_at_once_with_key_value_and_remedy():
    document = {
        "environment": "staging",
        "kubernetes": {"provider": "existing", "namspace": "x"},
        "storage": {"type": "x10000", "endpoint": "https://a/b", "bucket": "UPPER"},
        "milvus": {"version": "2.6", "mode": "cluster", "roles": {"querynod": {}}},
        "log": {"type": "kafca"},
        "strage": {},
    }
    message = problems(document)
    for expected in (
        "environment: this must be 'dev' or 'prod' (seen: 'staging')",
        "kubernetes.namspace: unknown key -> did you mean namespace?",
        "storage.endpoint: an endpoint is http(s)://host[:port]",
        "(seen: 'UPPER')",
        "milvus.version: ",
        "milvus.roles.querynod: ",
        "did you mean querynode?",
        "log.type: this must be one of woodpecker, kafka, pulsar, rocksmq",
        "did you mean kafka?",
        "strage: unknown key -> did you mean storage?",
    ):
        assert expected in message
    assert "8 keys are wrong" in message


def test_rules_run_beside_errors_in_other_sections():
    document = with_(with_(DEV, "log", {"type": "rocksmq"}), "etcd", {"members": 2})
    message = problems(document)
    assert "milvus.dataVolume" in message
    assert "etcd.members" in message


@pytest.mark.parametrize("section", ["environment", "kubernetes", "storage", "milvus", "log"])
def test_missing_section_is_named(section):
    assert f"{section}: this key is missing" in problems(with_(DEV, section, None))


NODE_PORT = {"type": "NodePort", "host": "127.0.0.1", "nodePort": 30500}
INSECURE = with_(
    with_(PROD, "storage.endpoint", "http://s3.example.com"), "storage.allowInsecure", True
)
OPERATED = with_(
    with_(
        with_(PROD, "milvus.installer", "operator"),
        "log",
        {"type": "kafka", "mode": "adopt", "brokers": ["k:9093"], "tls": True},
    ),
    "etcd",
    {"auth": False, "tls": False},
)
MISTAKES: list[tuple[dict[str, Any], str, Any, str]] = [
    (DEV, "milvus.version", "1.1.0", "2.3 to 3.x"),
    (DEV, "milvus.version", "4.0.0", "2.3 to 3.x"),
    (DEV, "milvus.version", "2.5.27", "choose one of kafka, pulsar, rocksmq"),
    (with_(DEV, "milvus.mode", "cluster"), "log", {"type": "rocksmq"}, "cannot use this log"),
    (DEV, "log", {"type": "rocksmq"}, "milvus.dataVolume"),
    (DEV, "log", {"type": "kafka", "mode": "adopt"}, "needs brokers"),
    (DEV, "log", {"type": "kafka", "mode": "create", "tls": True}, "belong to mode: adopt"),
    (PROD, "log.mode", "embedded", "recorded profile"),
    (DEV, "milvus.roles", {"querynode": {}}, "mode standalone has no such role"),
    (PROD, "milvus.roles", {"standalone": {}}, "mode cluster has no such role"),
    (PROD, "milvus.roles", {"proxy": {"replicas": 0}}, "cannot be left out"),
    (
        PROD,
        "milvus.roles",
        {"proxy": {"replicas": 2, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}}},
        "autoscaling decides",
    ),
    (
        PROD,
        "milvus.roles",
        {"proxy": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}},
        "minReplicas is more",
    ),
    (DEV, "milvus.roles", {"standalone": {"replicas": 2}}, "a standalone is one pod"),
    (DEV, "milvus.roles", {"standalone": {"env": {"MY_TOKEN": "x"}}}, "plain text"),
    (DEV, "milvus.roles", {"standalone": {"env": {"MINIO_ADDRESS": "x"}}}, "kit's to set"),
    (DEV, "milvus.configuration", {"minio": {"address": "x"}}, "the kit writes this key"),
    (DEV, "milvus.configuration", {"common": {"security": {}}}, "milvus.auth and milvus.tls"),
    (DEV, "milvus.configuration", {"x": {"password": "y"}}, "ConfigMap"),
    (
        with_(with_(DEV, "milvus.version", "2.3.5"), "milvus.dataVolume", {"size": "1Gi"}),
        "milvus.gpu",
        {"enabled": True},
        "CAGRA came with 2.4",
    ),
    (PROD, "milvus.installer", "operator", "milvus-operator has no Woodpecker service"),
    (INSECURE, "storage.ca", {"pem": PEM}, "has no certificate to check"),
    (
        with_(DEV, "storage.access", NODE_PORT),
        "milvus.access",
        NODE_PORT,
        "milvus.access has the same port",
    ),
    (PROD, "log", {"type": "woodpecker", "mode": "embedded"}, "conditional writes"),
    (
        with_(PROD, "storage.versioning", "suspended"),
        "log",
        {"type": "woodpecker", "mode": "embedded"},
        "on a bucket with versions",
    ),
    (DEV, "milvus.dataset", {"vectors": 9, "dim": 8, "index": "GPU_CAGRA"}, "on GPUs"),
    (DEV, "milvus.dataset", {"vectors": 9, "dim": 8, "index": "DISKANN"}, "local NVMe"),
    (DEV, "milvus.diskann", {"enabled": True}, "needs volume"),
    (
        DEV,
        "milvus.diskann",
        {"enabled": True, "volume": {"size": "1Ti"}},
        "diskann.volume.storageClass",
    ),
    (
        DEV,
        "kubernetes",
        {
            "provider": "kubeadm",
            "kubernetesVersion": "1.30.14",
            "hosts": [{"name": "one", "address": "10.0.0.1", "role": "control-plane"}],
        },
        "1.31.0 or later",
    ),
    (
        DEV,
        "kubernetes",
        {
            "provider": "kubeadm",
            "hosts": [{"name": "one", "address": "one.example.com", "role": "control-plane"}],
        },
        "kubernetes.hosts.0.address: this is not an IP address",
    ),
    (DEV, "milvus.access", {"type": "NodePort"}, "needs host and nodePort"),
    (
        with_(DEV, "milvus.access", NODE_PORT),
        "milvus.clientsFrom",
        ["apps"],
        "clientsFrom alone lets none in",
    ),
    (DEV, "milvus.access", {"nodePort": 30001}, "type: NodePort"),
    (DEV, "milvus.access", {"type": "LoadBalancer"}, "milvus.access.host"),
    (DEV, "storage.tls", {"mode": "existing"}, "existingSecret goes with"),
    (PROD, "storage.mode", "provision", "storage.greenlake: mode provision needs it"),
    (PROD, "storage.greenlake", GREENLAKE, "adopt makes nothing"),
    (PROD, "storage.credentials", None, "needs Milvus's key"),
    (PROD, "storage.credentials", {}, "exactly one of config and existingSecret"),
    (PROD, "storage.objectLock", True, "garbage collection"),
    (PROD, "storage.versioning", "enabled", "old version"),
    (PROD, "storage.endpoint", "http://s3.example.com", "in the clear"),
    (PROD, "storage.endpoint", "https://u:p@s3.example.com", "without user"),
    (PROD, "storage.ca", {"pem": "nonsense"}, "not a certificate"),
    (PROD, "kubernetes", {"provider": "kind"}, "one machine"),
    (PROD, "kubernetes", {"provider": "existing"}, "createNamespace"),
    (PROD, "milvus.auth", {"enabled": False}, "prod refuses"),
    (PROD, "milvus.tls", {"mode": "off"}, "prod refuses"),
    (PROD, "etcd", {"auth": False}, "prod refuses"),
    (PROD, "etcd", {"tls": False}, "prod refuses"),
    (PROD, "etcd", {"members": 1}, "one member is one failure"),
    (PROD, "storage", {"type": "minio"}, "one server with one volume"),
    (PROD, "milvus.mode", "standalone", "a standalone is one pod"),
    (PROD, "log", {"type": "kafka", "mode": "create"}, "one broker"),
    (PROD, "log", {"type": "kafka", "mode": "adopt", "brokers": ["k:9092"]}, "log.tls"),
    (PROD, "log", {"type": "pulsar", "host": "pulsar"}, "log.tls"),
    (PROD, "milvus.image", "docker.io/milvusdb/milvus:v3.0.5", "has no digest"),
    (PROD, "validation", {"image": "registry.example.com/milvus-kit:1"}, "has no digest"),
    (DEV, "log.mode", "service", "cannot use this log"),
    (DEV, "milvus.upgradeFrom", "2.5.27", "go to 2.6.20 or later"),
    (PROD, "milvus.version", "2.6.20", "cannot use this log"),
    (PROD, "milvus.version", "3.0.0", "cannot use this log"),
    (PROD, "log.replicas", 3, "greater than or equal to 4"),
    (
        with_(PROD, "images.requireDigest", False),
        "images.overrides",
        {"woodpecker": "registry.example.com/woodpecker:v0.1.36"},
        "goes with servers of 0.1.42",
    ),
    (
        with_(with_(DEV, "milvus.installer", "operator"), "milvus.dataVolume", {"size": "1Gi"}),
        "log",
        {"type": "rocksmq"},
        "gives its pods no group",
    ),
    (DEV, "milvus.upgradeFrom", "2.4.1", "go to 2.5.16 or later"),
    (
        with_(DEV, "milvus.version", "2.6.20"),
        "milvus.upgradeFrom",
        "3.0.5",
        "validated by nobody",
    ),
    (DEV, "etcd", {"auth": True}, "authenticates its clients by certificate"),
    (DEV, "etcd", {"snapshots": {"schedule": "61 * * * *"}}, "this is not minute"),
    (DEV, "etcd", {"snapshots": {"schedule": "1 2 3"}}, "this is not minute"),
    (DEV, "etcd", {"snapshots": {"schedule": "x * * * *"}}, "this is not minute"),
    (DEV, "etcd", {"snapshots": {"prefix": "files/etcd"}}, "lie within each other"),
    (DEV, "validation", {"enabled": True, "rules": "no-such.yaml"}, "cannot read the rules"),
    (DEV, "milvus.access", {"sourceRanges": ["10.0.0.1/8"]}, "not a network"),
    (DEV, "milvus.configuration", {"log": {"level": "debug"}}, "would be passed over"),
    (DEV, "milvus.configuration", {"common": {"session": {"ttl": 1}}}, "common.session.ttl"),
    (DEV, "milvus.configuration", {"x": [{"password": "y"}]}, "ConfigMap"),
    (DEV, "milvus.configuration", {"Minio": {"address": "x"}}, "the kit writes this key"),
    (DEV, "milvus.configuration", {"minio.address": "x"}, "the kit writes this key"),
    (DEV, "milvus.configuration", {"MINIO_ADDRESS": "x"}, "the kit writes this key"),
    (
        DEV,
        "milvus.configuration",
        {"minio.ssl": {"tlsCACert": "x"}},
        "chosen of it stands in storage",
    ),
    (DEV, "milvus.configuration", {"kafka.brokerList": "x", "mq.type": "kafka"}, "stands in log"),
    (DEV, "images.pullSecrets", ["registry"], "give the login itself in images.pullLogin"),
    (PROD, "storage.endpoint", "https://minio.storage.svc", "network.store: this is a Service"),
    (
        PROD,
        "log",
        {"type": "kafka", "mode": "adopt", "brokers": ["k.kafka.svc:9093"], "tls": True},
        "network.log: this is a Service",
    ),
    (DEV, "network.store", [{"ports": [9000]}], "the kit makes these pods itself"),
    (
        with_(DEV, "milvus.dataVolume", {"size": "9Gi"}),
        "milvus.roles",
        {"standalone": {"localStorage": "1Gi"}},
        "its data folder is milvus.dataVolume",
    ),
    (
        DEV,
        "milvus.dataset",
        {"vectors": 1, "dim": 8, "index": "AISAQ"},
        "searched on local NVMe volumes",
    ),
    (
        with_(with_(DEV, "log", {"type": "pulsar", "host": "p"}), "milvus.version", "2.3.5"),
        "milvus.dataset",
        {"vectors": 1, "dim": 8, "mmap": True},
        "for Milvus 2.5 and later",
    ),
    (OPERATED, "kubernetes.podUser", "assigned", "does not hand this on"),
    (
        PROD,
        "milvus.configuration",
        {"common.security.authorizationEnabled": False},
        "milvus.auth and milvus.tls",
    ),
    (
        PROD,
        "milvus.configuration",
        {"Common": {"SECURITY": {"tlsMode": 0}}},
        "milvus.auth and milvus.tls",
    ),
    (
        PROD,
        "milvus.configuration",
        {"common_security_authorizationenabled": False},
        "milvus.auth and milvus.tls",
    ),
    (DEV, "milvus.configuration", {"LOG.Level": "debug"}, "would be passed over"),
    (DEV, "milvus.configuration", {"log": "debug"}, "would be passed over"),
    (DEV, "milvus.configuration", {"a.b": 1, "A": {"B": 2}}, "a.b stands here twice"),
    (DEV, "milvus.configuration", {"x.password": "y"}, "ConfigMap"),
    (DEV, "milvus.roles", {"standalone": {"env": {"MINIOADDRESS": "x"}}}, "kit's to set"),
    (DEV, "milvus.roles", {"standalone": {"env": {"PROXY_PORT": "1"}}}, "kit's to set"),
    (DEV, "milvus.roles", {"standalone": {"env": {"METRICS_PORT": "1"}}}, "kit's to set"),
    (
        PROD,
        "milvus.roles",
        {"proxy": {"env": {"COMMONSECURITY_AUTHORIZATIONENABLED": "false"}}},
        "kit's to set",
    ),
    (DEV, "milvus.roles", {"standalone": {"env": {"PULSAR_AUTH_PARAMS": "x"}}}, "kit's to set"),
    (DEV, "milvus.roles", {"standalone": {"env": {"SSL_CERT_FILE": "/x"}}}, "kit's to set"),
    (
        with_(DEV, "kubernetes.createNamespace", False),
        "milvus.tls",
        {"mode": "mutual", "existingSecret": "tls"},
        "existingClientSecret",
    ),
    (DEV, "milvus.tls", {"mode": "mutual", "existingClientSecret": "tls"}, "goes with mode"),
    (OPERATED, "milvus.gpu", {"enabled": True}, "milvus.gpu.enabled: the kit does not hand"),
    (OPERATED, "milvus.command", ["/bin/milvus"], "milvus.command: the kit does not hand"),
    (
        OPERATED,
        "milvus.roles",
        {"querynode": {"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}},
        "no place for this",
    ),
    (OPERATED, "milvus.roles", {"proxy": {"terminationGraceSeconds": 60}}, "no place for this"),
    (OPERATED, "etcd", {"tls": True, "auth": False}, "etcd.tls: milvus-operator probes"),
    (
        OPERATED,
        "storage.credentials",
        {"existingSecret": {"name": "key", "accessKey": "id"}},
        "accesskey and secretkey alone",
    ),
    (
        OPERATED,
        "storage.ca",
        {"existingSecret": {"name": "ca", "key": "tls.pem"}},
        "from the key ca.crt alone",
    ),
    (PROD, "milvus.roles", {"proxy": {"replicas": 1}}, "one pod is one failure"),
    (
        PROD,
        "milvus.roles",
        {"proxy": {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}}},
        "autoscaling.minReplicas: one pod is one failure",
    ),
    (PROD, "images", {"overrides": {"etcd": "quay.io/coreos/etcd:v3"}}, "has no digest"),
    (PROD, "milvus.version", "2.6.4", "CVE-2025-64513: whoever reaches the proxy"),
    (PROD, "milvus.version", "2.6.9", "use 2.5.27, 2.6.10 or later of its line, or a later line"),
    (DEV, "milvus.acceptedRisks", {"CVE-2020-12345": "we live with it"}, "nothing to accept"),
    (
        PROD,
        "milvus.configuration",
        {"proxy": {"http": {"enablePprof": True}}},
        "milvus.configuration.proxy.http.enablePprof: the kit writes this key",
    ),
]
REMARKS: list[tuple[dict[str, Any], str, Any, str]] = [
    (DEV, "milvus.version", "2.6.4", "CVE-2025-64513"),
    (PROD, "storage.ca", None, "storage.ca: an X10000's certificate is usually"),
    (PROD, "storage.endpoint", "https://milvus.s3.example.com", "it would be named twice"),
    (DEV, "milvus.version", "3.0.0", "milvus-backup refuses this version"),
    (PROD, "milvus.dataset", {"vectors": 10**9, "dim": 768}, "gives each member 50Gi"),
]


@pytest.mark.parametrize(("document", "path", "value", "expected"), MISTAKES)
def test_each_rule_refuses_its_own_mistake(document, path, value, expected):
    message = problems(with_(document, path, value), "glId", "glSecret")
    assert expected in message


def test_every_rule_has_been_seen_to_fail():
    failed = set()
    for document, path, value, _ in MISTAKES:
        sections = _sections(filled(with_(document, path, value)), [])
        for rule in registry.RULES:
            needed = inspect.signature(rule).parameters
            if all(name in sections for name in needed):
                found = list(rule(**{name: sections[name] for name in needed}))
                failed |= {rule.__name__} if found else set()
    assert failed == {rule.__name__ for rule in registry.RULES}


@pytest.mark.parametrize(("document", "path", "value", "expected"), REMARKS)
def test_what_is_worth_a_word_is_said_and_refuses_nothing(document, path, value, expected):
    assert expected in "\n".join(remarks(dict(settings(with_(document, path, value)))))


def test_every_remark_has_been_seen():
    told = set()
    for document, path, value, _ in REMARKS:
        sections = dict(settings(with_(document, path, value)))
        for remark in registry.REMARKS:
            needed = inspect.signature(remark).parameters
            told |= {remark for _ in remark(**{name: sections[name] for name in needed})}
    assert told == set(registry.REMARKS)


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_vulnerable_version_may_run_where_the_settings_say_why(environment):
    prod = with_(PROD, "log", OPERATED["log"])
    document = with_(prod if environment == "prod" else DEV, "milvus.version", "2.6.9")
    reason = {"CVE-2026-26190": "port 9091 is behind a firewall of our own"}
    found = settings(with_(document, "milvus.acceptedRisks", reason))
    assert "CVE" not in "\n".join(remarks(dict(found)))


def test_a_risk_is_not_accepted_without_a_reason():
    document = with_(DEV, "milvus.acceptedRisks", {"CVE-2026-26190": "ok"})
    assert "milvus.acceptedRisks.CVE-2026-26190" in problems(document)


def test_insecure_endpoint_is_accepted_when_told():
    assert settings(INSECURE).production


def test_bare_off_is_explained():
    message = problems(with_(DEV, "milvus.tls", {"mode": False}))
    assert "write it in quotes: YAML reads a bare off as false" in message


def test_prod_switches_on_what_production_needs():
    found = settings(PROD)
    assert found.milvus.auth.enabled
    assert found.milvus.tls.mode == "server"
    assert (found.etcd.members, found.etcd.auth, found.etcd.tls) == (3, True, True)
    assert found.etcd.snapshots is not None
    assert found.storage.protect
    assert found.storage.retain_on_delete
    assert found.images.require_digest


@pytest.mark.parametrize("text", ["17 */6 * * *", "0,30 1-5/2 31 12 7", "0 0 1 * 1-5"])
def test_a_schedule_that_kubernetes_takes_is_accepted(text):
    assert settings(with_(DEV, "etcd", {"snapshots": {"schedule": text}})).etcd.snapshots


def test_settings_cannot_be_changed():
    found = settings(DEV)
    with pytest.raises(ValueError, match="frozen"):
        found.milvus.version = "2.6.20"  # pyright: ignore[reportAttributeAccessIssue]


# The recorded profile of a store

EMBEDDED = {"type": "woodpecker", "mode": "embedded"}
PROFILE: dict[str, Any] = {
    "schema": "milvus-kit/s3-profile/1",
    "storage": {
        "endpoint": "https://s3.example.com",
        "bucket": "milvus",
        "region": "us-east-1",
        "root_path": "files",
    },
    "verdict": "pass",
    "reason": "all rules hold",
    "decisions": {
        "woodpecker": "safe",
        "wal": {"choice": "woodpecker-embedded", "reason": "all hold"},
        "addressing": {"choice": "path", "reason": "works"},
    },
    "findings": [
        {"id": "addressing.path", "outcome": "pass"},
        {"id": "addressing.virtual-host", "outcome": "fail"},
    ],
}


@pytest.fixture
def profiled(tmp_path, monkeypatch):
    monkeypatch.setenv("MILVUS_KIT_STACKS", str(tmp_path))

    def write(document: Any, **changes: Any) -> dict[str, Any]:
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "profile.json").write_text(text, encoding="utf-8")
        found = with_(PROD, "storage.conformanceProfile", "profile.json")
        for path, value in changes.items():
            found = with_(found, path.replace("__", "."), value)
        return found

    return write


def test_store_whose_profile_is_safe_may_carry_embedded_woodpecker(profiled):
    assert settings(profiled(PROFILE, log=EMBEDDED)).production


@pytest.mark.parametrize(
    ("path", "value", "stack", "expected"),
    [
        ("decisions.woodpecker", "unsafe", {"log": EMBEDDED}, "embedded Woodpecker is unsafe"),
        ("decisions.woodpecker", "unknown", {"log": EMBEDDED}, "embedded Woodpecker is unknown"),
        ("decisions.woodpecker", None, {"log": EMBEDDED}, "embedded Woodpecker is unknown"),
        ("verdict", "fail", {}, "cannot carry Milvus: all rules hold"),
        ("storage.bucket", "other", {}, "another bucket: 'other'"),
        ("storage.endpoint", "https://a.example.com", {}, "another endpoint"),
        ("schema", "other/1", {}, "no profile of schema"),
        ("verdict", "pass", {"storage__addressing": "virtual"}, "use path"),
    ],
)
def test_profile_that_contradicts_the_stack_refuses_it(profiled, path, value, stack, expected):
    assert expected in problems(profiled(with_(PROFILE, path, value), **stack))


def test_profile_that_cannot_be_read_is_named(profiled, tmp_path):
    assert "it is not JSON" in problems(profiled("{"))
    document = profiled(PROFILE)
    (tmp_path / "profile.json").unlink()
    assert "profile.json" in problems(document)


def test_who_records_the_profile_does_not_need_it():
    document = with_(PROD, "log", EMBEDDED)
    assert parse(document, secrets=[], source="test", recorded=False).production


# Secrets


def provisioned(**greenlake: Any) -> dict[str, Any]:
    document = with_(PROD, "storage.credentials", None)
    document = with_(document, "storage.mode", "provision")
    return with_(document, "storage.greenlake", GREENLAKE | greenlake)


def test_secrets_are_named_and_found_wherever_they_stand():
    found = settings(provisioned(), "glId", "glSecret")
    assert sorted(name for _, name in secrets_in(found.storage)) == ["glId", "glSecret"]


def test_secret_that_is_missing_is_an_error_with_the_command_that_sets_it():
    assert "`pulumi config set --secret glSecret`" in problems(provisioned(), "glId")


def test_secret_in_plain_text_is_refused_and_not_shown():
    document = provisioned() | {"glSecret": "planted-plain-secret"}
    message = problems(document, "glId")
    assert "in plain text" in message
    assert "planted-plain-secret" not in message


@pytest.mark.parametrize("value", ["planted/secret+value==", "A" * 50, {"planted": "secret"}, 7])
def test_secret_in_the_place_of_its_name_is_refused_and_not_shown(value):
    message = problems(provisioned(clientSecret=value), "glId")
    assert "never the secret itself" in message
    assert "planted" not in message
    assert "AAAA" not in message


def test_secret_inside_a_section_is_refused():
    assert "a secret stands inside this section" in problems(DEV, "storage")


def test_secret_that_nothing_uses_is_refused():
    assert "oldKey: no section uses this secret" in problems(DEV, "oldKey")


@pytest.mark.parametrize("path", ["milvus.secretKey", "storage.password", "apiToken"])
def test_value_of_an_unknown_key_is_never_shown(path):
    assert "planted" not in problems(with_(DEV, path, "planted-value"))


def test_private_key_given_as_a_ca_is_not_shown():
    pem = "-----BEGIN EC PRIVATE KEY-----\nplanted\n-----END EC PRIVATE KEY-----\n"
    message = problems(with_(PROD, "storage.ca", {"pem": pem}))
    assert "private key" in message
    assert "planted" not in message


def test_endpoint_with_a_password_is_not_shown():
    assert "planted" not in problems(
        with_(PROD, "storage.endpoint", "https://user:planted@s3.example.com")
    )


# Sources


def stack_file(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / "Pulumi.test.yaml"
    config = {f"{PROJECT}:{key}": value for key, value in document.items()}
    path.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    return path


def test_file_needs_no_passphrase_for_its_secrets(tmp_path):
    secure = {name: {"secure": "v1:AAAA:BBBB"} for name in ("glId", "glSecret")}
    assert from_file(stack_file(tmp_path, provisioned() | secure)) == settings(
        provisioned(), "glId", "glSecret"
    )


def test_secure_value_inside_a_section_of_a_file_is_refused(tmp_path):
    document = with_(DEV, "storage.bucket", {"secure": "v1:AAAA:BBBB"})
    with pytest.raises(ConfigurationError, match="a secret stands inside this section"):
        from_file(stack_file(tmp_path, document))


def test_running_program_sees_the_same_settings_as_the_file(tmp_path):
    given = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in DEV.items()
    }
    given["kubernetes:context"] = "not ours"
    assert from_pulumi(given, [], "test") == from_file(stack_file(tmp_path, DEV))


def test_running_program_refuses_a_plain_secret():
    given = {f"{PROJECT}:{key}": json.dumps(value) for key, value in provisioned().items()}
    given[f"{PROJECT}:environment"] = "prod"
    given |= {f"{PROJECT}:glId": "a", f"{PROJECT}:glSecret": "planted"}
    with pytest.raises(ConfigurationError, match="in plain text") as caught:
        from_pulumi(given, [f"{PROJECT}:glId"], "test")
    assert "planted" not in str(caught.value)
    assert from_pulumi(given, [f"{PROJECT}:glId", f"{PROJECT}:glSecret"], "test")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config: {a: 1, a: 2}", "twice"),
        ("config: [", "not valid YAML"),
        ("just text", "a stack file is a mapping"),
        ("config:\n  - a", "a mapping named config"),
        ("", "a stack file is a mapping"),
        ("? [1, 2]\n: b", "a list or mapping cannot be a key"),
        ("when: 2024-13-45", "a value cannot be read"),
    ],
)
def test_file_that_is_no_stack_is_named(tmp_path, text, expected):
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=expected) as caught:
        from_file(path)
    assert str(path) in str(caught.value)


def test_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        from_file(tmp_path / "Pulumi.none.yaml")


# The reference


def test_reference_is_what_the_models_say():
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert page == reference.markdown(), "run `milvus-kit config reference > docs/settings.md`"


def test_reference_names_every_key_and_every_default_of_prod():
    page = reference.markdown()
    for expected in ("`greenlake.clientSecret`", "`roles.NAME.replicas`", "`hosts[].ssh.port`"):
        assert expected in page
    assert "| `etcd.members` | `3` |" in page


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("2k", 2000), ("1Ki", 1024), ("1.5Gi", 3 * 2**29), ("2T", 2e12)]
)
def test_quantities_are_kubernetes_quantities(text, size):
    assert bytes_of(text) == size


def test_cores_and_versions_compare():
    assert cores_of("500m") == 0.5
    assert cores_of("2") == 2.0
    assert version_of("2.10.0") > version_of("2.9.9")
