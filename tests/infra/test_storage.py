"""One contract, whatever the store: the same expectations for each kind, through the real SDK."""

from __future__ import annotations

import dataclasses
import gc
import logging
from typing import Any

import declaring
import pulumi
import pytest
from declaring import CONFIG, DEV, PROD, Declared, Hidden, changed, declare, shown

from infra import program
from infra.storage import policy, wiring
from infra.storage.contract import StorageContract
from validation.errors import ConfigurationError

PEM = PROD["storage"]["ca"]["pem"]
GREENLAKE = {
    "systemId": "8UW0000001",
    "region": "us-west",
    "clientId": "s3AccessKey",
    "clientSecret": "s3SecretKey",
}
PROVISION = changed(PROD, storage={"mode": "provision", "greenlake": GREENLAKE})
PROVISION["storage"].pop("credentials")
KINDS = {
    "minio": DEV,
    "minio-plain": changed(DEV, storage={"tls": {"mode": "off"}}),
    "x10000-adopt": PROD,
    "x10000-provision": PROVISION,
    "s3": changed(PROD, storage={"type": "s3"}),
    "x10000-virtual": changed(
        PROD, storage={"addressing": "virtual", "region": "eu-west-1", "bucket": "vectors"}
    ),
}


@pytest.fixture(scope="module", params=KINDS, ids=list(KINDS))
def case(request) -> tuple[str, dict[str, Any], Declared, StorageContract]:
    document = KINDS[request.param]
    captured: list[StorageContract] = []
    declaring.forget()
    with pytest.MonkeyPatch.context() as patch:
        real = program.store.deploy

        def remembered(*args: Any, **kwargs: Any) -> StorageContract:
            captured.append(real(*args, **kwargs))
            return captured[-1]

        patch.setattr(program.store, "deploy", remembered)
        declared = declare(document)
    return request.param, document, declared, captured[0]


def test_contract_says_what_the_settings_say(case):
    _, document, _, contract = case
    storage = document["storage"]
    assert contract.bucket == storage.get("bucket", "milvus")
    assert contract.region == storage.get("region", "us-east-1")
    assert contract.addressing == storage.get("addressing", "path")
    assert contract.provider == storage["type"]
    assert contract.root_path == "files"


def test_every_field_of_the_contract_is_given(case):
    name, _, _, contract = case
    optional = {"ca", "ca_pem", "pods", "encryption", "checksums"}
    for field in dataclasses.fields(contract):
        if field.name not in optional:
            assert getattr(contract, field.name) is not None, (name, field.name)
    assert contract.ready


def test_endpoint_has_scheme_host_and_port(case):
    _, _, _, contract = case
    assert contract.host
    assert 0 < contract.port < 65536
    assert contract.secure == contract.endpoint.startswith("https://")


def test_private_ca_goes_with_tls_and_only_with_it(case):
    _, _, declared, contract = case
    assert (contract.ca is not None) == contract.secure
    assert (contract.ca_pem is not None) == contract.secure
    if contract.ca is not None:
        secret = declared.one("Secret", contract.ca.name)
        assert contract.ca.key in shown(secret["stringData"])


def test_key_is_in_one_secret_under_fixed_names(case):
    _, _, declared, contract = case
    assert contract.credentials.access_key == wiring.SecretKeyRef("milvus-s3", "accesskey")
    assert contract.credentials.secret_key == wiring.SecretKeyRef("milvus-s3", "secretkey")
    data = declared.one("Secret", "milvus-s3")["stringData"]
    assert isinstance(data, Hidden) or all(isinstance(one, Hidden) for one in data.values())


def test_store_outside_the_namespace_has_no_pods(case):
    name, _, _, contract = case
    assert (contract.pods is not None) == name.startswith("minio")


def test_path_style_region_tls_and_ca_reach_milvus(case):
    _, _, declared, contract = case
    configuration = "".join(
        str(shown(one.inputs.get("data"))) for one in declared.of("ConfigMap").values()
    )
    assert f"address: {contract.host}" in configuration
    assert f"bucketName: {contract.bucket}" in configuration
    assert f"region: {contract.region}" in configuration
    assert f"useSSL: {str(contract.secure).lower()}" in configuration
    virtual = str(contract.addressing == "virtual").lower()
    assert f"useVirtualHost: {virtual}" in configuration


def test_private_ca_is_mounted_in_every_pod_of_milvus(case):
    _, _, declared, contract = case
    for name, template in declared.workloads().items():
        if "/milvus-" in name and name.startswith(("Deployment", "StatefulSet")):
            assert ("storage-ca" in repr(shown(template))) == contract.secure


# MinIO alone


@pytest.fixture(scope="module")
def minio() -> Declared:
    return declare(DEV)


def test_minio_root_key_and_milvus_key_are_different_secrets(minio):
    names = {"minio-root-password", "milvus-access-key", "milvus-secret-key"}
    assert names <= set(minio.of("Password"))
    root = repr(shown(minio.one("Secret", "minio-root")["stringData"]))
    assert "minio-root-password" in root
    assert "milvus-secret-key" not in root
    assert "minio-root" not in repr(shown(minio.one("Secret", "milvus-s3")))


def test_only_minio_itself_reads_the_root_key(minio):
    readers = [
        name for name, template in minio.workloads().items() if "minio-root" in repr(template)
    ]
    assert readers == ["StatefulSet/minio"]


def test_minio_user_has_the_policy_of_its_bucket_alone(minio):
    user = minio.one("MinioUser", "milvus-user")
    assert user["policy"] == policy.for_bucket("milvus")
    assert "s3:*" not in repr(user["policy"])


def test_what_lives_in_minios_volume_is_put_there_again_when_the_server_is_made_anew(monkeypatch):
    real = declaring._Remembers.new_resource

    def with_uid(self, args):
        id_, outputs = real(self, args)
        if args.typ.endswith(":StatefulSet") and args.name == "minio":
            outputs["metadata"] = {**outputs["metadata"], "uid": "11111111-aaaa"}
        return id_, outputs

    monkeypatch.setattr(declaring._Remembers, "new_resource", with_uid)
    declared = declare(DEV)
    for kind, name in (("MinioBucket", "milvus-bucket"), ("MinioUser", "milvus-user")):
        assert declared.one(kind, name)["server_uid"] == "11111111-aaaa"


def test_minio_is_reached_by_a_name_that_no_service_link_turns_into_configuration(minio):
    assert "minio" not in {one["metadata"]["name"] for one in _services(minio)}


def _services(declared: Declared) -> list[dict[str, Any]]:
    return [one.inputs for one in declared.of("Service").values()]


def test_minio_certificate_holds_every_name_it_is_reached_by():
    access = {"type": "NodePort", "host": "192.0.2.7", "nodePort": 30900}
    declared = declare(changed(DEV, storage={"access": access}))
    hosts = declared.one("Certificate", "minio-tls")["hosts"]
    assert {"object-store.ns.svc", "192.0.2.7", "localhost"} <= set(hosts)


def test_node_port_of_minio_is_where_validation_connects():
    access = {"type": "NodePort", "host": "192.0.2.7", "nodePort": 30900}
    declared = declare(changed(DEV, storage={"access": access}))
    service = next(one for one in _services(declared) if "object-store" in repr(one))
    assert service["spec"]["ports"][0]["nodePort"] == 30900


def test_minio_pod_is_restricted_and_has_a_read_only_root(minio):
    spec = minio.workloads()["StatefulSet/minio"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_minio_lets_in_the_kits_pods_and_out_nobody(minio):
    rules = minio.one("NetworkPolicy", "minio")["spec"]
    assert rules["policyTypes"] == ["Ingress", "Egress"]
    assert not rules.get("egress")
    (rule,) = rules["ingress"]
    assert [port["port"] for port in rule["ports"]] == [9000]
    assert rule["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "milvus-kit"}}}
    ]


def test_bucket_and_user_wait_for_the_server(minio):
    for kind, name in (("MinioBucket", "milvus-bucket"), ("MinioUser", "milvus-user")):
        assert "minio" in minio.of(kind)[name].depends_on


# X10000 alone


def test_adopted_store_makes_nothing_but_two_secrets():
    declared = declare(PROD)
    for kind in ("GreenLakeBucket", "GreenLakeUser", "GreenLakePolicy", "MinioBucket"):
        assert declared.of(kind) == {}
    assert {"milvus-s3", "storage-ca"} <= set(declared.of("Secret"))


def test_adopted_secrets_are_used_where_they_are():
    document = changed(
        PROD,
        kubernetes={"createNamespace": False},
        storage={
            "credentials": {"existingSecret": {"name": "site-key", "accessKey": "id"}},
            "ca": {"existingSecret": {"name": "site-ca", "key": "bundle.pem"}},
        },
    )
    declared = declare(document)
    assert "milvus-s3" not in declared.of("Secret")
    assert "storage-ca" not in declared.of("Secret")
    pods = repr(shown(declared.workloads()))
    for expected in ("site-key", "site-ca", "bundle.pem"):
        assert expected in pods


def test_one_secret_may_hold_key_and_ca():
    document = changed(
        PROD,
        kubernetes={"createNamespace": False},
        storage={
            "credentials": {"existingSecret": {"name": "site"}},
            "ca": {"existingSecret": {"name": "site", "key": "ca.crt"}},
        },
    )
    assert declare(document).workloads()


def test_provisioned_store_makes_bucket_policy_and_user_in_order():
    declared = declare(PROVISION)
    bucket = declared.one("GreenLakeBucket", "milvus-bucket")
    assert bucket["base_url"] == "https://us-west.api.greenlake.hpe.com"
    assert bucket["owner"] == "milvus-kit/test"
    assert isinstance(bucket["client_secret"], Hidden)
    assert "milvus-bucket" in declared.of("GreenLakePolicy")["milvus-policy"].depends_on
    assert "milvus-policy" in declared.of("GreenLakeUser")["milvus-user"].depends_on
    assert declared.one("GreenLakeUser", "milvus-user")["policies"] == ["milvus"]


def test_client_secret_is_in_no_kubernetes_object():
    text = repr(declare(PROVISION).kubernetes())
    assert CONFIG["s3SecretKey"] not in text


def test_policies_that_say_the_same_are_the_same():
    one = policy.for_bucket("milvus")
    other = {"Version": "2012-10-17", "Statement": list(reversed(one["Statement"]))}
    assert policy.same(one, other)
    assert not policy.same(one, policy.for_bucket("other"))
    assert not policy.same(one, None)
    wider = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    assert not policy.same(one, wider)


def test_existing_secret_without_the_key_is_named(monkeypatch):
    real = declaring._Remembers.new_resource

    def without(self, args):
        id_, outputs = real(self, args)
        return id_, outputs | ({"data": {"other": "eA=="}} if args.resource_id else {})

    monkeypatch.setattr(declaring._Remembers, "new_resource", without)
    document = changed(
        PROD,
        kubernetes={"createNamespace": False},
        storage={"credentials": {"existingSecret": {"name": "site"}}},
    )
    with pytest.raises(
        ConfigurationError, match="storage-key-site: the Secret has no key accesskey"
    ):
        declare(document)


@pytest.mark.parametrize(
    ("planted", "told"), [("", "is empty"), (" ", "is empty"), ("key\n", "white space")]
)
def test_a_secret_that_cannot_be_one_is_named_and_not_shown(monkeypatch, planted, told, caplog):
    caplog.set_level(logging.CRITICAL, "asyncio")  # a program given up leaves its tasks behind
    monkeypatch.setitem(CONFIG, "s3SecretKey", planted)
    with pytest.raises(ConfigurationError, match=f"s3SecretKey: the secret .*{told}") as caught:
        declare(PROD)
    assert isinstance(caught.value, pulumi.RunError)  # Pulumi shows it without a traceback
    assert "key\n" not in str(caught.value)
    gc.collect()
