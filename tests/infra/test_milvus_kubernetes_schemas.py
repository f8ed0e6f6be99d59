"""Every object that any valid settings lead to is one that the API server takes."""

from __future__ import annotations

import json

import kubernetes_validate
import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, declare
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from infra.kubernetes.fit import OLDEST
from infra.milvus.roles import topology
from validation.errors import ConfigurationError

VERSION = "1.36"
FOREIGN = ("milvus.io/", "monitoring.coreos.com/")
FULL = changed(
    PROD,
    milvus={
        "tls": {"mode": "mutual"},
        "gpu": {"enabled": True, "runtimeClass": "nvidia"},
        "diskann": {"enabled": True, "volume": {"size": "1Ti", "storageClass": "nvme"}},
        "roles": {"querynode": {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}},
        "clientsFrom": ["apps"],
        "access": {"type": "LoadBalancer", "host": "m.example.com", "sourceRanges": ["10.0.0.0/8"]},
    },
    observability={
        "podMonitors": True,
        "dashboard": True,
        "scrapeFrom": [{"namespace": "monitoring"}],
    },
    validation={"enabled": True},
    images={"requireDigest": False, "pullLogin": "registryLogin"},
)
WITH_JOB = changed(CLUSTER_23, milvus={"auth": {"enabled": True}, "tls": {"mode": "server"}})


def check(document, version: str = VERSION) -> int:
    """Validate every object of a document and return their number."""
    objects = [item for item in declare(document).kubernetes() if item["kind"] != "Release"]
    for item in objects:
        if not item["apiVersion"].startswith(FOREIGN):
            kubernetes_validate.validate(item, version, strict=True)
    return len(objects)


@pytest.mark.parametrize(
    "document",
    [DEV, STANDALONE, CLUSTER_23, PROD, FULL, WITH_JOB],
    ids=["dev", "standalone", "cluster-2.3", "prod", "full", "root-password-job"],
)
def test_every_object_meets_the_schema_of_kubernetes(document):
    assert check(document) > 15


def test_the_oldest_kubernetes_that_is_let_in_knows_every_field():
    assert check(FULL, ".".join(map(str, OLDEST))) > 15
    with pytest.raises(kubernetes_validate.ValidationError, match="sleep"):
        check(FULL, "1.28")


def test_the_check_sees_a_wrong_field():
    wrong = declare(DEV).one("Deployment", "milvus-proxy")
    wrong["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_the_same_settings_give_the_same_objects():
    first, second = (
        json.dumps(sorted(declare(FULL).kubernetes(), key=str), sort_keys=True) for _ in range(2)
    )
    assert first == second


resources = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from(["10m", "500m", "2", "0.5"]),
        "cpuLimit": st.sampled_from(["1", "4000m"]),
        "memory": st.sampled_from(["256Mi", "1Gi", "1.5Gi"]),
    },
)
role = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(1, 5),
        "resources": resources,
        "terminationGraceSeconds": st.integers(10, 7200),
        "placement": st.just(
            {"nodeSelector": {"disk": "nvme"}, "tolerations": [{"key": "k", "value": "v"}]}
        ),
    },
)


@st.composite
def documents(draw):
    version = draw(st.sampled_from(["2.3.5", "2.5.27", "2.6.20", "3.0.5"]))
    mode = draw(st.sampled_from(["standalone", "cluster"]))
    names = [item.name for item in topology.roles(version, mode)]
    roles = draw(st.dictionaries(st.sampled_from(names), role, max_size=3))
    if mode == "standalone":
        for given_role in roles.values():
            given_role.pop("replicas", None)
    milvus = {"version": version, "mode": mode, "roles": roles}
    milvus["auth"] = {"enabled": draw(st.booleans())}
    milvus["tls"] = {"mode": draw(st.sampled_from(["off", "server", "mutual"]))}
    if mode == "standalone":
        milvus["dataVolume"] = {"size": "10Gi"}
    log = draw(
        st.sampled_from(
            [
                {"type": "rocksmq"},
                {"type": "kafka", "mode": "create"},
                {"type": "woodpecker", "mode": "embedded"},
                {"type": "woodpecker", "mode": "service", "replicas": 5},
                {"type": "pulsar", "host": "p.example.com"},
            ]
        )
    )
    etcd = {"members": draw(st.sampled_from([1, 3])), "tls": draw(st.booleans())}
    etcd["auth"] = draw(st.booleans())
    if draw(st.booleans()):
        etcd["snapshots"] = {"hours": 3}
    document = changed(DEV, milvus=milvus, etcd=etcd)
    document["milvus"] = milvus
    document["log"] = log
    document["images"] = {"overrides": {"milvus": "registry.example.com/milvus:any"}}
    return document


@given(documents())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_settings_give_objects_that_are_right_or_an_error_and_nothing(document):
    try:
        found = check(document)
    except ConfigurationError as error:
        found = 0
        event(error.what[:40])
    assert found == 0 or found > 15
