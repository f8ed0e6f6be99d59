"""A real Prometheus finds what each panel asks for, and its alerts fire for planted faults."""

from __future__ import annotations

import contextlib

import pytest
from pymilvus.exceptions import MilvusException

from infra.observability.alerts import ALERTS
from infra.observability.dashboard import PANELS, WINDOW
from tests.e2e.toolchain import parts
from tests.e2e.toolchain.provide import provide_part
from tests.local import prometheus
from tests.local.prometheus import NAMESPACE
from tests.waiting import eventually
from validation.common.progress import Progress
from validation.local import ports
from validation.local.stack import EmbeddedStack
from validation.milvus.connection import connect

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(3600)]

MINUTES = 20
"""For how long the series of promtool's tests go on."""


@pytest.fixture(scope="module")
def tools():
    return provide_part(parts.PROMETHEUS, Progress())  # built once, for minutes


def series(name, labels, values):
    told = {"namespace": NAMESPACE, "pod": "one", **labels}
    shown = ", ".join(f'{key}="{value}"' for key, value in told.items())
    return {"series": f"{name}{{{shown}}}", "values": values}


def counters(name, good, bad, **labels):
    """Return two counters that rise each minute."""
    return [
        series(name, {**labels, "status": "success"}, f"0+{good}x{MINUTES}"),
        series(name, {**labels, "status": "fail"}, f"0+{bad}x{MINUTES}"),
    ]


def histogram(name, below, above, limit, **labels):
    """Return a histogram of which each minute so many are below and above a limit."""
    return [
        series(f"{name}_bucket", {**labels, "le": limit}, f"0+{below}x{MINUTES}"),
        series(f"{name}_bucket", {**labels, "le": limit * 4}, f"0+{below + above}x{MINUTES}"),
        series(f"{name}_bucket", {**labels, "le": "+Inf"}, f"0+{below + above}x{MINUTES}"),
    ]


def up(value):
    return [series("up", {"job": f"{NAMESPACE}/milvus"}, f"{value}x{MINUTES}")]


def gauge(name, value):
    return [series(name, {}, f"{value}x{MINUTES}")]


def used(share):
    return [
        *gauge("etcd_mvcc_db_total_size_in_bytes", share),
        *gauge("etcd_server_quota_backend_bytes", 100),
    ]


SEARCH = {"query_type": "search"}
STORE = {"persistent_data_op_type": "get"}
CASES = {
    "MilvusPodDown": (up(0), up(1)),
    "MilvusGone": (gauge("other", 1), up(1)),
    "MilvusRequestsFail": (
        counters("milvus_proxy_req_count", 60, 6, function_name="Search"),
        counters("milvus_proxy_req_count", 60_000, 6, function_name="Search"),
    ),
    "MilvusSearchSlow": (
        histogram("milvus_proxy_sq_latency", 60, 60, 1_000, **SEARCH),
        histogram("milvus_proxy_sq_latency", 60, 0, 1_000, **SEARCH),
    ),
    "MilvusReadsLag": (
        gauge("milvus_querynode_consume_tt_lag_ms", 61_000),
        gauge("milvus_querynode_consume_tt_lag_ms", 59_000),
    ),
    "MilvusStoreFails": (
        counters("milvus_storage_op_count", 60, 6),
        counters("milvus_storage_op_count", 60_000, 6),
    ),
    "MilvusStoreSlow": (
        histogram("milvus_storage_request_latency", 60, 60, 5_000, **STORE),
        histogram("milvus_storage_request_latency", 60, 0, 5_000, **STORE),
    ),
    "EtcdNoLeader": (gauge("etcd_server_has_leader", 0), gauge("etcd_server_has_leader", 1)),
    "EtcdSlowDisk": (
        histogram("etcd_disk_wal_fsync_duration_seconds", 60, 60, 0.5),
        histogram("etcd_disk_wal_fsync_duration_seconds", 60, 0, 0.5),
    ),
    "EtcdAlmostFull": (used(81), used(79)),
}


def case(given, alert, *, fires):
    """Return a test of promtool's: what an alert does by the end of its series."""
    quiet = {"eval_time": f"{MINUTES}m", "alertname": alert}
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    wanted = {
        "expr": query,
        "eval_time": f"{MINUTES}m",
        "exp_samples": [{"labels": "{}", "value": float(fires)}],
    }
    tests = {"alert_rule_test": [quiet]} if not fires else {}
    return {"interval": "1m", "input_series": given, "promql_expr_test": [wanted], **tests}


def test_each_alert_fires_for_its_own_series_and_is_quiet_for_right_ones(tools, tmp_path):
    assert CASES.keys() == {one.name for one in ALERTS}
    cases = [
        case(given, alert, fires=fires)
        for alert, both in CASES.items()
        for given, fires in zip(both, (True, False), strict=True)
    ]
    assert prometheus.tested(tools / "promtool", tmp_path, cases) == ""


def test_promtool_sees_an_alert_that_does_not_fire(tools, tmp_path):
    wrong = case(up(1), "MilvusPodDown", fires=True)
    assert "FAILED" in prometheus.tested(tools / "promtool", tmp_path, [wrong])


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observed")
    with EmbeddedStack(folder / "stack", progress=Progress(quiet=True)) as running:
        yield running


@pytest.fixture(scope="module")
def observed(tools, stack, tmp_path_factory):
    address = stack.target.milvus.metrics_uri.removeprefix("http://")
    folder = tmp_path_factory.mktemp("prometheus")
    (port,) = ports.pick(["prometheus"]).values()
    program = tools / "prometheus"
    with prometheus.running(program, folder, port=port, targets={"milvus": address}) as found:
        yield found


def used_once(client, name):
    """Make a collection, fill, index, load, search and change it, so that all of Milvus works."""
    client.create_collection(name, dimension=8)
    rows = [{"id": at, "vector": [float(at + n) for n in range(8)]} for at in range(2_000)]
    client.insert(name, rows)
    client.flush(name)
    client.search(name, [[0.0] * 8], limit=3)
    client.delete(name, ids=[1])
    client.insert(name, rows[:5])
    failed(client)


def failed(client):
    with contextlib.suppress(MilvusException):
        client.search("there_is_none", [[0.0] * 8], limit=3)


OF_ETCD = "etcd"
"""Panels of etcd's own metrics, which an etcd inside a standalone Milvus does not serve."""


def test_each_panel_has_data(observed, stack):
    with connect(stack.target) as connection:
        empty = {panel.title for panel in PANELS}
        for number in range(10):
            used_once(connection.client, f"observed_{number}")
            empty = {
                panel.title
                for panel in PANELS
                if not any(
                    observed.query(text.replace("$namespace", NAMESPACE).replace(WINDOW, "15s"))
                    for _, text in panel.queries
                )
                and not panel.title.startswith(OF_ETCD)
            }
            connection.client.drop_collection(f"observed_{number}")
            if not empty:
                break
    assert empty == set()


def test_alerts_fire_for_requests_that_fail_and_for_a_milvus_that_is_gone(observed, stack):
    down = {"MilvusPodDown", "MilvusGone"}
    assert not observed.firing() & down
    with connect(stack.target) as connection:

        def failing():
            failed(connection.client)
            return "MilvusRequestsFail" in observed.firing()

        eventually(failing, seconds=60)
    stack.stop()
    eventually(lambda: down <= observed.firing(), seconds=60)
