from __future__ import annotations

import json

import pytest
from declaring import CLUSTER_23, CONFIG, PROD, Declared, changed, declare, shown

from infra.milvus.operator import split_image
from infra.milvus.roles import image
from infra.milvus.rollout import Pod, unfinished
from infra.servers.started import IS_THERE
from validation.errors import ConfigurationError

OPERATED = changed(PROD, milvus={"installer": "operator"}, etcd={"auth": False, "tls": False}) | {
    "log": {"type": "kafka", "mode": "adopt", "brokers": ["k.example.com:9093"], "tls": True}
}


@pytest.fixture(scope="module")
def declared() -> Declared:
    return declare(OPERATED)


@pytest.fixture(scope="module")
def resource(declared) -> dict:
    return shown(
        next(
            item.inputs
            for item in declared.resources
            if item.type.endswith("milvus.io/v1beta1:Milvus")
        )
    )


def test_the_chart_is_a_release_that_destroy_leaves_where_it_is(declared):
    release = declared.of("Release")["milvus-operator"].inputs
    assert release["version"] == "1.3.8"
    assert release["namespace"] == "milvus-operator"
    assert declared.of("Deployment") == {}


def test_the_stores_type_is_s3_with_its_bucket_named(resource):
    storage = resource["spec"]["dependencies"]["storage"]
    assert storage == {
        "external": True,
        "type": "S3",
        "endpoint": "s3.example.com:443",
        "secretRef": "milvus-s3",
        "ssl": {"enabled": True, "caCertificateRef": "storage-ca"},
    }
    assert resource["spec"]["config"]["minio"]["bucketName"] == "milvus"


def test_the_operator_has_no_key_to_write_into_its_config_map(resource):
    minio = resource["spec"]["config"]["minio"]
    assert minio["accessKeyID"] == minio["secretAccessKey"] == "from-the-environment"
    text = json.dumps(resource)
    assert not any(secret in text for secret in CONFIG.values())


def test_what_the_operator_sets_itself_is_not_set_twice(resource):
    names = [item["name"] for item in resource["spec"]["components"]["env"]]
    assert len(names) == len(set(names))
    assert not any(name.startswith("MINIO_") for name in names)


def test_version_and_tool_image_are_given_beside_the_image(resource):
    components = resource["spec"]["components"]
    assert components["version"] == "v3.0.5"
    assert components["image"] == "docker.io/milvusdb/milvus:v3.0.5"
    assert components["toolImage"] == "docker.io/milvusdb/milvus-operator:v1.3.8"
    assert components["updateConfigMapOnly"] is False


def test_the_pods_are_looked_at_while_the_operator_works(declared, resource):
    # The provider's own wait for MilvusReady would outlast a pod that cannot start.
    assert IS_THERE.items() <= resource["metadata"]["annotations"].items()
    rollout = declared.of("OperatorRollout")["milvus-rollout"]
    assert rollout.inputs["image"] == "docker.io/milvusdb/milvus:v3.0.5"
    roles = ("mixcoord", "streamingnode", "querynode", "datanode", "proxy")
    assert rollout.inputs["roles"] == dict.fromkeys(roles, 2)
    assert "milvus" in rollout.depends_on


def test_budgets_flows_and_services_are_those_of_the_manifests(declared):
    manifests = declare(OPERATED | {"milvus": PROD["milvus"], "etcd": {}})
    for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service"):
        mine = {name: item.inputs for name, item in declared.of(kind).items()}
        theirs = {name: item.inputs for name, item in manifests.of(kind).items()}
        for name in set(mine) & set(theirs) - {"etcd", "milvus-kit-etcd"}:
            assert mine[name] == theirs[name], (kind, name)
        assert set(mine) - set(theirs) <= {"milvus-kit-operator-etcd"}, kind


def test_the_operator_may_probe_what_milvus_depends_on():
    document = changed(CLUSTER_23, milvus={"version": "2.5.27", "installer": "operator"})
    found = declare(document).of("NetworkPolicy")
    reached = {
        item.inputs["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]: [
            port["port"] for port in item.inputs["spec"]["ingress"][0]["ports"]
        ]
        for name, item in found.items()
        if name.startswith("milvus-kit-operator-")
    }
    assert reached == {"etcd": [2379], "kafka": [9092], "minio": [9000]}


def test_a_number_that_pulumi_would_round_is_handed_on_as_text():
    numbers = {"exact": 2**53, "rounded": 2**53 + 1, "most": [2**63 - 1], "negative": -(2**53) - 1}
    milvus = OPERATED["milvus"] | {"configuration": {"mine": numbers | {"yes": True}}}
    objects = declare(changed(OPERATED, milvus=milvus)).kubernetes()
    (found,) = [one["spec"]["config"]["mine"] for one in objects if one["kind"] == "Milvus"]
    assert found == {
        "exact": 2**53,
        "rounded": "9007199254740993",
        "most": ["9223372036854775807"],
        "negative": "-9007199254740993",
        "yes": True,
    }


def test_pods_have_an_account_without_a_token(declared, resource):
    account = declared.one("ServiceAccount", "milvus")
    assert account["automountServiceAccountToken"] is False
    assert resource["spec"]["components"]["serviceAccountName"] == "milvus"


def test_pods_of_either_line_may_execute_their_image_while_an_upgrade_has_both(resource):
    context = resource["spec"]["components"]["securityContext"]
    assert context["runAsUser"] != 0
    for line in image.LINES:
        assert line.owner in {context["runAsUser"], context["runAsGroup"]}


def test_a_downgrade_goes_the_other_way():
    document = changed(OPERATED, milvus={"version": "3.0.0", "upgradeFrom": "3.0.5"})
    found = next(
        item
        for item in declare(document).resources
        if item.type.endswith(":Milvus") and "milvus.io" in item.type
    )
    assert found.inputs["spec"]["components"]["imageUpdateMode"] == "rollingDowngrade"


def test_a_roles_own_environment_reaches_its_pods():
    document = changed(OPERATED, milvus={"roles": {"querynode": {"env": {"GOGC": "50"}}}})
    found = next(item for item in declare(document).resources if "milvus.io" in item.type)
    env = found.inputs["spec"]["components"]["queryNode"]["env"]
    assert env == [{"name": "GOGC", "value": "50"}]


def test_etcd_with_tls_is_refused_before_anything_is_declared():
    with pytest.raises(ConfigurationError, match=r"etcd\.tls"):
        declare(changed(OPERATED, etcd={"tls": True, "auth": True}))


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("registry.example.com:5000/a/b:v1", ("registry.example.com:5000/a/b", "v1")),
        ("docker.io/a/b:v1@sha256:00", ("docker.io/a/b", "v1@sha256:00")),
    ],
)
def test_an_image_is_split_where_the_chart_puts_it_together(image, parts):
    assert split_image(image) == parts


NEW, OLD = "milvus:v3.0.5", "milvus:v3.0.0"


def test_pods_that_never_got_the_new_image_are_named():
    pods = [Pod("proxy", NEW, ready=True), Pod("querynode", OLD, ready=True)]
    lines = unfinished(pods, NEW, {"proxy": 1, "querynode": 1})
    assert lines == [
        "querynode: pods still run milvus:v3.0.0",
        f"querynode: 0 of 1 pods are ready with {NEW}",
    ]


def test_no_pods_at_all_are_never_enough():
    assert unfinished([], NEW, {"proxy": 2}) == [f"proxy: 0 of 2 pods are ready with {NEW}"]
