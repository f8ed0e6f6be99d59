from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from declaring import DEV, PROD, changed, declare

from infra.observability.alerts import ALERTS
from infra.observability.dashboard import PANELS, dashboard, queries

ROOT = Path(__file__).resolve().parents[2]
SEEN = (Path(__file__).parent / "milvus-2.3.5-metrics.txt").read_text(encoding="utf-8").split()
FULL = changed(
    PROD,
    observability={
        "podMonitors": True,
        "podMonitorLabels": {"release": "prometheus"},
        "alerts": True,
        "alertLabels": {"release": "prometheus"},
        "runbooks": "https://kit.example.com/alerts.html",
        "dashboard": True,
    },
)


def test_without_the_crd_nothing_needs_it():
    assert declare(DEV).of("PodMonitor") == {}


def test_every_pod_with_metrics_is_scraped_by_name_whatever_its_role():
    monitors = declare(FULL).of("PodMonitor")
    selected = {
        item.inputs["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
        for item in monitors.values()
    }
    assert selected == {"milvus", "etcd", "woodpecker"}
    for item in monitors.values():
        assert item.inputs["metadata"]["labels"]["release"] == "prometheus"
        (endpoint,) = item.inputs["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")


def test_the_port_that_is_scraped_is_one_that_pods_have():
    for template in declare(FULL).workloads().values():
        name = template["metadata"]["labels"]["app.kubernetes.io/name"]
        if name in {"milvus", "etcd", "woodpecker"}:
            ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
            assert "metrics" in ports


def test_each_alert_has_its_runbook_and_stays_in_its_namespace():
    assert declare(DEV).of("PrometheusRule") == {}
    (item,) = declare(FULL).of("PrometheusRule").values()
    assert item.inputs["metadata"]["labels"]["release"] == "prometheus"
    (group,) = item.inputs["spec"]["groups"]
    assert [one["alert"] for one in group["rules"]] == [one.name for one in ALERTS]
    page = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (?!What)(.*)", page, re.MULTILINE) == [one.name for one in ALERTS]
    for rule in group["rules"]:
        assert 'namespace="ns"' in rule["expr"]
        address = f"https://kit.example.com/alerts.html#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == address


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one.name)
def test_every_metric_of_an_alert_is_one_that_a_real_server_has(alert):
    names = set(re.findall(r"\b(?:milvus|process)_[a-z_0-9]+", alert.query))
    assert names <= set(SEEN)


def test_the_dashboard_is_found_by_grafanas_sidecar():
    found = declare(FULL).one("ConfigMap", "milvus-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["milvus.json"])["title"] == "Milvus (ns)"


@pytest.mark.parametrize("query", queries())
def test_every_metric_of_milvus_is_one_that_a_real_server_has(query):
    names = set(re.findall(r"\b(?:milvus|process)_[a-z_0-9]+", query))
    assert names <= set(SEEN)


@pytest.mark.parametrize("query", queries())
def test_every_query_is_balanced_and_stays_in_its_namespace(query):
    for left, right in ("()", "{}", "[]"):
        assert query.count(left) == query.count(right)
    assert 'namespace="$namespace"' in query


def test_panels_do_not_overlap():
    cells = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard("ns")["panels"]}
    assert len(cells) == len(PANELS)


def test_logs_go_to_standard_output_and_to_no_file():
    for name, item in declare(PROD).of("ConfigMap").items():
        if name.startswith("milvus-") and "user.yaml" in item.inputs["data"]:
            text = item.inputs["data"]["user.yaml"]
            assert "stdout: true" in text, name
            assert "rootPath: ''" in text, name
