"""What points of performance say by themselves: tails, the knee, and who was the limit."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from validation.s3.speed import client_load
from validation.s3.speed.client_load import ClientLoad, quota
from validation.s3.speed.figures import missing, summarised
from validation.s3.speed.performance import OPERATIONS, Meter, Plan
from validation.s3.speed.points import Point, knee, told
from validation.s3.speed.table import rows

IDLE = ClientLoad(loop=0.1, process=0.1, host=0.1)


def point(rate: float, *, n: int = 10, load: ClientLoad = IDLE, failed: int = 0) -> Point:
    times = np.asarray([1.0] * (n - failed) + [math.inf] * failed)
    return Point("GET", 100, 1, 1, n, n / rate, times, times, {}, 0, load)


def test_a_percentile_is_told_with_its_interval_or_not_at_all():
    assert list(told(np.ones(3_688))) == ["p50", "p95", "p99", "p99.9"]
    few = told(np.linspace(1, 2, 3_687))
    assert list(few) == ["p50", "p95", "p99"]
    assert all(math.isfinite(one.low) and math.isfinite(one.high) for one in few.values())
    assert summarised(point(100, n=100)).too_few == {"p99": 368, "p99.9": 3_688}


def test_small_objects_get_as_many_requests_as_the_tail_needs_and_large_ones_what_fits():
    plan, large = Plan(), 64 << 20
    assert {plan.requests_at(name, 64 << 10, 1) for name in OPERATIONS} == {3_688}
    assert plan.requests_at("PUT", 8 << 20, 1) >= 368
    assert (plan.requests_at("PUT", large, 1), plan.requests_at("GET", large, 1)) == (48, 3_688)


@pytest.mark.parametrize(
    ("busy", "said"),
    [("loop", "event loop"), ("process", "of its CPU"), ("host", "this host's CPU")],
)
def test_a_client_that_was_the_limit_voids_the_point(busy, said):
    assert said in point(100, load=dataclasses.replace(IDLE, **{busy: 0.95})).void
    assert point(100).void == ""


def test_one_point_that_says_something_is_enough_for_an_operation():
    void = point(900, load=dataclasses.replace(IDLE, host=1.0))
    assert missing([summarised(point(100)), summarised(void)]) == ""
    assert missing([summarised(void)]).startswith("GET of 100 bytes: this host's CPU")


def test_the_knee_is_where_more_concurrency_stops_paying():
    points = [point(100), point(190), point(300), point(310), point(305)]
    assert knee(points) is points[2]


def test_void_points_are_no_knee():
    points = [point(100), point(900, load=dataclasses.replace(IDLE, loop=0.97))]
    assert knee(points) is points[0]
    assert knee(points[1:]) is None


def test_a_sweep_that_was_cut_is_not_said_to_have_a_knee(monkeypatch):
    rates = itertools.count(1)
    monkeypatch.setattr(Meter, "point", lambda *_: point(100 * 2 ** next(rates)))
    sweep = Meter.sweep(object.__new__(Meter), "GET", 1_000, Plan(levels=(1, 2, 4)))
    assert (sweep.knee, sweep.cut) == (sweep.points[2], "no more than 4 at once were tried")
    (row,) = rows([summarised(sweep.points[2], at_knee=True, cut=sweep.cut)])
    assert "no knee seen: no more than 4 at once were tried" in row[-1]


@pytest.mark.parametrize(
    ("groups", "files", "allowed"),
    [
        ("0::/pod/one", {"pod/one/cpu.max": "150000 100000"}, 1.5),
        ("0::/pod/one", {"pod/one/cpu.max": "max 100000", "pod/cpu.max": "50000 100000"}, 0.5),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        (
            "4:memory:/x\n2:cpu,cpuacct:/docker/abc",  # its mount shows the container's as the root
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_quota_of_a_container_bounds_what_the_client_may_use(tmp_path, groups, files, allowed):
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text + "\n")
    assert quota(tmp_path / "groups", tmp_path / "fs") == allowed


def test_the_hosts_load_is_that_of_the_cores_the_client_may_use(tmp_path, monkeypatch):
    monkeypatch.setattr(client_load, "_bound_to", lambda: {1})
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 7 0 0 0 0 0 0 0 0 0\ncpu1 1 2 3 40 50 4 5 6 0 0\n"
    )
    assert client_load.host_ticks(stat) == (21, 111)
    assert client_load._busy((0, 0), (90, 100)) == 0.9
    assert client_load._busy((0, 0), (9, 10)) == 0  # too short to tell
