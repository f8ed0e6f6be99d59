"""What the performance part measures, counts and refuses to say."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import s3_servers
import s3_stub
from rich.console import Console

from validation.errors import ExitCode, MeasurementError, UnsupportedError
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import TABLE
from validation.s3.preflight import console
from validation.s3.preflight.run import preflight
from validation.s3.speed import client_load, fast_client, milvus_sizes, performance
from validation.s3.speed.client_load import ClientLoad
from validation.s3.speed.figures import measured
from validation.s3.speed.milvus_sizes import written_by_milvus
from validation.s3.speed.performance import OPERATIONS, Meter, Plan
from validation.s3.speed.points import BODY
from validation.s3.speed.table import legend, rows
from validation.s3.workspace import opened
from validation.verdicts.verdict import Outcome

ROOT = Path(__file__).parents[2]
PLAN = Plan(sizes=(1_000, 3_000_000), levels=(1, 2), requests=8, seconds=20)


@pytest.fixture(scope="module")
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


IDLE = ClientLoad(loop=0.1, process=0.1, host=0.1)


@pytest.fixture
def idle(monkeypatch):
    """A client with time to spare: here it shares its cores, and its process, with the store."""
    monkeypatch.setattr(performance.Watch, "end", lambda _: IDLE)


@pytest.fixture
def space(stub, monkeypatch, idle):
    del idle
    monkeypatch.setattr(milvus_sizes, "RECORDED", {"insert_log": 2_000, "index_files": 1_000})
    stub.reset()
    with opened(s3_servers.storage(stub.endpoint)) as workspace:
        yield workspace
    assert stub.buckets["milvus"].objects == {}


def test_every_operation_is_measured_to_its_knee_and_samples_are_kept(space, tmp_path):
    speeds = measured(space, PLAN, folder=tmp_path)
    seen = {(speed.operation, speed.size) for speed in speeds}
    wanted = {(name, size) for name in BODY for size in PLAN.sizes}
    wanted |= {(name, 1_000) for name in OPERATIONS if name not in BODY}
    assert seen >= wanted
    assert {"GET first", "GET again"} <= {speed.operation for speed in speeds}
    assert all(speed.errors == {} and speed.retries == 0 for speed in speeds)
    for operation, size in wanted:
        knees = [s for s in speeds if (s.operation, s.size) == (operation, size) and s.knee]
        assert len(knees) == 1
    for speed in speeds:
        assert len((tmp_path / speed.samples).read_text().splitlines()) == speed.n + 1
    assert len({speed.samples for speed in speeds}) == len(speeds)


def test_the_table_shows_of_each_sweep_the_single_request_and_the_knee(space):
    speeds = measured(space, PLAN)
    shown = rows(speeds)
    assert {row[0] for row in shown} >= {*OPERATIONS, "GET first", "GET again"}
    assert all("knee" in row[-1] or row[2] == "1" or " " in row[0] for row in shown)
    assert {row[6] for row in shown} == {"n < 368"}  # too few requests for a p99
    assert "n < N: so few requests, in their time and bytes, have no such percentile" in legend(
        speeds
    )
    sampled = sum(speed.sampled for speed in speeds)
    assert sampled >= 3 * len([speed for speed in speeds if speed.operation in BODY])
    assert f"{sampled} bodies were compared with what was written, byte for byte" in legend(speeds)


def test_the_first_byte_of_a_get_has_the_same_figures_as_its_total(space):
    meter = Meter(space)
    found = meter.point("GET", 3_000_000, 1, PLAN)
    assert (found.first_byte_ms < found.total_ms).all()
    assert found.first_bytes().keys() == found.totals().keys() == {"p50"}
    assert meter.point("LIST", 1_000, 1, PLAN).first_bytes() == {}


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
    assert found.totals()["p50"].value == math.inf


def test_a_short_body_is_an_error(space, stub):
    meter = Meter(space)
    meter.point("GET", 1_000, 1, PLAN)
    for versions in stub.buckets["milvus"].objects.values():
        versions[-1].body = versions[-1].body[:-1]
    assert meter.point("GET", 1_000, 1, PLAN).errors == {"ValueError": 8}


@pytest.mark.parametrize("operation", BODY)
def test_bodies_that_come_back_changed_void_a_point_however_long_they_are(
    space, monkeypatch, operation
):
    meter = Meter(space)
    good = meter.point(operation, 1_000_000, 1, PLAN)
    assert (good.sampled, good.changed, good.void) == (3, 0, "")
    get = s3_stub.Operations.get_object

    def damaged(self):
        self.bucket.objects[self.key][-1].body = bytes(1_000_000)
        get(self)

    monkeypatch.setattr(s3_stub.Operations, "get_object", damaged)
    found = meter.point(operation, 1_000_000, 1, PLAN)
    assert (found.errors, found.changed) == ({}, 3)
    assert found.void == "3 of 3 bodies that were compared had changed"


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


@pytest.fixture
def alone(stub, monkeypatch):
    """The client is watched in earnest; what else this host does is left out of it."""
    monkeypatch.setattr(client_load, "host_ticks", lambda: (0, 0))
    stub.reset()
    with opened(s3_servers.storage(stub.endpoint)) as workspace:
        yield workspace


def answering_after(seconds: float):
    async def call(*_):
        if seconds:
            await asyncio.sleep(seconds)
        return time.perf_counter()

    return call


@pytest.mark.parametrize("cores", [2, 16])
def test_a_store_that_answers_at_once_measures_the_client_and_is_void(alone, monkeypatch, cores):
    monkeypatch.setattr(client_load, "cores", lambda: cores)
    monkeypatch.setitem(performance.CALLS, "HEAD", answering_after(0))
    sweep = Meter(alone).sweep("HEAD", 1_000, Plan(requests=20_000))
    assert [one.concurrency for one in sweep.points] == [1]
    assert "event loop" in sweep.points[0].void
    assert (sweep.knee, sweep.cut) == (None, "void at 1 at once")


def test_a_store_that_takes_its_time_does_not_void(alone, monkeypatch):
    monkeypatch.setitem(performance.CALLS, "HEAD", answering_after(0.05))
    found = Meter(alone).point("HEAD", 1_000, 4, Plan(requests=40))
    assert found.void == ""
    assert found.load.loop < 0.9


@pytest.mark.usefixtures("idle")
def test_speed_is_not_measured_where_an_operation_has_only_void_points(stub, monkeypatch):
    stub.reset()
    real = performance.Meter._measured

    def void_lists(meter, job):
        load = dataclasses.replace(IDLE, loop=1.0 if job.operation == "LIST" else 0.1)
        return dataclasses.replace(real(meter, job), load=load)

    monkeypatch.setattr(performance.Meter, "_measured", void_lists)
    monkeypatch.setattr(milvus_sizes, "RECORDED", {"insert_log": 1_000})
    plan = Plan(sizes=(1_000,), levels=(1, 2), requests=4)
    profile = preflight(
        s3_servers.storage(stub.endpoint),
        checks=(TABLE["objects.zero-byte"],),
        speed=lambda space: measured(space, plan),
    )
    assert "LIST of 1,000 bytes: the client's event loop" in profile.no_performance
    assert {"PUT", "GET", "LIST"} <= {speed.operation for speed in profile.performance}
    passed = profile.model_copy(update={"verdict": Outcome.PASS})
    assert console.exit_code(passed) is ExitCode.INCONCLUSIVE


def test_levels_whose_bodies_would_not_fit_into_memory_are_left_out(space):
    plan = Plan(levels=(1, 2, 4), requests=2, memory=2_500)
    sweep = Meter(space).sweep("PUT", 1_000, plan)
    assert [one.concurrency for one in sweep.points] in ([1], [1, 2])


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
    speeds = measured(space, Plan(sizes=(1_000,), levels=(1,), requests=4))
    of = {speed.size: speed.size_of for speed in speeds}
    assert of == {900: "insert_log of this bucket", 1_000: "", 5_000: "index_files of this bucket"}
    assert "4.88 KiB: the median index_files of this bucket" in legend(speeds)
    assert "900 B: the median insert_log of this bucket" in legend(speeds)
    for key in keys:
        client.delete_object(Bucket="milvus", Key=key)


def test_a_bucket_without_milvus_is_measured_at_recorded_sizes_and_it_is_said(space):
    told: list[str] = []
    plan = Plan(sizes=(1_000,), levels=(1,), requests=4)
    speeds = measured(space, plan, tell=told.append)
    assert told[0] == "sizes of Milvus's objects: those of a Milvus 2.3.5 elsewhere"
    assert {s.size for s in speeds} == {1_000, 2_000}
    assert "1.95 KiB: the median insert_log of a Milvus 2.3.5 elsewhere" in legend(speeds)
    assert {s.size for s in speeds if s.operation in {"HEAD", "LIST", "DELETE"}} == {1_000}


def test_what_is_read_first_was_written_before_all_else_and_is_read_again_afterwards(
    space, monkeypatch
):
    read: list[str] = []
    real = performance.CALLS["GET"]

    async def get(store, key, body, size):
        read.append(key)
        return await real(store, key, body, size)

    monkeypatch.setitem(performance.CALLS, "GET", get)
    measured(space, Plan(sizes=(1_000,), levels=(1,), requests=4))
    first, again = read[-8:-4], read[-4:]
    assert first == again
    assert len(set(first)) == 4
    assert not set(first) & set(read[:-8])
    assert max(first) < min(read[:-8])  # folders are numbered as they are made


def test_objects_of_points_take_the_same_keys_again_so_that_few_are_left_to_sweep(space):
    meter = Meter(space)
    for _ in range(3):
        meter.point("PUT", 1_000, 2, PLAN)
        meter.point("DELETE", 1_000, 2, PLAN)
    assert sum(map(len, space._keys.values())) == 1 + 8  # the probe of the workspace


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


GREEDY = """
import runpy, sys, obstore
from validation.s3.speed import performance
kept = []
async def get(store, key, body, size):
    kept.append(await (await obstore.get_async(store, key)).bytes_async())
    return 0.0
performance.CALLS["GET"] = get
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells a process's peak")
@pytest.mark.parametrize("greedy", [False, True], ids=["as-it-is", "keeping-bodies"])
def test_memory_is_bounded_by_concurrency_times_part_and_a_reader_that_keeps_bodies_is_seen(
    tmp_path, greedy
):
    size, concurrency = 8 << 20, 8
    benchmark = str(ROOT / "benchmarks" / "s3.py")
    with s3_servers.minio(tmp_path) as endpoint:
        connect(s3_servers.storage(endpoint)).create_bucket(Bucket="milvus")
        case = ["memory", endpoint, "milvus", str(size), str(concurrency)]
        run_it = (
            f"sys.argv[:] = {[benchmark, *case]}; runpy.run_path({benchmark!r}, None, '__main__')"
        )
        code = (GREEDY if greedy else "import runpy, sys\n") + run_it
        keys = {"AWS_ACCESS_KEY_ID": s3_servers.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | keys,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    bound = concurrency * fast_client.PART + size
    assert (int(done.stdout) > bound) is greedy


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
