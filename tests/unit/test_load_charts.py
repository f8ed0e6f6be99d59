"""Charts of a sustained rate: trials over their rate, latency over time with what ran beside."""

import re
from pathlib import Path

import numpy as np
import pytest

from validation.load.slo.background import Background
from validation.load.slo.timeline import WINDOW, Timeline
from validation.report import load_charts
from validation.report.store import write_samples
from validation.verdicts.verdict import Observation

STYLE = Path(load_charts.__file__).with_name("templates") / "style.css"
TRIALS = [
    {"rate": 100.0, "held": "held", "p50": 4.0, "p99": 20.0},
    {"rate": 200.0, "held": "broke", "p50": 40.0, "p99": 900.0},
    {"rate": 400.0, "held": "broke", "p50": "Infinity", "p99": "Infinity"},
]
POINTS = [
    {"at": 1.0, "p50": 4.0, "p99": 20.0, "failed": 0},
    {"at": 1.5, "p50": 5.0, "p99": "Infinity", "failed": 2},
    {"at": 2.0, "p50": 40.0, "p99": 900.0, "failed": 0},
]
PHASES = [{"name": "insert", "begin": 0.5, "end": 1.2}, {"name": "index", "begin": 1.2, "end": 2.4}]


def drawn(folder, **evidence):
    seen = Observation(
        metric=load_charts.METRIC,
        target="local",
        labels={"plan": "rag-chat", "beside": "loading"},
        unit="searches/s",
        n=6,
        evidence={"trials": TRIALS, **evidence},
    )
    named = write_samples(folder, seen, {"value": np.array([90.0, 95, 100, 100, 105, 110])})
    return load_charts.draw([seen.model_copy(update={"samples_file": named})], folder)


def test_a_run_without_a_timeline_has_the_chart_of_its_trials(tmp_path):
    (chart,) = drawn(tmp_path)
    assert chart.slug == "trials-0"
    assert "loading" in chart.title
    assert "rag-chat" in chart.title
    assert chart.description.count("/s: p99") == 2  # what had no answer cannot be drawn


def test_latency_over_time_shows_what_ran_beside_it(tmp_path):
    _, chart = drawn(tmp_path, over_time=POINTS, phases_beside=PHASES)
    assert chart.slug == "over-time-0"
    assert "the worst p99 is 900 ms, after 2 s" in chart.description
    assert "index from 1.2 to 2.4 s" in chart.description
    assert "insert" in chart.svg
    assert "what went on beside" in chart.note
    _, quiet = drawn(tmp_path, over_time=POINTS, phases_beside=[])
    assert "beside" not in quiet.note


def test_every_colour_of_these_charts_has_one_for_a_dark_page(tmp_path):
    charts = drawn(tmp_path, over_time=POINTS, phases_beside=PHASES)
    used = set(re.findall(r'((?:fill|stroke)="#[0-9a-f]+")', "".join(one.svg for one in charts)))
    style = STYLE.read_text(encoding="utf-8")
    assert not [one for one in used if one.split('"')[1] not in style]


def test_a_timeline_has_a_percentile_for_each_window_and_the_phases_beside():
    line = Timeline()
    offsets = np.arange(0, 2, 0.01)
    latencies = np.where(offsets < 1, 5.0, 50.0)
    latencies[-1] = np.inf
    line.note(10.0, offsets, latencies)
    assert [one["at"] for one in line.points] == [10.25, 10.75, 11.25, 11.75]
    assert [one["p50"] for one in line.points] == [5, 5, 50, 50]
    assert [one["failed"] for one in line.points] == [0, 0, 0, 1]
    assert WINDOW == 0.5
    beside = Background(phases=[("insert", line._start + 1, line._start + 3)])
    assert line.now() >= 0
    phases = line.evidence(beside)["phases_beside"]
    assert phases == [{"name": "insert", "begin": 1.0, "end": 3.0}]


@pytest.mark.parametrize("value", [None, 0, "Infinity", "inf"])
def test_what_cannot_be_drawn_is_left_out(value):
    assert not load_charts._drawable(value)
