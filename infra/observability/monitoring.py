"""PodMonitors and alerts for the Prometheus operator, and Grafana's dashboard as a ConfigMap."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from infra.kubernetes import kinds
from infra.kubernetes.contract import ClusterContract
from infra.milvus.dependencies import etcd, woodpecker
from infra.milvus.roles import workloads
from infra.milvus.roles.topology import METRICS_PATH
from infra.observability import alerts
from infra.observability.dashboard import dashboard
from infra.servers import pods
from infra.settings import Settings

INTERVAL = "30s"
DASHBOARD = "milvus-dashboard"
ALERTS = "milvus-alerts"


def observe(
    settings: Settings, cluster: ClusterContract, opts: pulumi.ResourceOptions | None = None
) -> list[pulumi.Resource]:
    """Declare what the settings ask for, and return it: PodMonitors, alerts, a dashboard.

    PodMonitors and PrometheusRules need their CRDs (monitoring.coreos.com); the settings say
    whether they are there.

    Args:
        settings: The stack's settings.
        cluster: Where it runs.
        opts: Resource options.
    """
    ours = pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(provider=cluster.provider, depends_on=list(cluster.ready))
    )
    made: list[pulumi.Resource] = []
    if settings.observability.pod_monitors:
        made += [
            k8s.apiextensions.CustomResource(
                f"{name}-pods",
                api_version="monitoring.coreos.com/v1",
                kind="PodMonitor",
                **pod_monitor(name, settings, cluster.namespace),
                opts=ours,
            )
            for name in monitored(settings)
        ]
    if settings.observability.alerts:
        made.append(
            k8s.apiextensions.CustomResource(
                ALERTS,
                api_version="monitoring.coreos.com/v1",
                kind="PrometheusRule",
                **prometheus_rule(settings, cluster.namespace),
                opts=ours,
            )
        )
    if settings.observability.dashboard:
        document = dashboard_config_map(settings, cluster.namespace)
        made.append(kinds.ConfigMap(DASHBOARD, **document, opts=ours))
    return made


def monitored(settings: Settings) -> tuple[str, ...]:
    """Return the names of the pods that have metrics."""
    service = settings.log.type == "woodpecker" and settings.log.mode == "service"
    return (workloads.NAME, etcd.NAME, *((woodpecker.NAME,) if service else ()))


def pod_monitor(name: str, settings: Settings, namespace: str) -> dict[str, Any]:
    """Return a PodMonitor for all pods of a name, whatever their role."""
    labelled = pods.labels(name, "metrics") | settings.observability.pod_monitor_labels
    return {
        "metadata": pods.metadata(name, namespace, labelled),
        "spec": {
            "selector": {"matchLabels": pods.selector(name)},
            "podTargetLabels": [pods.COMPONENT],
            "podMetricsEndpoints": [
                {"port": "metrics", "path": METRICS_PATH, "interval": INTERVAL}
            ],
        },
    }


def prometheus_rule(settings: Settings, namespace: str) -> dict[str, Any]:
    """Return the PrometheusRule with the alerts."""
    observed = settings.observability
    labelled = pods.labels(workloads.NAME, "alerts") | observed.alert_labels
    return {
        "metadata": pods.metadata(ALERTS, namespace, labelled),
        "spec": alerts.rules(namespace, observed.runbooks),
    }


def dashboard_config_map(settings: Settings, namespace: str) -> dict[str, Any]:
    """Return the ConfigMap that Grafana's sidecar picks up by its label."""
    labelled = pods.labels(workloads.NAME, "dashboard") | settings.observability.dashboard_labels
    text = json.dumps(dashboard(namespace), indent=1, sort_keys=True)
    return {
        "metadata": pods.metadata(DASHBOARD, namespace, labelled),
        "data": {"milvus.json": text},
    }
