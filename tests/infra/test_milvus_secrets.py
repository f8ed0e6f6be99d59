from __future__ import annotations

import base64
import hashlib
import json

import declaring
import pytest
import yaml
from declaring import CLUSTER_23, CONFIG, DEV, PROD, STANDALONE, Hidden, changed, declare, shown

from infra.settings import conformance
from validation.errors import ConfigurationError

EVERYTHING = changed(
    PROD,
    milvus={"auth": {"enabled": True, "rootPassword": {"config": "rootPassword"}}},
    validation={"enabled": True},
    observability={"podMonitors": True, "dashboard": True},
    images={"requireDigest": False, "pullLogin": "registryLogin"},
)
EVERYTHING["log"] = {
    "type": "kafka",
    "mode": "adopt",
    "brokers": ["kafka.example.com:9093"],
    "tls": True,
    "sasl": {"user": "milvus", "password": {"config": "logPassword"}},
}
PLANTED = (*CONFIG.values(), "generated-value-of", "generated-key-of")


def plain_text(value) -> str:
    """Everything that is not a Pulumi secret."""
    if isinstance(value, Hidden):
        return ""
    if isinstance(value, dict):
        return " ".join(plain_text(item) for item in value.values())
    if isinstance(value, list):
        return " ".join(plain_text(item) for item in value)
    return str(value)


@pytest.mark.parametrize("document", [EVERYTHING, PROD, CLUSTER_23], ids=["all", "prod", "2.3"])
def test_no_secret_is_in_anything_that_is_no_pulumi_secret(document):
    for item in declare(document).resources:
        if item.type.startswith("kubernetes:"):
            text = plain_text(item.inputs)
            for secret in PLANTED:
                assert secret not in text, (item.type, item.name)


@pytest.mark.parametrize("document", [EVERYTHING, PROD, CLUSTER_23, STANDALONE])
def test_no_key_and_no_password_is_in_a_config_map_or_a_pod(document):
    declared = declare(document)
    kinds = ("ConfigMap", "Deployment", "StatefulSet", "CronJob", "Job", "Service")
    for kind in kinds:
        for name, item in declared.of(kind).items():
            text = json.dumps(shown(item.inputs))
            for secret in PLANTED:
                assert secret not in text, (kind, name)


def test_what_was_planted_is_really_in_the_secrets():
    secrets = json.dumps([shown(item.inputs) for item in declare(EVERYTHING).of("Secret").values()])
    for secret in CONFIG.values():
        assert secret in secrets


def environment(declared, name: str, kind: str = "Deployment") -> dict[str, dict]:
    template = shown(declared.workloads()[f"{kind}/{name}"])
    return {item["name"]: item for item in template["spec"]["containers"][0]["env"]}


def test_the_s3_key_reaches_every_role_by_reference():
    declared = declare(PROD)
    for name in declared.of("Deployment"):
        env = environment(declared, name)
        for variable, key in (
            ("MINIO_ACCESS_KEY_ID", "accesskey"),
            ("MINIO_SECRET_ACCESS_KEY", "secretkey"),
        ):
            assert env[variable]["valueFrom"]["secretKeyRef"] == {"name": "milvus-s3", "key": key}


def test_root_gets_its_own_password_at_the_first_start_from_the_coordinator_alone():
    declared = declare(PROD)
    for name in declared.of("Deployment"):
        has = "COMMON_SECURITY_DEFAULTROOTPASSWORD" in environment(declared, name)
        assert has is (name == "milvus-mixcoord"), name
    assert "milvus-root-password" not in declared.of("Job")


def test_versions_that_start_with_the_well_known_password_get_a_job_that_replaces_it():
    declared = declare(changed(CLUSTER_23, milvus={"auth": {"enabled": True}}))
    job = declared.of("Job")["milvus-root-password"]
    container = shown(job.inputs)["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][:3] == ["python", "-m", "infra.milvus.access.root_password_change"]
    ref = container["env"][0]["valueFrom"]["secretKeyRef"]
    assert ref == {"name": "milvus-root", "key": "password"}
    assert "milvus-proxy-started" in job.depends_on
    for name in declared.of("Deployment"):
        assert "COMMON_SECURITY_DEFAULTROOTPASSWORD" not in environment(declared, name)


def test_a_private_ca_stands_where_both_of_milvuss_s3_clients_look():
    declared = declare(PROD)
    for name in declared.of("Deployment"):
        env = environment(declared, name)
        assert env["SSL_CERT_FILE"]["value"] == "/milvus/tls/s3/ca.crt"
        spec = shown(declared.workloads()[f"Deployment/{name}"])["spec"]
        mounts = {item["mountPath"] for item in spec["containers"][0]["volumeMounts"]}
        assert {
            "/milvus/tls/s3",
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
        } <= mounts


def of_the_store(document) -> list[dict]:
    """What each file of a deployment says of the object store."""
    declared = declare(document)
    files = [
        yaml.safe_load(text)
        for one in declared.of("ConfigMap").values()
        for name, text in one.inputs["data"].items()
        if name.endswith(".yaml")
    ]
    files += [one["spec"]["config"] for one in declared.kubernetes() if one["kind"] == "Milvus"]
    return [file["minio"] for file in files if "minio" in file]


@pytest.mark.parametrize(
    ("version", "log"),
    [
        ("2.4.24", {"type": "kafka", "mode": "create"}),
        ("2.5.27", {"type": "kafka", "mode": "create"}),
        ("2.6.20", {"type": "woodpecker", "mode": "embedded"}),
        ("3.0.5", {"type": "woodpecker", "mode": "service"}),
    ],
)
@pytest.mark.parametrize("installer", ["manifests", "operator"])
def test_no_file_names_a_ca_of_the_store_which_would_end_all_checks(version, log, installer):
    if installer == "operator":
        log = {"type": "kafka", "mode": "create"}
    milvus = {"version": version, "mode": "cluster", "installer": installer}
    image = f"docker.io/milvusdb/milvus:v{version}"
    found = of_the_store(changed(DEV, milvus=milvus | {"image": image}, log=log))
    assert found
    # Images of 2.5 and 2.6 ship a placeholder, which only an empty text takes away.
    assert [one["ssl"] for one in found] == [{"tlsCACert": ""}] * len(found)


def test_a_public_ca_leaves_the_images_own_trust_alone():
    document = changed(PROD)
    document["storage"].pop("ca")
    declared = declare(document)
    assert "SSL_CERT_FILE" not in environment(declared, "milvus-proxy")


def marks(document) -> dict[str, dict[str, str]]:
    declared = declare(document)
    return {
        name: shown(template)["metadata"].get("annotations", {})
        for name, template in declared.workloads().items()
    }


def rolled(before, after) -> set[str]:
    """Names of the workloads whose pods are replaced by a change."""
    old, new = marks(before), marks(after)
    assert set(old) == set(new)
    return {name.split("/")[1] for name in old if old[name] != new[name]}


@pytest.fixture
def rotated(monkeypatch):
    def rotate(name: str) -> None:
        monkeypatch.setitem(declaring.CONFIG, name, "rotated" + CONFIG[name])

    return rotate


ROLES = {"milvus-mixcoord", "milvus-streamingnode", "milvus-querynode", "milvus-datanode"}


def test_a_rotated_s3_key_rolls_milvus_and_woodpecker_and_nothing_else(rotated):
    before = marks(PROD)
    rotated("s3SecretKey")
    after = marks(PROD)
    changed_names = {name.split("/")[1] for name in before if before[name] != after[name]}
    assert changed_names == {*ROLES, "milvus-proxy", "woodpecker"}


def test_a_rotated_log_password_rolls_exactly_the_roles_of_milvus(rotated):
    before = marks(EVERYTHING)
    rotated("logPassword")
    after = marks(EVERYTHING)
    changed_names = {name.split("/")[1] for name in before if before[name] != after[name]}
    assert changed_names == {*ROLES, "milvus-proxy"}


def test_a_new_ca_of_the_log_rolls_exactly_the_roles_of_milvus_and_validates_again():
    def with_ca(pem):
        return changed(EVERYTHING, log={"ca": {"pem": pem}})

    pem = PROD["storage"]["ca"]["pem"]
    changed_names = rolled(with_ca(pem), with_ca(pem.replace("AA", "BB")))
    assert changed_names == {*ROLES, "milvus-proxy", "milvus-validation"}


def test_a_new_ca_of_the_log_in_a_secret_of_the_sites_own_is_seen_too(monkeypatch):
    real, held = declaring._Remembers.new_resource, []

    def answer(self, args):
        id_, outputs = real(self, args)
        if args.resource_id and args.typ == "kubernetes:core/v1:Secret":
            outputs["data"] = {"ca.crt": base64.b64encode(held[-1]).decode()}
        return id_, outputs

    monkeypatch.setattr(declaring._Remembers, "new_resource", answer)
    secret = {"existingSecret": {"name": "kafka-ca", "key": "ca.crt"}}
    document = changed(EVERYTHING, log={"ca": secret}, kubernetes={"createNamespace": False})
    found = []
    for held_now in (b"one", b"two"):
        held.append(held_now)
        declaring.forget()
        found.append(marks(document)["Deployment/milvus-proxy"])
    assert found[0] != found[1]


def test_who_reads_pods_cannot_try_a_dictionary_on_a_chosen_password():
    template = shown(declare(EVERYTHING).workloads()["Deployment/milvus-mixcoord"])
    annotations = template["metadata"]["annotations"]
    for purpose, secret in (("root-password", "rootPassword"), ("log", "logPassword")):
        fast = hashlib.sha256(CONFIG[secret].encode()).hexdigest()
        assert annotations[f"milvus-kit/{purpose}"] != fast


@pytest.mark.parametrize(("choice", "told"), [("when_required", True), ("when_supported", False)])
def test_milvus_adds_checksums_as_the_recorded_profile_decides(tmp_path, choice, told):
    path = tmp_path / "profile.json"
    document = {
        "schema": conformance.SCHEMA,
        "storage": {
            "endpoint": "https://s3.example.com",
            "bucket": "milvus",
            "region": "us-east-1",
            "root_path": "files",
        },
        "verdict": "pass",
        "findings": [{"id": "addressing.path", "outcome": "pass"}],
        "decisions": {"checksums": {"choice": choice, "reason": "measured"}},
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    declared = declare(changed(PROD, storage={"conformanceProfile": str(path)}))
    for name, template in declared.workloads().items():
        if not name.startswith("Deployment/milvus-"):
            continue
        env = {item["name"]: item.get("value") for item in template["spec"]["containers"][0]["env"]}
        for variable in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
            assert env.get(variable) == ("when_required" if told else None), name


def test_a_rotated_root_password_rolls_the_coordinator_alone(rotated):
    before = marks(EVERYTHING)
    rotated("rootPassword")
    after = marks(EVERYTHING)
    changed_names = {name.split("/")[1] for name in before if before[name] != after[name]}
    assert changed_names == {"milvus-mixcoord"}


@pytest.mark.parametrize(
    ("section", "roles"),
    [
        ({"proxy": {"maxTaskNum": 2048}}, {"milvus-mixcoord", "milvus-proxy"}),
        (
            {"queryNode": {"mmap": {"mmapEnabled": True}}},
            {"milvus-mixcoord", "milvus-querynode", "milvus-streamingnode"},
        ),
        (
            {"dataNode": {"memory": {"forceSyncEnable": False}}},
            {"milvus-mixcoord", "milvus-datanode", "milvus-streamingnode"},
        ),
        ({"queryCoord": {"autoBalance": True}}, {"milvus-mixcoord"}),
        ({"grpc": {"client": {"dialTimeout": 300}}}, {*ROLES, "milvus-proxy"}),
    ],
    ids=["proxy", "queryNode", "dataNode", "queryCoord", "grpc"],
)
def test_a_changed_configuration_rolls_exactly_the_roles_that_read_it(section, roles):
    assert rolled(DEV, changed(DEV, milvus={"configuration": section})) == roles


def test_a_changed_number_of_replicas_rolls_nothing():
    assert rolled(DEV, changed(DEV, milvus={"roles": {"querynode": {"replicas": 3}}})) == set()


def test_a_role_may_not_be_told_its_keys_in_plain_text():
    env = {"MINIO_SECRET_ACCESS_KEY": "x"}
    document = changed(DEV, milvus={"roles": {"proxy": {"env": env}}})
    with pytest.raises(ConfigurationError, match="plain text in the cluster"):
        declare(document)


def test_clients_see_a_certificate_for_every_name_they_may_use():
    access = {"type": "LoadBalancer", "host": "milvus.example.com"}
    declared = declare(changed(PROD, milvus={"access": access}))
    hosts = next(
        item.inputs["hosts"]
        for item in declared.resources
        if item.name == "milvus-tls" and item.kind == "Certificate"
    )
    assert {"milvus.ns.svc", "milvus.example.com", "localhost"} <= set(hosts)
    text = declared.one("ConfigMap", "milvus-proxy")["data"]["user.yaml"]
    proxy = yaml.safe_load(text)
    assert proxy["common"]["security"]["tlsMode"] == 1
    assert proxy["proxy"]["http"]["enabled"] is False


def test_mutual_tls_makes_a_client_certificate_without_names():
    declared = declare(changed(PROD, milvus={"tls": {"mode": "mutual"}}))
    client = next(
        item.inputs
        for item in declared.resources
        if item.name == "milvus-client-tls" and item.kind == "Certificate"
    )
    assert (client["hosts"], client["client"]) == ([], True)
    text = declared.one("ConfigMap", "milvus-proxy")["data"]["user.yaml"]
    assert "tlsMode: 2" in text


def test_only_the_entrance_has_the_servers_private_key():
    declared = declare(PROD)
    for name in declared.of("Deployment"):
        volumes = shown(declared.workloads()[f"Deployment/{name}"])["spec"]["volumes"]
        secrets = {item["secret"]["secretName"] for item in volumes if "secret" in item}
        assert ("milvus-tls" in secrets) is (name == "milvus-proxy"), name


def referred(value) -> set[tuple[str, str]]:
    """Every key of a Secret that an object's pods need to start."""
    if isinstance(value, list):
        return set().union(*map(referred, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*map(referred, value.values()))
    if "secretKeyRef" in value:
        found.add((value["secretKeyRef"]["name"], value["secretKeyRef"]["key"]))
    if "secretName" in value:
        found |= {(value["secretName"], item["key"]) for item in value["items"]}
    return found


def unmade(declared) -> set[tuple[str, str]]:
    """What pods refer to and no Secret of the program holds."""
    made = {
        (item.inputs["metadata"]["name"], key)
        for item in declared.of("Secret").values()
        for part in ("data", "stringData")
        for key in shown(item.inputs.get(part)) or {}
    }
    return referred([shown(one) for one in declared.workloads().values()]) - made


@pytest.mark.parametrize("document", [EVERYTHING, PROD, CLUSTER_23, STANDALONE])
def test_every_secret_that_a_pod_refers_to_is_made_with_that_key(document):
    assert unmade(declare(document)) == set()


@pytest.mark.parametrize("wrong", [("milvus-s4", "accesskey"), ("milvus-s3", "accessKey")])
def test_a_secret_or_a_key_of_another_name_is_seen_before_there_is_a_cluster(wrong):
    declared = declare(STANDALONE)
    template = next(iter(declared.workloads().values()))
    name, key = wrong
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
    template["spec"]["containers"][0].setdefault("env", []).append(variable)
    assert unmade(declared) == {wrong}
