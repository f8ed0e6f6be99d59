"""Runs side by side: change points that are there, none that are not, and what carries over."""

from __future__ import annotations

import io
from datetime import timedelta

import numpy as np
import pytest
from rich.console import Console

from tests.builders import START, build, targets
from tests.unit.test_report_html import Page
from validation import cli
from validation.across import showing
from validation.across.transfer import differences, transferred
from validation.across.trends import change_points, read_runs, series
from validation.errors import ConfigurationError, ExitCode
from validation.report.results import State
from validation.report.store import write_results
from validation.verdicts.judging import judge_all

HOSTILE = "<script>x</script>\x1b[2J"


def noise(seed, n):
    return np.random.default_rng(seed).normal(10, 1, n)


@pytest.mark.parametrize("n", [8, 12, 20, 50])
def test_scatter_alone_is_no_change(n):
    alarms = sum(bool(change_points(noise(seed, n))) for seed in range(200))
    assert alarms <= 30


@pytest.mark.parametrize("n", [8, 12, 20, 50])
def test_a_new_level_is_found_where_it_begins(n):
    right = 0
    for seed in range(100):
        values = noise(seed, n)
        values[n // 2 :] += 8
        right += change_points(values) == [n // 2]
    assert right >= 85


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0] * 20, []),
        ([0.0] * 6 + [5.0] * 6, [6]),
        ([1.0] * 5 + [9.0] + [1.0] * 6, []),  # one strange run is no level
        ([1.0, 9.0] * 3, []),  # too few
        (np.arange(7.0), []),
        ([], []),
    ],
)
def test_levels_last(values, found):
    assert change_points(values) == found


def a_run(folder, number, **changes):
    """Write a run that began ``number`` hours after the first."""
    name = f"run-{number:02}"
    results = build(folder / name, **changes)
    started = START + timedelta(hours=number)
    results = results.model_copy(update={"run": name, "started": started})
    write_results(folder / name, results)
    return results


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Ten runs; from the sixth on, searches are slower and the server has a strange name."""
    folder = tmp_path_factory.mktemp("runs")
    for number in range(10):
        slow = number >= 5
        a_run(folder, number, serial_ms=9.0 if slow else 3.0, hostile=HOSTILE if slow else "")
    (folder / "latest").symlink_to("run-09")
    (folder / "no-run").mkdir()
    newer = folder / "newer"
    newer.mkdir()
    (newer / "results.json").write_text('{"schema": "milvus-kit/results/9"}')
    return folder


def printed(runs, **options):
    found, _ = read_runs(runs)
    stream = io.StringIO()
    showing.print_trends(series(found), len(found), Console(file=stream, width=200), **options)
    return stream.getvalue()


def test_a_folder_of_runs_is_read_once_and_what_cannot_be_read_is_named(runs):
    found, left_out = read_runs(runs)
    assert [one.run for one in found] == [f"run-{number:02}" for number in range(10)]
    assert len(left_out) == 1
    assert left_out[0].startswith("newer: ")


def test_a_change_is_named_with_its_run_and_both_levels(runs):
    text = printed(runs)
    assert "latency.serial at local: passed in 10 of 10 runs" in text
    assert "-> changed with run run-05: " in text
    assert "data.complete" not in text
    assert "data.complete" in printed(runs, verbose=True)
    assert "PASS" not in text


def test_a_gate_that_some_runs_did_not_judge_is_shown_without_being_asked(tmp_path):
    for number in range(3):
        results = a_run(tmp_path, number)
        if number == 1:
            kept = [one for one in results.gates if one.gate != "data.complete"]
            write_results(tmp_path / results.run, results.model_copy(update={"gates": tuple(kept)}))
    text = printed(tmp_path)
    assert "data.complete at local: passed in 2 of 2 runs; not judged in 1; " in text
    assert "data.unchanged" not in text
    found, _ = read_runs(tmp_path)
    total = len(found[0].gates)
    assert f"{total - 1} of {total} gates came to the same in every run" in text


def test_a_gate_that_failed_in_every_run_is_shown_without_being_asked(tmp_path):
    for number in range(3):
        a_run(tmp_path, number, missing_rows=3)
    text = printed(tmp_path)
    assert "data.complete at local: passed in 0 of 3 runs" in text
    assert "recall.diskann (index DISKANN)" not in text  # the gate's name stands for its label
    assert "recall.diskann at local: passed in 0 of 3 runs" in text  # not measured is no pass
    assert "data.unchanged" not in text
    found, _ = read_runs(tmp_path)
    alike, without = len(found[0].gates), sum(one.outcome != "pass" for one in found[0].gates)
    said = f"{alike} of {alike} gates came to the same in every run, {without} of them without a"
    assert said in text
    page = Page(showing.page(series(found), len(found)))
    assert said in page.text
    assert "data.complete at local" in page.text.split("Every gate")[0]


def test_the_page_names_what_was_left_out(runs):
    found, left_out = read_runs(runs)
    page = Page(showing.page(series(found), len(found), [*left_out, "<b>x</b>: unreadable"]))
    assert "Left out" in page.text
    assert left_out[0] in page.text
    assert "<b>x</b>: unreadable" in page.text
    assert "Left out" not in Page(showing.page(series(found), len(found))).text


def test_runs_of_other_sizes_are_another_series(tmp_path):
    for number in range(4):
        results = a_run(tmp_path, number)
        if number >= 2:
            parameters = results.parameters | {"rows": 7}
            changed = results.model_copy(update={"parameters": parameters})
            write_results(tmp_path / results.run, changed)
    found = series(read_runs(tmp_path)[0])
    assert {len(one.points) for one in found} == {2}
    assert len({one.group for one in found}) == 2


def test_the_page_draws_what_moved_and_takes_names_for_texts(runs):
    found, _ = read_runs(runs)
    text = showing.page(series(found), len(found))
    page = Page(text)
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.elements}
    assert "changed with run run-05" in page.text
    assert "\x1b" not in text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert page.all("svg")


def test_no_run_at_all_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no run to compare"):
        read_runs(tmp_path)


def test_history_names_what_it_leaves_out_on_its_page_too_and_ends_with_0(runs, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["history", str(runs), "--html"])
    said = capsys.readouterr()
    assert ended.value.code == ExitCode.PASS
    assert "left out: newer: " in said.err
    assert "<li>newer: " in said.out


@pytest.mark.parametrize("arguments", [[], ["--html"], ["-v"]])
def test_history_ends_with_0_whatever_the_runs_came_to(tmp_path, capsys, arguments):
    a_run(tmp_path, 0, missing_rows=3)
    with pytest.raises(SystemExit) as ended:
        cli.main(["history", str(tmp_path), *arguments])
    assert ended.value.code == ExitCode.PASS
    assert "1 run" in capsys.readouterr().out


def carried(results, other):
    """Return the families of the run's first target of which something carries over."""
    found = differences(results.targets[0], other)
    parts = transferred(results, "local", found)
    return {part.title for part in parts if part.carries}


def document(**changes):
    full, _ = targets()
    data = full.document()
    for path, value in changes.items():
        section, _, key = path.partition("__")
        data[section] = {**data[section], key: value}
    return data


ANSWERS = {"Answers", "Recall"}


@pytest.mark.parametrize(
    ("changes", "families"),
    [
        ({}, {"Data", *ANSWERS}),
        ({"milvus__uri": "https://prod:19530"}, {"Data", *ANSWERS}),
        ({"storage__provider": "x10000"}, ANSWERS),
        ({"storage__versioning": "enabled"}, ANSWERS),
        ({"milvus__version": "2.6.20"}, set()),
        ({"milvus__version": None}, set()),
        ({"milvus__wal": "kafka"}, set()),
        ({"milvus__deployment": "cluster"}, set()),
        ({"milvus__roles": [{"name": "proxy", "replicas": 2}]}, set()),
    ],
)
def test_a_gate_carries_over_where_nothing_differs_that_it_depends_on(tmp_path, changes, families):
    assert carried(build(tmp_path), document(**changes)) == families


def test_replicas_alone_change_no_answer(tmp_path):
    roles = [{"name": "proxy", "replicas": 1}]
    results = build(tmp_path)
    there = document(milvus__roles=roles)
    results = results.model_copy(update={"targets": (there, *results.targets[1:])})
    more = document(milvus__roles=[{"name": "proxy", "replicas": 3}])
    assert carried(results, more) == {"Data", *ANSWERS}


def test_what_is_declared_of_neither_is_not_taken_for_equal(tmp_path):
    results = build(tmp_path)
    unknown = document(milvus__version=None)
    results = results.model_copy(update={"targets": (unknown, *results.targets[1:])})
    assert carried(results, unknown) == set()


def test_data_does_not_carry_over_where_the_store_is_declared_of_neither(tmp_path):
    results = build(tmp_path)
    bare = {key: value for key, value in document().items() if key != "storage"}
    results = results.model_copy(update={"targets": (bare, *results.targets[1:])})
    assert carried(results, bare) == ANSWERS
    said = [one.said() for one in differences(bare, bare)]
    assert said == ["storage.provider: not declared -> not declared"]


@pytest.mark.parametrize("where", ["", "misspelt"])
def test_a_gate_that_matched_no_observation_counts_and_carries_nothing_over(tmp_path, where):
    results = build(tmp_path)
    rules = [one for one in results.rules if one.metric == "filter.violations"]
    unseen = rules[0].model_copy(
        update={
            "metric": "exact_search.misses",
            "unit": "neighbours",
            "where": {"target": where} if where else {},
        }
    )
    results = results.model_copy(update={"gates": (*results.gates, *judge_all([unseen], []))})
    assert results.gates[-1].target == where
    parts = {part.title: part for part in transferred(results, "local", [])}
    assert (len(parts["Answers"].carries), len(parts["Answers"].gates)) == (1, 2)
    assert "Retrieval quality" not in parts  # of the other target


def test_a_gate_that_did_not_pass_carries_nothing_over(tmp_path):
    results = build(tmp_path, missing_rows=3)
    parts = {part.title: part for part in transferred(results, "local", [])}
    assert [gate.gate for gate in parts["Data"].carries] == ["data.unchanged"]


def test_transfer_names_each_field_and_no_secret(tmp_path, capsys):
    build(tmp_path / "dev")
    (tmp_path / "prod.yaml").write_text(
        "schema: milvus-kit/target/1\nname: prod\n"
        "milvus: {uri: 'https://prod:19530', version: 2.6.20, wal: kafka,\n"
        "  auth: {user: root, password: {env: SOME_SECRET_PLACE}}}\n"
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["transfer", str(tmp_path / "dev"), str(tmp_path / "prod.yaml")])
    said = capsys.readouterr().out
    assert ended.value.code == ExitCode.PASS
    assert "milvus.version: 2.3.5 -> 2.6.20" in said
    assert "Latency: 0 of 3 carry over" in said
    assert "SOME_SECRET_PLACE" not in said


def transfer(run, other, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["transfer", str(run), str(other)])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.mark.parametrize("empty", ["there", "here"])
def test_transfer_refuses_a_run_that_names_no_target(tmp_path, capsys, empty):
    for name in ("there", "here"):
        results = build(tmp_path / name)
        if name == empty:
            write_results(tmp_path / name, results.model_copy(update={"targets": ()}))
    code, said, error = transfer(tmp_path / "there", tmp_path / "here", capsys)
    assert (code, said) == (ExitCode.USAGE, "")
    assert f"{tmp_path / empty}: the run names no target" in error
    assert f"-> look at it with `milvus-kit report {tmp_path / empty}`" in error


@pytest.mark.parametrize("state", State)
def test_transfer_says_of_a_run_that_is_not_whole_how_it_ended(tmp_path, capsys, state):
    reason = "" if state is State.COMPLETE else "SIGTERM"
    build(tmp_path, state=state, reason=reason)
    code, said, _ = transfer(tmp_path, tmp_path, capsys)
    assert code == ExitCode.PASS
    words = {
        State.COMPLETE: "From local to local",
        State.INTERRUPTED: "INCOMPLETE  the run was interrupted: SIGTERM",
        State.BROKEN: "INCOMPLETE  the run broke off: SIGTERM",
    }
    assert said.startswith(words[state])
