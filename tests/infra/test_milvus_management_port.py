"""What prod takes from port 9091, where Milvus serves without authentication."""

from __future__ import annotations

import pytest
import yaml
from declaring import CLUSTER_23, DEV, PROD, changed, declare

KAFKA = {"type": "kafka", "mode": "adopt", "brokers": ["k.example.com:9093"], "tls": True}
RISKS = dict.fromkeys(("CVE-2025-64513", "CVE-2026-26190"), "an old one, for this test")


def files(document) -> dict[str, dict]:
    """The configuration of each role."""
    return {
        name: yaml.safe_load(text)
        for name, one in declare(document).of("ConfigMap").items()
        for file, text in one.inputs["data"].items()
        if name.startswith("milvus-") and file.endswith(".yaml")
    }


@pytest.mark.parametrize(
    ("version", "http", "metrics_only"),
    [
        ("2.3.5", {"enablePprof": False}, None),
        ("2.5.27", {"enablePprof": False, "enableWebUI": False}, None),
        ("2.6.20", {"enablePprof": False, "enableWebUI": False}, True),
        ("3.0.5", {"enablePprof": False, "enableWebUI": False}, True),
    ],
)
def test_prod_serves_neither_profiles_nor_pages_from_any_role(version, http, metrics_only):
    image = f"docker.io/milvusdb/milvus:v{version}"
    milvus = {"version": version, "mode": "cluster", "image": image, "acceptedRisks": RISKS}
    found = files(changed(PROD, milvus=milvus) | {"log": KAFKA})
    assert len(found) >= 5
    for name, one in found.items():
        assert {**one["proxy"]["http"], **http} == one["proxy"]["http"], name
        security = one["common"]["security"]
        assert security.get("managementMetricsOnly") is metrics_only, name


@pytest.mark.parametrize("document", [DEV, CLUSTER_23])
def test_dev_keeps_what_its_image_serves(document):
    for one in files(document).values():
        assert "enablePprof" not in one.get("proxy", {}).get("http", {})
        assert "managementMetricsOnly" not in one["common"]["security"]


def test_through_the_operator_it_is_the_same():
    milvus = {"version": "3.0.5", "mode": "cluster", "installer": "operator"}
    document = changed(PROD, milvus=milvus, etcd={"tls": False, "auth": False})
    objects = declare(document | {"log": KAFKA}).kubernetes()
    (found,) = [one["spec"]["config"] for one in objects if one["kind"] == "Milvus"]
    assert found["proxy"]["http"]["enablePprof"] is False
    assert found["common"]["security"]["managementMetricsOnly"] is True
