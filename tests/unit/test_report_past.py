"""Earlier runs on a run's page: trends and changes are shown, and no neighbour can harm it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.builders import START, build, build_again
from tests.unit.test_report_html import HOSTILE, Page
from validation.across import earlier
from validation.across.trends import Point, Series, change_points
from validation.report import html, sparkline
from validation.report.results import State
from validation.report.store import HISTORY, read_results, write_results
from validation.verdicts.verdict import Outcome


def name(number):
    return f"202603{14 + number:02}T092653Z-local"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten runs; from the sixth on searches are slower, and the fifth and the tenth lost rows."""
    runs = tmp_path_factory.mktemp("runs")
    for number in range(9):
        figures = {"serial_ms": 9 if number > 4 else 3, "missing_rows": 3 * (number == 4)}
        build_again(runs / name(number), number, rendered=False, **figures)
    build_again(runs / name(9), 9, serial_ms=9, missing_rows=3)
    return runs


@pytest.fixture
def no_charts(monkeypatch):
    """Leave the charts out, which take most of a page's time."""
    monkeypatch.setattr(html, "draw_all", lambda *_: [])


@pytest.fixture
def beside_one(tmp_path, request):
    """A function that makes a run beside one earlier run and returns both folders."""

    request.getfixturevalue("no_charts")

    def make(**changes):
        build(tmp_path / "a")
        build_again(tmp_path / "b", 1, **changes)
        return tmp_path / "a", tmp_path / "b"

    return make


def evidence(text, gate):
    """Return what the page says of a gate's evidence."""
    there = text.index(f"<code>{gate}</code> · required", text.index('id="evidence"'))
    return text[text.rindex("<details", 0, there) : text.index("Samples:", there)]


def test_a_gate_s_detail_shows_each_run_with_its_figure_and_verdict(many):
    text = (many / name(9) / "report.html").read_text(encoding="utf-8")
    shown = evidence(text, "data.complete")
    assert "passed in 8 of 10 runs; median 0 rows (0 rows to 3 rows); last 3 rows" in shown
    assert shown.count("<svg") == 1
    rows = Page(shown).text
    assert "2026-03-18 09:26 · 3 rows · FAIL 2026-03-19 09:26 · 0 rows · PASS" in rows
    assert shown.count("<li ") == 10


def test_a_change_point_is_marked_and_changes_no_verdict(many):
    folder = many / name(9)
    text = (folder / "report.html").read_text(encoding="utf-8")
    said = f"changed with run {name(5)}: "
    assert Page(text).text.count(said) >= 3 + 2  # the overview, and beside the gates
    shown = evidence(text, "latency.serial")
    assert shown.count('stroke-dasharray="6 3"') == 2  # two gates judge these samples
    gates = {gate.gate: gate.outcome for gate in read_results(folder).gates}
    assert gates["latency.serial"] is Outcome.PASS
    assert '<span class="badge pass">' in shown


def test_a_gate_that_came_to_the_same_in_every_run_is_a_sentence(many):
    shown = evidence((many / name(9) / "report.html").read_text(encoding="utf-8"), "data.unchanged")
    assert "passed in 10 of 10 runs" in shown
    assert "<svg" not in shown


def test_what_did_not_pass_is_told_with_its_past(many):
    page = Page((many / name(9) / "report.html").read_text(encoding="utf-8"))
    opened = page.text.split("What did not pass")[2].split("Topology")[0]
    assert "do not go live History, this run included: passed in 8 of 10 runs" in opened


def test_the_page_is_the_same_wherever_its_folder_is_taken(many, tmp_path):
    before = (many / name(9) / "report.html").read_bytes()
    moved = shutil.copytree(many / name(9), tmp_path / "alone" / "elsewhere")
    assert html.render(moved).read_bytes() == before
    page = Page(before.decode())
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.usefixtures("no_charts")
def test_a_run_beside_none_says_nothing_of_history(tmp_path):
    build_again(tmp_path / "alone", 0)
    assert not (tmp_path / "alone" / HISTORY).exists()
    assert "History" not in (tmp_path / "alone" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"profile": "soak"},
        lambda run: {"parameters": run.parameters | {"rows": 7}},
        lambda run: {"datasets": ({**run.datasets[0], "fingerprint": "x"}, *run.datasets[1:])},
        lambda run: {"targets": ({**run.targets[0], "name": "prod"}, *run.targets[1:])},
        lambda _: {"state": State.BROKEN, "verdict": Outcome.INCONCLUSIVE},
    ],
    ids=["profile", "rows", "data", "target", "broken"],
)
def test_runs_of_another_subject_are_counted_and_not_compared(tmp_path, change):
    results = build(tmp_path / "a")
    write_results(tmp_path / "a", results.model_copy(update=change(results)))
    run = build_again(tmp_path / "b", 1)
    found = earlier.beside(run, tmp_path / "b")
    assert (found.runs, found.others, found.left_out) == ((), 1, ())


def test_later_runs_are_no_history_even_when_an_older_one_is_judged_again(many):
    folder = many / name(3)
    found = earlier.beside(read_results(folder), folder)
    assert [one.run for one in found.runs] == [name(number) for number in range(3)]


def test_a_gate_that_was_judged_otherwise_is_of_another_series_and_another_threshold_is_said(
    beside_one,
):
    first, _ = beside_one()
    results = read_results(first)
    gates = []
    for gate in results.gates:
        changed = {"latency.serial": {"statistic": "p95"}, "data.complete": {"max": 5.0}}
        rule = gate.rule.model_copy(update=changed.get(gate.gate, {}))
        gates.append(gate.model_copy(update={"rule": rule}))
    write_results(first, results.model_copy(update={"gates": tuple(gates)}))
    second = first.with_name("b")
    run = build_again(second, 1, missing_rows=2)
    kept = {gate.gate: gate for gate in earlier.beside(run, second).gates}
    assert "latency.serial" not in kept
    assert "data.complete" in kept
    text = (second / "report.html").read_text(encoding="utf-8")
    assert "· 0 rows · PASS by ≤ 5 rows" in evidence(text, "data.complete")


def naive(text):
    return text.replace("2026-03-14T09:26:53Z", "2026-03-14T09:26:53")


SPOILT = {
    "newer": lambda _: '{"schema": "milvus-kit/results/9"}',
    "no JSON": lambda text: text[:-100],
    "other": lambda _: '{"schema": "milvus-kit/results/1"}',
    "deep": lambda _: "[" * 200_000,
    "digits": lambda _: '{"schema": ' + "9" * 10_000 + "}",
    "no zone": naive,
    "empty": lambda _: "",
    "pass without a gate": lambda text: json.dumps(json.loads(text) | {"gates": []}),
}


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize("how", SPOILT)
def test_a_neighbour_that_cannot_be_read_is_named_and_the_run_goes_on(tmp_path, how):
    build(tmp_path / f"a {how} <b>")
    path = tmp_path / f"a {how} <b>" / "results.json"
    path.write_text(SPOILT[how](path.read_text(encoding="utf-8")), encoding="utf-8")
    build_again(tmp_path / "b", 1)
    text = (tmp_path / "b" / "report.html").read_text(encoding="utf-8")
    assert f"<li>a {how} &lt;b&gt;: " in text
    assert read_results(tmp_path / "b").verdict is Outcome.PASS


@pytest.mark.usefixtures("no_charts")
def test_what_is_no_run_beside_a_run_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(earlier, "LARGEST_BYTES", 4 << 20)
    for one in ("fifo", "folder", "linked", "huge"):
        (tmp_path / one).mkdir()
    os.mkfifo(tmp_path / "fifo" / "results.json")
    (tmp_path / "folder" / "results.json").mkdir()
    (tmp_path / "linked" / "results.json").symlink_to("/dev/zero")
    with (tmp_path / "huge" / "results.json").open("wb") as stream:
        stream.truncate(5 << 20)
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = earlier.beside(build_again(tmp_path / "run", 1), tmp_path / "run")
    assert found.left_out == ("huge: its results.json has 5 MiB, more than a run's",)


def test_only_the_newest_runs_are_shown_and_only_so_many_are_read(many, monkeypatch):
    folder = many / name(8)
    results = read_results(folder)
    monkeypatch.setattr(earlier, "MOST_RUNS", 3)
    assert [one.run for one in earlier.beside(results, folder).runs] == [*map(name, (5, 6, 7))]
    monkeypatch.setattr(earlier, "MOST_LOOKED_AT", 2)
    assert [one.run for one in earlier.beside(results, folder).runs] == [*map(name, (6, 7))]


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "not what a run keeps"),
        ('{"schema": "milvus-kit/history/9"}', "made by a newer kit"),
        ("{", "not what a run keeps"),
        ("[" * 200_000, "not what a run keeps"),
        ('{"schema": "milvus-kit/history/1", "gates": [{"gate": "x"}]}', "not what a run keeps"),
        ("\udc00", "not what a run keeps"),
    ],
)
def test_a_history_that_cannot_be_read_is_said_and_harms_no_page(tmp_path, text, said):
    build(tmp_path)
    if text is None:
        os.mkfifo(tmp_path / HISTORY)
    else:
        (tmp_path / HISTORY).write_bytes(text.encode(errors="surrogatepass"))
    page = Page(html.render(tmp_path).read_text(encoding="utf-8"))
    assert f"{HISTORY}: " in page.text
    assert said in page.text


def test_names_in_a_history_stay_texts(beside_one):
    _, second = beside_one()
    kept = json.loads((second / HISTORY).read_text(encoding="utf-8"))
    kept["runs"][0]["run"] = HOSTILE
    kept["left_out"] = [HOSTILE]
    for gate in kept["gates"]:
        gate["seen"][0] |= {"rule": HOSTILE, "outcome": "fail"}
    (second / HISTORY).write_text(json.dumps(kept), encoding="utf-8")
    text = html.render(second).read_text(encoding="utf-8")
    assert Page(text).open == []
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text


LIMITS = [1e308, -1e308] * 4 + [0.0] * 4
"""Figures whose span is more than a float holds."""


@pytest.mark.parametrize(
    "figures",
    [LIMITS, [None] * 4, [1.0, None, 2.0], [float("inf"), 1.0], [float("nan")] * 3, [5e-324, 0.0]],
)
def test_any_figures_can_be_drawn(tmp_path, figures):
    gate = build(tmp_path).gates[0]
    points = tuple(
        Point(f"run-{at}", START, Outcome.FAIL, figure, "") for at, figure in enumerate(figures)
    )
    svg = sparkline.drawn(Series("", gate, points, len(points)), "trend-1")
    assert svg.startswith("<svg")
    assert "nan" not in svg.split("</desc>")[1]
    assert "inf" not in svg.split("</desc>")[1]


def test_change_points_of_extreme_figures_are_looked_for_without_an_error():
    assert isinstance(change_points(LIMITS), list)
