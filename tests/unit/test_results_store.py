"""A run's folder: what is written is what is read, and what cannot be trusted is refused."""

from __future__ import annotations

import csv
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from tests.builders import PROFILE, build, parsed_rules, targets
from validation.errors import ConfigurationError
from validation.report import store
from validation.report.results import Results, State
from validation.report.store import read_results, read_samples, write_results, write_samples
from validation.runs.folder import judged
from validation.runs.recorder import Part, Recorder
from validation.verdicts.verdict import Observation, Outcome


def observation(**changes):
    return Observation.model_validate(
        {"metric": "search.latency.serial", "target": "local", "unit": "ms", "n": 1, **changes}
    )


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path, targets()[0], PROFILE, parsed_rules())


@given(values=arrays(np.float64, st.integers(1, 50)))
def test_samples_come_back_to_the_last_bit(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("run")
    seen = observation(n=values.size)
    named = write_samples(folder, seen, {"value": values})
    back = read_samples(folder, seen.model_copy(update={"samples_file": named}))
    np.testing.assert_array_equal(back, values)


def test_further_columns_are_kept_beside_the_value(tmp_path):
    columns = {"value": np.array([1.5, math.inf]), "query": ["a,b", 'c"d\n']}
    named = write_samples(tmp_path, observation(), columns)
    with (tmp_path / named).open(newline="", encoding="utf-8") as stream:
        assert list(csv.DictReader(stream)) == [
            {"value": "1.5", "query": "a,b"},
            {"value": "inf", "query": 'c"d\n'},
        ]


def test_two_observations_of_the_same_labels_keep_two_files(tmp_path):
    first = write_samples(tmp_path, observation(), {"value": [1.0]})
    second = write_samples(tmp_path, observation(), {"value": [2.0]})
    assert first != second
    assert read_samples(tmp_path, observation(samples_file=first))[0] == 1
    assert read_samples(tmp_path, observation(samples_file=second))[0] == 2


@given(target=st.text(max_size=300), label=st.text(max_size=300))
def test_no_label_leads_out_of_the_samples_folder(tmp_path_factory, target, label):
    folder = tmp_path_factory.mktemp("run")
    seen = observation(target=target, labels={"x": label})
    named = write_samples(folder, seen, {"value": [1.0]})
    path = (folder / named).resolve()
    assert path.parent == (folder / "samples").resolve()
    assert len(path.name) < 200


def test_long_labels_that_differ_only_at_their_end_keep_two_files(tmp_path):
    names = {
        write_samples(tmp_path, observation(labels={"x": "a" * 300 + end}), {"value": [1.0]})
        for end in "bc"
    }
    assert len(names) == 2
    assert not any(name.endswith(".2.csv") for name in names)


@pytest.mark.parametrize(
    "columns",
    [{}, {"query": ["a"]}, {"query": ["a"], "value": [1.0]}, {"value": [1.0], "query": ["a", "b"]}],
)
def test_columns_that_cannot_be_read_back_are_refused_and_leave_nothing(tmp_path, columns):
    with pytest.raises(ValueError, match="columns must be equally long and start with value"):
        write_samples(tmp_path, observation(), columns)
    assert not list(tmp_path.rglob("*.csv*"))


@pytest.mark.parametrize("text", ["", "time\n1\n", "value\nfast\n"])
def test_a_damaged_samples_file_is_named(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ConfigurationError, match=r"raw samples of .* cannot be read") as caught:
        read_samples(tmp_path, observation(samples_file="x.csv"))
    assert "x.csv" in caught.value.where


def test_a_missing_samples_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="copy the whole run folder"):
        read_samples(tmp_path, observation(samples_file="samples/none.csv"))


@pytest.mark.parametrize("path", ["../other/x.csv", "/etc/hostname"])
def test_samples_outside_the_run_s_folder_are_refused(tmp_path, path):
    with pytest.raises(ConfigurationError, match="outside the run's folder"):
        read_samples(tmp_path, observation(samples_file=path))


def test_results_come_back_as_they_were_written(tmp_path):
    results = build(tmp_path, failed_searches=8)
    assert read_results(tmp_path) == results
    assert read_results(tmp_path / "results.json") == results
    assert not list(tmp_path.rglob("*.partial"))


def test_judging_again_by_the_same_rules_gives_the_same_results(tmp_path):
    results = build(tmp_path, hnsw=0.9, failed_searches=8)
    again = judged(
        read_results(tmp_path), tmp_path, parsed_rules(), rules_source=results.rules_source
    )
    assert again == results


def test_results_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    results = build(tmp_path)
    before = (tmp_path / "results.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_results(tmp_path, results)
    assert (tmp_path / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not results of a schema"),
        (b"{}", "not results of a schema"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"schema": "milvus-kit/results/9"}', "schema"),
    ],
)
def test_what_are_no_results_is_refused_with_the_file_s_name(tmp_path, content, said):
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_results(tmp_path)
    assert "results.json" in caught.value.where


def test_no_results_at_all_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match="name a run's folder"):
        read_results(tmp_path)


def edited(folder, change):
    path = folder / "results.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("embedded", [False, True])
def test_of_a_run_that_was_killed_is_said_what_is_there_and_what_to_do(tmp_path, embedded):
    (tmp_path / "rules.slo.yaml").touch()
    if embedded:
        (tmp_path / "stack").mkdir()
    write_samples(tmp_path, observation(), {"value": [1.0]})
    with pytest.raises(ConfigurationError) as caught:
        read_results(tmp_path)
    said = str(caught.value)
    assert "was killed" in said
    assert "raw samples of 1 observations" in said
    assert "local.search.latency.serial" in said
    assert (f"delete {tmp_path}" if embedded else "milvus-kit clean --target") in said


def test_a_verdict_that_its_gates_do_not_earn_is_refused(tmp_path):
    assert build(tmp_path, missing_rows=3).verdict is Outcome.FAIL
    edited(tmp_path, lambda document: document.update(verdict="pass"))
    with pytest.raises(ConfigurationError, match="verdict says pass, state and gates say fail"):
        read_results(tmp_path)


def test_an_interrupted_run_cannot_be_made_a_pass(tmp_path):
    results = build(tmp_path, state=State.INTERRUPTED, reason="Ctrl-C")
    assert results.verdict is Outcome.INCONCLUSIVE
    with pytest.raises(ValidationError, match="verdict says pass"):
        Results.model_validate(results.model_dump(by_alias=True) | {"verdict": "pass"})


def test_an_interrupted_run_still_fails_for_a_required_gate_that_failed(tmp_path):
    assert build(tmp_path, missing_rows=3, state=State.BROKEN).verdict is Outcome.FAIL


@pytest.mark.parametrize(
    "value",
    [np.int64(3), np.float32(0.5), np.array([1, 2]), {1, 2}, os.devnull, math.inf, object()],
)
def test_evidence_of_any_kind_does_not_lose_the_run(recorder, value):
    recorder.observe("data.rows_missing", [0], evidence={"what": value})
    written = recorder.write()
    assert "what" in Part.model_validate_json(written.read_text()).observations[0].evidence


def test_a_check_without_samples_has_to_say_so(recorder):
    seen = recorder.observe("data.rows_missing", [])
    assert seen.not_measured == "the check ran and yielded no sample"
    assert seen.samples_file is None


@pytest.mark.parametrize(("metric", "said"), [("data.rows", "unknown metric"), ("site.x", "unit")])
def test_a_metric_that_no_rule_could_judge_is_refused(recorder, metric, said):
    with pytest.raises(ValueError, match=said):
        recorder.observe(metric, [1])


def test_a_test_learns_only_how_its_own_gates_stand(recorder):
    recorder.observe("data.rows_missing", [1], check="a")
    recorder.observe("data.rows_changed", [0], check="b")
    assert [(one.gate, one.outcome) for one in recorder.verdicts("a")] == [
        ("data.complete", Outcome.FAIL)
    ]
    assert recorder.verdicts("c") == []


def test_a_part_keeps_its_phases_when_the_phase_breaks_off(recorder):
    with pytest.raises(KeyboardInterrupt), recorder.phase("load"):
        raise KeyboardInterrupt
    assert [phase.name for phase in recorder.part.phases] == ["load"]


def test_samples_that_were_edited_after_the_run_are_not_judged(recorder):
    seen = recorder.observe("search.latency.serial", [900.0, 900.0])
    path = recorder.folder / seen.samples_file
    assert list(read_samples(recorder.folder, seen)) == [900.0, 900.0]
    path.write_text(path.read_text().replace("900.0", "1.0"))
    with pytest.raises(ConfigurationError, match="not those that were measured"):
        read_samples(recorder.folder, seen)


def test_results_larger_than_any_run_s_are_refused_unread(tmp_path):
    with (tmp_path / "results.json").open("wb") as file:
        file.truncate(store.LARGEST_BYTES + 1)
    with pytest.raises(ConfigurationError, match="no larger than 256 MiB"):
        read_results(tmp_path)


def test_results_without_an_end_of_depth_are_refused(tmp_path):
    (tmp_path / "results.json").write_bytes(b'{"run":' + b"[" * 200_000)
    with pytest.raises(ConfigurationError, match="not results of a schema"):
        read_results(tmp_path)
