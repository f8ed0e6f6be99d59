"""What the performance part measures, counts and refuses to say."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
import pytest
import s3_servers
import s3_stub
from rich.console import Console

from validation.errors import ExitCode, MeasurementError, UnsupportedError
from validation.s3 import console, fast_client
from validation.s3.client import connect
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import TABLE
from validation.s3.endpoint import Keys
from validation.s3.performance import BODY, OPERATIONS, Meter, Plan, Point, knee
from validation.s3.preflight import preflight
from validation.s3.speed import measured, rows, written_by_milvus
from validation.s3.workspace import opened
from validation.verdict import Outcome

PLAN = Plan(sizes=(1_000, 3_000_000), levels=(1, 2), requests=8, seconds=20)


@pytest.fixture(scope="module")
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


@pytest.fixture
def space(stub, monkeypatch):
    monkeypatch.setattr(fast_client, "PIECE", 1 << 20)  # so that the larger size comes in pieces
    stub.reset()
    with opened(s3_servers.storage(stub.endpoint)) as workspace:
        yield workspace
    assert stub.buckets["milvus"].objects == {}


def point(rate: float, *, n: int = 10, cpu: float = 0.1, failed: int = 0) -> Point:
    times = np.asarray([1.0] * (n - failed) + [math.inf] * failed)
    return Point("GET", 100, 1, 1, n / rate, times, times, {}, 0, cpu)


def test_every_operation_is_measured_to_its_knee_and_samples_are_kept(space, tmp_path):
    speeds = measured(space, PLAN, folder=tmp_path)
    seen = {(speed.operation, speed.size) for speed in speeds}
    wanted = {(name, size) for name in BODY for size in PLAN.sizes}
    wanted |= {(name, 0) for name in OPERATIONS if name not in BODY}
    assert seen >= wanted
    assert {"GET first", "GET again"} <= {speed.operation for speed in speeds}
    assert all(speed.errors == {} and speed.retries == 0 for speed in speeds)
    for operation, size in wanted:
        knees = [s for s in speeds if (s.operation, s.size) == (operation, size) and s.knee]
        assert len(knees) == 1
        lines = (tmp_path / knees[0].samples).read_text().splitlines()
        assert len(lines) == knees[0].n + 1


def test_the_table_shows_of_each_sweep_the_single_request_and_the_knee(space):
    speeds = measured(space, PLAN)
    shown = rows(speeds)
    assert {row[0] for row in shown} >= {*OPERATIONS, "GET first", "GET again"}
    assert all("knee" in row[-1] or row[2] == "1" or " " in row[0] for row in shown)
    assert any("?]" in row[6] for row in shown)  # too few samples for the upper end of p99


def test_too_few_samples_leave_the_tail_open(space):
    found = Meter(space).point("HEAD", 0, 1, PLAN).percentiles()
    assert found["p99.9"].high == math.inf


def test_busy_answers_are_retried_counted_and_not_called_errors(space, stub):
    meter = Meter(space)
    meter.point("GET", 1_000, 1, PLAN)
    stub.busy = 2
    found = meter.point("GET", 1_000, 1, PLAN)
    assert (found.retries, found.errors) == (2, {})
    assert found.total_ms.max() > 100  # the waiting is in it


def test_the_objects_to_read_are_written_although_the_store_is_busy_at_first(space, stub):
    stub.busy = 2
    found = Meter(space).point("GET", 1_000, 1, PLAN)
    assert (found.succeeded, found.retries) == (8, 0)


def test_a_store_that_takes_no_objects_is_named_instead_of_measured(space, stub, monkeypatch):
    monkeypatch.setattr(stub, "faults", {"no object is taken"})
    with pytest.raises(MeasurementError, match=r"cannot be written.*507"):
        Meter(space).point("GET", 1_000, 1, PLAN)


def test_errors_are_counted_by_code_and_take_for_ever(space, stub):
    meter = Meter(space)
    meter.point("GET", 1_000, 1, PLAN)
    stub.buckets["milvus"].objects.clear()
    found = meter.point("GET", 1_000, 1, PLAN)
    assert found.errors == {"404": 8}
    assert found.void == "no request succeeded"
    assert found.percentiles()["p50"].value == math.inf


def test_a_short_body_is_an_error(space, stub):
    meter = Meter(space)
    meter.point("GET", 1_000, 1, PLAN)
    for versions in stub.buckets["milvus"].objects.values():
        versions[-1].body = versions[-1].body[:-1]
    assert meter.point("GET", 1_000, 1, PLAN).errors == {"ValueError": 8}


@pytest.mark.parametrize(
    ("trouble", "said"),
    [({"faults": {"no object is taken"}}, "cannot be written"), ({"busy": 1}, "too busy")],
    ids=["full", "busy"],
)
def test_what_the_checks_found_is_kept_where_speed_cannot_be_measured(
    stub, monkeypatch, trouble, said
):
    def speed(space):
        for name, value in trouble.items():
            monkeypatch.setattr(stub, name, value)
        return measured(space, PLAN)

    stub.reset()
    check = TABLE["objects.zero-byte"]
    profile = preflight(s3_servers.storage(stub.endpoint), checks=(check,), speed=speed)
    assert profile.finding(check.id).outcome is Outcome.PASS
    assert profile.performance == ()
    assert said in profile.no_performance
    shown = io.StringIO()
    console.conclude(profile, Path("profile.json"), Console(file=shown, width=200, soft_wrap=True))
    assert f"speed was not measured: {profile.no_performance}" in shown.getvalue()
    passed = profile.model_copy(update={"verdict": Outcome.PASS})
    assert console.exit_code(passed) is ExitCode.INCONCLUSIVE
    assert console.exit_code(passed.model_copy(update={"no_performance": ""})) is ExitCode.PASS


def test_a_client_without_cpu_to_spare_voids_the_point():
    assert "CPU" in point(100, cpu=0.95).void
    assert point(100, cpu=0.5).void == ""


def test_the_knee_is_where_more_concurrency_stops_paying():
    points = [point(100), point(190), point(300), point(310), point(305)]
    assert knee(points) is points[2]


def test_levels_whose_bodies_would_not_fit_into_memory_are_left_out(space):
    plan = Plan(levels=(1, 2, 4), requests=2, memory=2_500)
    assert [one.concurrency for one in Meter(space).sweep("PUT", 1_000, plan)] in ([1], [1, 2])


def test_all_endpoints_take_their_turn(space, stub):
    other = f"http://localhost:{stub.server_port}"
    meter = Meter(space, [other])
    before = len(stub.connections)
    found = meter.point("GET", 1_000, 2, PLAN)
    assert (found.endpoints, found.errors) == (2, {})
    assert len(stub.connections) > before


def test_throughput_is_shown_as_it_grows_with_the_number_of_endpoints(space, stub):
    others = [f"http://127.0.0.1:{stub.server_port}"] * 4
    speeds = measured(space, Plan(sizes=(1_000,), levels=(1,), requests=4), endpoints=others)
    knees = [one.endpoints for one in speeds if one.knee and one.endpoints > 1]
    assert knees == [2, 4, 5]


def test_sizes_are_taken_from_what_milvus_has_written(space, stub):
    client = connect(s3_servers.storage(stub.endpoint))
    keys = {"files/insert_log/1/2": 700, "files/insert_log/1/3": 900, "files/index_files/1": 5_000}
    for key, size in keys.items():
        client.put_object(Bucket="milvus", Key=key, Body=b"x" * size)
    assert written_by_milvus(space) == {"insert_log": 900, "index_files": 5_000}
    for key in keys:
        client.delete_object(Bucket="milvus", Key=key)


def test_delete_is_asked_object_by_object_as_milvus_does(space, monkeypatch):
    seen = []
    real = s3_stub.Handler._refuse_if_busy

    def note(handler):
        seen.append((handler.command, handler.query))
        real(handler)

    monkeypatch.setattr(s3_stub.Handler, "_refuse_if_busy", note)
    assert Meter(space).point("DELETE", 1_000, 1, PLAN).errors == {}
    assert {one[0] for one in seen} == {"PUT", "DELETE"}


ELSEWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", ELSEWHERE),
        ("ALL_PROXY", ELSEWHERE),
        ("http_proxy", ELSEWHERE),
        ("AWS_SESSION_TOKEN", "of another identity"),
        ("AWS_ENDPOINT_URL_S3", ELSEWHERE),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
    ],
)
def test_both_clients_go_to_the_same_place_as_the_same_one_whatever_the_environment_says(
    space, monkeypatch, name, value
):
    seen = []
    real = s3_stub.Handler._refuse_if_busy

    def note(handler):
        seen.append({k: v for k, v in handler.lower.items() if k.startswith("x-amz-")})
        real(handler)

    monkeypatch.setenv(name, value)
    found = Meter(space).point("GET", 1_000, 1, PLAN)
    monkeypatch.setattr(s3_stub.Handler, "_refuse_if_busy", note)
    assert (found.errors, os.environ[name]) == ({}, value)
    Meter(space).point("PUT", 1_000, 1, PLAN)
    usual = {"x-amz-date", "x-amz-content-sha256"}
    assert {frozenset(headers) for headers in seen} == {frozenset(usual)}


def test_a_client_certificate_is_said_to_be_out_of_the_fast_clients_reach():
    mutual = {"mode": "server", "client_certificate_file": "own.pem"}
    storage = s3_servers.storage("https://127.0.0.1:9", tls=mutual)
    with pytest.raises(UnsupportedError, match="cannot show a client certificate"):
        fast_client.fast_store(storage)


@pytest.mark.parametrize("check", ["objects.zero-byte", "objects.missing", "bucket.missing"])
def test_a_check_on_a_busy_store_is_tried_again_and_then_left_open(space, stub, check):
    stub.busy = 1
    (found,) = run(space, [TABLE[check]])
    assert found.outcome is Outcome.PASS
    stub.busy = 3
    (found,) = run(space, [TABLE[check]])
    stub.busy = 0
    assert (found.outcome, "too busy" in found.reason) == (Outcome.NOT_MEASURED, True)


@pytest.mark.parametrize(
    "check", ["consistency.read-after-write", "access.presigned", "access.presigned-expired"]
)
def test_a_read_that_a_busy_store_puts_off_breaks_no_rule(space, stub, check):
    stub.busy_reads = 1
    (found,) = run(space, [TABLE[check]])
    assert (found.outcome, stub.busy_reads) == (Outcome.PASS, 0)
