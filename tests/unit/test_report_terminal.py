"""The summary on a terminal: whole at any width, without colour, and ending in the verdict."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.builders import build
from validation.report import wording
from validation.report.results import Check, State
from validation.report.terminal import print_summary
from validation.verdicts.verdict import Outcome

HOSTILE = "[bold red]x[/]\x1b[2J\u202e<b>"


def printed(results, folder, width=80, *, verbose=False, **options):
    stream = io.StringIO()
    print_summary(results, folder, Console(file=stream, width=width, **options), verbose=verbose)
    return stream.getvalue()


def every_gate(results, folder, width=80):
    return printed(results, folder, width, verbose=True)


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, "PASS  15 of 15 required gates passed"),
        ({"missing_rows": 3}, "FAIL  1 required gate failed: data.complete; 14 of 15"),
        (
            {"saturated": True},
            "INCONCLUSIVE  1 required gate inconclusive: latency.open-loop; 14 of 15",
        ),
        ({"state": State.INTERRUPTED, "reason": "Ctrl-C"}, "INCONCLUSIVE  the run was interrupted"),
    ],
)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_verdict_is_the_last_line(tmp_path, changes, last, width):
    lines = printed(build(tmp_path, **changes), tmp_path, width).splitlines()
    assert lines[-1].startswith(last)


def test_an_incomplete_run_says_so_first(tmp_path):
    text = printed(build(tmp_path, state=State.BROKEN, reason="the server went away"), tmp_path)
    assert text.startswith("INCOMPLETE  the run broke off: the server went away\n")
    assert "PASS  15" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_is_cut_off(tmp_path, width):
    results = build(tmp_path, missing_rows=3)
    text = "".join(every_gate(results, tmp_path, width).split())
    for gate in results.gates:
        assert gate.gate in text
        assert "".join(gate.remedy.split()) in text
        assert "".join(gate.reason.split()) in text


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [80, 132])
def test_no_line_but_the_path_and_the_verdict_is_wider_than_the_terminal(tmp_path, width, verbose):
    lines = printed(build(tmp_path, hnsw=0.9), tmp_path, width, verbose=verbose).splitlines()
    assert all(len(line) <= width for line in lines[:-2])


def test_a_family_is_a_line_and_what_passed_is_not_told_apart(tmp_path):
    text = printed(build(tmp_path, missing_rows=3), tmp_path)
    assert "  ✗ Data               1 of 2 passed, 1 failed\n" in text
    assert "  ✓ Lifecycle          1 of 1 passed\n" in text
    assert "data.complete at local: fail: observed 3 rows, the rule is ≤ 0 rows" in text
    assert "data.unchanged" not in text
    assert "restart.answers" not in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"missing_rows": 3}, "✗ Data "),
        ({"saturated": True}, "? Latency "),
        ({"failed_searches": 500}, "✗ Latency "),
        # What only advisory gates say is no worse than they are, and no better.
        ({}, "✗ Site's own         advisory: 0 of 1 passed, 1 failed"),
        ({}, "advisory: 0 of 2 passed, 1 inconclusive, 1 not measured"),
    ],
)
def test_a_family_is_as_bad_as_its_worst_required_gate(tmp_path, changes, line):
    assert line in printed(build(tmp_path, **changes), tmp_path, 120)


def test_every_gate_is_shown_with_rule_figure_interval_and_n_if_that_is_wanted(tmp_path):
    results = build(tmp_path)
    text = every_gate(results, tmp_path)
    assert "      ✓ data.complete: 0 rows; rule ≤ 0 rows; n = 1\n" in text
    (hnsw,) = [gate for gate in results.gates if gate.gate == "recall.hnsw"]
    assert f"{wording.interval(hnsw)}; rule mean ≥ 0.95; n = 400" in text
    assert "○ recall.diskann: -; rule mean ≥ 0.9; n = 0; NOT MEASURED; advisory" in text


def test_the_report_s_path_stands_on_one_line_to_be_copied(tmp_path):
    (tmp_path / "report.html").touch()
    assert f"Report: {tmp_path}/report.html\n" in printed(build(tmp_path), tmp_path, 40)


def test_a_pipe_gets_no_colour(tmp_path):
    assert "\x1b" not in printed(build(tmp_path, hnsw=0.9, hostile=HOSTILE), tmp_path)


def test_no_color_is_respected(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(build(tmp_path, hnsw=0.9), tmp_path, force_terminal=True)
    assert "\x1b[31m" not in text
    assert "\x1b[1;31m" not in text


def test_a_terminal_gets_the_same_words_in_colour(tmp_path):
    results = build(tmp_path, hnsw=0.9)
    coloured = printed(results, tmp_path, force_terminal=True, color_system="standard")
    assert "\x1b[1;31mFAIL" in coloured


def test_hostile_texts_neither_style_nor_steer_the_terminal(tmp_path):
    text = printed(build(tmp_path, hostile=HOSTILE), tmp_path, 300)
    assert "[bold red]x[/]\\u001b[2J\\u202e<b>" in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_advisory_gates_are_told_apart_in_words(tmp_path):
    text = every_gate(build(tmp_path), tmp_path, 160)
    assert "; FAIL; advisory" in text
    assert "Did not pass (advisory)" in text
    assert "\nDid not pass\n" not in text
    assert "Advisory: 3 of 7 gates passed" in text


def test_gates_are_grouped_by_target_and_claim(tmp_path):
    text = printed(build(tmp_path), tmp_path).partition("\n\n")[2]
    order = ["Target local\n", "Data", "Recall", "Latency", "Target local-lite\n", "Retrieval"]
    places = [text.index(heading) for heading in order]
    assert places == sorted(places)


def test_a_failed_check_shows_the_start_of_what_it_said(tmp_path):
    said = "\n".join(f"line {number}" for number in range(40))
    broken = Check(id="site/a.py::b", outcome="error", seconds=1, message=said, target="local")
    text = printed(build(tmp_path, extra_checks=(broken,)), tmp_path)
    assert "Check broke off: site/a.py::b at local" in text
    assert "line 11\n" in text
    assert "… 28 more lines" in text


def test_an_encoding_without_the_signs_gets_plainer_ones(tmp_path):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_summary(build(tmp_path, hnsw=0.9), tmp_path, Console(file=stream, width=200))
    stream.flush()
    text = raw.getvalue().decode("ascii")
    assert "rule is mean >= 0.95" in text
    assert text.splitlines()[-1].startswith("FAIL  1 required gate failed")


def repeated(results, gate, n, outcome=Outcome.PASS):
    """The run with a gate's verdict several times, each with a label of its own; one may differ."""
    (first,) = [one for one in results.gates if one.gate == gate]
    more = [first.model_copy(update={"labels": {"search": str(at)}}) for at in range(n)]
    more[0] = more[0].model_copy(update={"outcome": outcome})
    others = [one for one in results.gates if one.gate != gate]
    return results.model_copy(update={"gates": (*others, *more)})


def test_what_a_gate_found_many_times_alike_is_one_row(tmp_path):
    results = build(tmp_path)
    text = every_gate(repeated(results, "data.complete", 5), tmp_path, 200)
    assert "data.complete (5 measurements)" in text
    assert "search 3" not in text
    assert "PASS  19 of 19" in text
    for few in (1, 2):
        assert "measurements" not in every_gate(
            repeated(results, "data.complete", few), tmp_path, 200
        )


def test_what_did_not_pass_keeps_a_row_of_its_own(tmp_path):
    text = every_gate(repeated(build(tmp_path), "data.complete", 5, Outcome.FAIL), tmp_path, 200)
    assert "data.complete (4 measurements)" in text
    assert "data.complete (search 0)" in text
