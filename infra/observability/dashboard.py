"""The Grafana dashboard, as code: what a deployment promises first, then why it does not keep it.

Every metric here was read from a running Milvus 2.3.5 (``/metrics``), or is etcd's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, COLUMNS = 12, 8, 2
SCHEMA_VERSION = 39
WINDOW = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """One graph: a title, its unit as Grafana calls it, and queries by legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""


def _quantile(share: float, metric: str, by: str, where: str = "") -> str:
    selector = f'{{namespace="$namespace"{where}}}'
    return (
        f"histogram_quantile({share}, sum by (le{by}) (rate({metric}_bucket{selector}[{WINDOW}])))"
    )


def _rate(metric: str, by: str, where: str = "") -> str:
    return f'sum by ({by}) (rate({metric}{{namespace="$namespace"{where}}}[{WINDOW}]))'


def _sum(metric: str, by: str) -> str:
    return f'sum by ({by}) ({metric}{{namespace="$namespace"}})'


_SEARCH = ', query_type="search"'

PANELS = (
    Panel(
        "Search latency at the proxy",
        "ms",
        tuple(
            (f"p{round(share * 100)}", _quantile(share, "milvus_proxy_sq_latency", "", _SEARCH))
            for share in (0.5, 0.95, 0.99)
        ),
        "From the proxy's side: time in the client's own queue is not in it.",
    ),
    Panel(
        "Requests that failed",
        "reqps",
        (
            (
                "{{function_name}}",
                _rate("milvus_proxy_req_count", "function_name", ', status="fail"'),
            ),
        ),
    ),
    Panel("Queries", "ops", (("vectors", _rate("milvus_proxy_search_vectors_count", "pod")),)),
    Panel(
        "Insert and delete latency at the proxy",
        "ms",
        (("p99 {{msg_type}}", _quantile(0.99, "milvus_proxy_mutation_latency", ", msg_type")),),
    ),
    Panel(
        "Waiting and searching on the query nodes",
        "ms",
        (
            ("p99 in the queue", _quantile(0.99, "milvus_querynode_sq_queue_latency", "")),
            ("p99 in the core", _quantile(0.99, "milvus_querynode_sq_core_latency", "")),
        ),
        "A long queue asks for more query nodes; a slow core for another index or more memory.",
    ),
    Panel(
        "Object store: requests",
        "reqps",
        (
            (
                "{{persistent_data_op_type}} {{status}}",
                _rate("milvus_storage_op_count", "persistent_data_op_type, status"),
            ),
        ),
    ),
    Panel(
        "Object store: latency",
        "ms",
        (
            (
                "p99 {{persistent_data_op_type}}",
                _quantile(0.99, "milvus_storage_request_latency", ", persistent_data_op_type"),
            ),
        ),
        "What the store costs: compare with the search latency above.",
    ),
    Panel(
        "Entities on query nodes",
        "short",
        (("{{pod}}", _sum("milvus_querynode_entity_num", "pod")),),
    ),
    Panel(
        "Segments by state",
        "short",
        (("{{segment_state}}", _sum("milvus_datacoord_segment_num", "segment_state")),),
        "Segments that stay Growing or Sealed wait for a flush or an index.",
    ),
    Panel(
        "How far query nodes are behind the log",
        "ms",
        (("{{pod}}", 'max by (pod) (milvus_querynode_consume_tt_lag_ms{namespace="$namespace"})'),),
        "Freshness of reads: an acknowledged row is seen after this time at the latest.",
    ),
    Panel(
        "Index tasks",
        "short",
        (
            (
                "{{index_task_status}}",
                _sum("milvus_datacoord_index_task_count", "index_task_status"),
            ),
        ),
    ),
    Panel(
        "Memory",
        "bytes",
        (("{{pod}}", _sum("process_resident_memory_bytes", "pod")),),
    ),
    Panel("CPU", "cores", (("{{pod}}", _rate("process_cpu_seconds_total", "pod")),)),
    Panel(
        "etcd: time to disk",
        "s",
        (("p99 {{pod}}", _quantile(0.99, "etcd_disk_wal_fsync_duration_seconds", ", pod")),),
        "Above 10 ms the disk is too slow for etcd.",
    ),
    Panel("etcd: size", "bytes", (("{{pod}}", _sum("etcd_mvcc_db_total_size_in_bytes", "pod")),)),
)


def queries() -> list[str]:
    """Return every query of the dashboard."""
    return [query for panel in PANELS for _, query in panel.queries]


def dashboard(namespace: str) -> dict[str, Any]:
    """Return the dashboard as Grafana imports it.

    Args:
        namespace: What the variable ``namespace`` is set to at first.
    """
    return {
        "title": f"Milvus ({namespace})",
        "uid": f"milvus-{namespace}"[:40],
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["milvus"],
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_data_source(), _namespace(namespace)]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _data_source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _namespace(namespace: str) -> dict[str, Any]:
    return {
        "name": "namespace",
        "type": "constant",
        "query": namespace,
        "current": {"text": namespace, "value": namespace},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries)
        ],
    }
