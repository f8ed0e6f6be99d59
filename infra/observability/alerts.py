"""Alert rules for Prometheus: what an operator of Milvus has to act on, each with its runbook.

Every metric is one that a running Milvus 2.3.5 had, or etcd's own. Thresholds of etcd are those of
etcd's own alert rules (contrib/mixin of etcd-io/etcd).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

RUNBOOKS = "docs/alerts.md"
"""Where the runbooks are: a section for each alert, by its name in lower case."""
_WINDOW = "5m"


@dataclasses.dataclass(frozen=True)
class Alert:
    """One alert.

    Args:
        name: As Prometheus calls it.
        query: True, and with a value, for what has to be acted on; ``$namespace`` stands in it.
        minutes: For how long it has to be true.
        severity: ``critical`` where searches or writes fail, or will soon.
        summary: What is wrong, in a line; Prometheus fills in its braces.
    """

    name: str
    query: str
    minutes: int
    severity: Literal["critical", "warning"]
    summary: str


def _failed(metric: str, by: str) -> str:
    """Return the share of requests that failed in `_WINDOW`."""
    rate = f'sum by ({by}) (rate({metric}{{namespace="$namespace", status=~"%s"}}[{_WINDOW}]))'
    return f"{rate % 'fail'} / {rate % 'success|fail'}"


def _p99(metric: str, by: str = "", where: str = "") -> str:
    series = f'{metric}_bucket{{namespace="$namespace"{where}}}'
    return f"histogram_quantile(0.99, sum by (le{by}) (rate({series}[{_WINDOW}])))"


def _own(name: str) -> str:
    return f'job=~"(.*/)?{name}", namespace="$namespace"'


ALERTS = (
    Alert(
        "MilvusPodDown",
        f"up{{{_own('milvus')}}} == 0",
        5,
        "critical",
        "{{ $labels.pod }} of Milvus gives no metrics",
    ),
    Alert(
        "MilvusGone",
        f"absent(up{{{_own('milvus')}}} == 1)",
        5,
        "critical",
        "no pod of Milvus gives metrics",
    ),
    Alert(
        "MilvusRequestsFail",
        _failed("milvus_proxy_req_count", "function_name") + " > 0.01",
        5,
        "critical",
        "{{ $value | humanizePercentage }} of the requests {{ $labels.function_name }} fail",
    ),
    Alert(
        "MilvusSearchSlow",
        _p99("milvus_proxy_sq_latency", where=', query_type="search"') + " > 1000",
        10,
        "warning",
        "1 of 100 searches takes longer than {{ $value | humanize }} ms",
    ),
    Alert(
        "MilvusReadsLag",
        'max by (pod) (milvus_querynode_consume_tt_lag_ms{namespace="$namespace"}) > 60000',
        5,
        "warning",
        "{{ $labels.pod }} is {{ $value | humanize }} ms behind the log: reads miss what is newer",
    ),
    Alert(
        "MilvusStoreFails",
        _failed("milvus_storage_op_count", "pod") + " > 0.01",
        5,
        "critical",
        "{{ $value | humanizePercentage }} of the requests of {{ $labels.pod }} to its store fail",
    ),
    Alert(
        "MilvusStoreSlow",
        _p99("milvus_storage_request_latency", ", persistent_data_op_type") + " > 5000",
        10,
        "warning",
        "1 of 100 requests {{ $labels.persistent_data_op_type }} to the store takes longer than"
        " {{ $value | humanize }} ms",
    ),
    Alert(
        "EtcdNoLeader",
        'etcd_server_has_leader{namespace="$namespace"} == 0',
        1,
        "critical",
        "{{ $labels.pod }} of etcd has no leader",
    ),
    Alert(
        "EtcdSlowDisk",
        _p99("etcd_disk_wal_fsync_duration_seconds", ", pod") + " > 0.5",
        10,
        "warning",
        "1 of 100 writes of {{ $labels.pod }} to its disk takes longer than {{ $value }} s",
    ),
    Alert(
        "EtcdAlmostFull",
        'etcd_mvcc_db_total_size_in_bytes{namespace="$namespace"}'
        ' / etcd_server_quota_backend_bytes{namespace="$namespace"} > 0.8',
        10,
        "critical",
        "{{ $labels.pod }} has used {{ $value | humanizePercentage }} of etcd's quota; at 100 %"
        " Milvus can write nothing more",
    ),
)


def rules(namespace: str, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Return the alerts as a rules file of Prometheus, which a PrometheusRule holds as well.

    Args:
        namespace: Whose metrics they are about.
        runbooks: Address of the page with the runbooks.
    """
    return {
        "groups": [
            {
                "name": f"milvus-{namespace}",
                "rules": [_rule(one, namespace, runbooks) for one in ALERTS],
            }
        ]
    }


def _rule(one: Alert, namespace: str, runbooks: str) -> dict[str, Any]:
    return {
        "alert": one.name,
        "expr": one.query.replace("$namespace", namespace),
        "for": f"{one.minutes}m",
        "labels": {"severity": one.severity, "namespace": namespace},
        "annotations": {
            "summary": one.summary,
            "runbook_url": f"{runbooks}#{one.name.lower()}",
        },
    }
