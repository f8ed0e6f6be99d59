"""The drill calls wrong what is wrong, and never passes what it did not see."""

import dataclasses
import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from validation.answers.model import Answers
from validation.common.progress import Progress
from validation.common.resources import find
from validation.datasets.generated import generate
from validation.datasets.ground_truth import distances_to, exact
from validation.drill import bench as benches
from validation.drill import faults, recovery, runner, traffic
from validation.drill.bench import INDEXES, Bench, last_words
from validation.drill.collection import Collection, K
from validation.drill.findings import Findings, conclude
from validation.drill.proof import Proof
from validation.drill.runner import PROFILE, RULES, observe, observe_nothing
from validation.drill.traffic import Searches, Traffic, Writes
from validation.errors import (
    ConfigurationError,
    EmbeddedStackError,
    MeasurementError,
    MissingToolError,
    UnsupportedError,
)
from validation.local import milvus, supervisor
from validation.milvus import loading, searching
from validation.runs.recorder import Recorder
from validation.s3.faults.script import Script
from validation.target import Milvus, Target
from validation.verdicts import rules
from validation.verdicts.verdict import Outcome

DATASET = generate(400, 8, queries=3)
SURE = 300
"""How many of the rows are surely there."""


@pytest.mark.parametrize("name", ["reset", "truncated", "corrupted"])
def test_a_fault_of_downloads_is_met_by_milvus_s_data_and_nothing_else(name):
    script = Script()
    bench: Any = SimpleNamespace(proxy=SimpleNamespace(script=script))
    nobody: Any = None
    with faults.FAULTS[name].act(bench, nobody) as seen:
        for target in ("/milvus/?location=", "/milvus/?list-type=2&prefix=files%2Finsert_log%2F"):
            assert [script.choose("GET", target) for _ in range(4)] == [None] * 4
        met = [script.choose("GET", "/milvus/files/index_files/1/2") for _ in range(2)]
        assert met[1] is not None
    assert seen.requests == 0  # chosen, but done to nobody


def test_a_writer_without_rows_left_is_the_drill_s_end_and_no_failure_of_milvus(monkeypatch):
    sent = []
    monkeypatch.setattr(loading, "insert", lambda _c, _n, batch: sent.append(batch.rows))
    monkeypatch.setattr(traffic, "WRITE_PAUSE", 0.0)
    nobody: Any = None
    here = Collection.of_first("live", INDEXES["live"], 340, DATASET)
    writing = Traffic(nobody, DATASET, live=here, static=here)
    writing.writer.start()
    writing.writer.join(20)
    assert sent == [25, 25]
    assert writing.broken == "no rows are left to write"
    assert writing.writer.failures == {}
    assert writing.writes.acknowledged == [(340, 365), (365, 390)]
    assert writing.writes.newer().tolist() == list(range(340, 390))


def searched(monkeypatch, rows, *, sent, acknowledged=()):
    """What the drill says of an answer with these rows while others are written."""
    query = next(at for at in range(3) if (EVERYTHING.rows[at] >= SURE).any())
    rows = rows[query] if rows.ndim > 1 else rows
    ids, vectors = np.full((1, K), -1, dtype=np.int64), DATASET.vectors[rows]
    distances = np.full((1, K), np.nan)
    ids[0, : len(rows)] = rows
    distances[0, : len(rows)] = distances_to(DATASET.queries.vectors[query], vectors)
    answers = Answers(ids, distances, np.array([len(rows)]))
    monkeypatch.setattr(searching, "search", lambda *_, **__: answers)
    writes = Writes(sent)
    writes.acknowledged += [(row, row + 1) for row in acknowledged]
    nobody: Any = None
    here = Collection.of_first("live", INDEXES["live"], SURE, DATASET)
    asked = Searches(nobody, here, DATASET, writes)
    for _ in range(query + 1):
        asked.ask()
    return asked.wrong[-1]


EVERYTHING = exact(DATASET.vectors, DATASET.queries.vectors, K, DATASET.metric)
SURELY = exact(
    DATASET.vectors, DATASET.queries.vectors, K, DATASET.metric, mask=np.arange(400) < SURE
)


def test_the_exact_answer_is_right_and_one_that_ends_early_is_called_so(monkeypatch):
    assert searched(monkeypatch, SURELY.rows, sent=SURE) == ""
    said = searched(monkeypatch, SURELY.rows[:, :7], sent=SURE)
    assert "live, query" in said
    assert "3 hits too few" in said


def test_a_newer_row_that_is_nearer_is_right_and_a_row_from_nowhere_is_wrong(monkeypatch):
    assert searched(monkeypatch, EVERYTHING.rows, sent=400) == ""
    assert "never sent" in searched(monkeypatch, EVERYTHING.rows, sent=SURE)


def test_leaving_out_a_row_that_was_acknowledged_before_the_search_is_wrong(monkeypatch):
    newer = range(SURE, 400)
    assert searched(monkeypatch, SURELY.rows, sent=400) == ""
    said = searched(monkeypatch, SURELY.rows, sent=400, acknowledged=newer)
    assert "nearer rows left out" in said
    assert searched(monkeypatch, EVERYTHING.rows, sent=400, acknowledged=newer) == ""


def test_a_drill_in_which_nothing_goes_wrong_is_refused():
    with pytest.raises(ConfigurationError, match="proves nothing"):
        faults.named(["none"])
    assert [one.name for one in faults.named(["reset", "none"])] == ["none", "reset"]


def test_a_host_without_a_milvus_server_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(milvus, "exists_here", lambda: False)
    with pytest.raises(MissingToolError, match="no Milvus server for this platform"):
        runner.drill(["reset"], runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_faults_keep_the_drill_s_order_and_unknown_ones_are_refused():
    assert [one.name for one in faults.named(["corrupted", "reset"])] == ["reset", "corrupted"]
    assert len(faults.named([])) == len(faults.FAULTS)
    with pytest.raises(ConfigurationError, match="no such fault"):
        faults.named(["earthquake"])


@pytest.fixture
def recorder(tmp_path):
    target = Target(name="drill", milvus=Milvus(uri="http://127.0.0.1:1"))
    return Recorder(tmp_path, target, PROFILE, rules.load(find(RULES)))


GOOD = Findings(
    seconds_to_recover=3.0,
    lost=0.0,
    unexpected=0.0,
    wrong=np.zeros(500),
    failed=np.zeros(30),
    overlaps={"live": np.ones(400), "static": np.ones(400)},
)


def outcomes(recorder, found_out):
    observe(recorder, faults.FAULTS["reset"], found_out, check="drill::reset")
    found = {}
    for verdict in recorder.verdicts("drill::reset"):
        found.setdefault(verdict.gate, set()).add(verdict.outcome)
    return found


def test_a_fault_that_was_survived_passes_every_gate(recorder):
    found = outcomes(recorder, GOOD)
    assert len(found) == 7
    assert set().union(*found.values()) == {Outcome.PASS}
    assert GOOD.clean


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"lost": 1.0}, "drill.rows_lost"),
        ({"unexpected": 1.0}, "drill.rows_unexpected"),
        ({"wrong": np.array([0.0, 1.0])}, "drill.wrong_answers"),
        ({"damage": np.array([0.0, 1.0])}, "drill.damage_served"),
        ({"failed": np.array([0.0, 1.0])}, "drill.requests_failed"),
        ({"restarts": 1}, "drill.restarts"),
        ({"seconds_to_recover": math.inf}, "drill.recovery"),
        ({"overlaps": {"live": np.ones(400), "static": np.zeros(400)}}, "drill.recall"),
    ],
    ids=[
        "a lost row",
        "a row from nowhere",
        "one wrong answer",
        "one answer from damage",
        "a failure without a fault",
        "a crash",
        "no recovery",
        "no recall",
    ],
)
def test_each_defect_turns_its_own_gate_red_and_damage_asks_for_fresh_collections(
    recorder, change, gate
):
    defective = dataclasses.replace(GOOD, **change)
    found = outcomes(recorder, defective)
    assert {name for name, seen in found.items() if Outcome.FAIL in seen} == {gate}
    leaves_nothing = {"drill.restarts", "drill.requests_failed", "drill.damage_served"}
    assert defective.clean == (gate in leaves_nothing)


def test_what_cannot_be_read_after_a_fault_is_not_measured_with_the_reason(recorder):
    unknown = "collection not loaded"
    nothing = np.zeros(3)
    found = outcomes(
        recorder,
        Findings(seconds_to_recover=math.inf, wrong=nothing, failed=nothing, unknown=unknown),
    )
    assert found["drill.recovery"] == {Outcome.FAIL}
    for gate in ("drill.rows_lost", "drill.rows_unexpected", "drill.recall"):
        assert found[gate] == {Outcome.NOT_MEASURED}
    seen = [one.not_measured for one in recorder.part.observations if one.not_measured]
    assert set(seen) == {"collection not loaded"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UnsupportedError("a mount namespace is not permitted here"), "skipped"),
        (MeasurementError("no request of Milvus's met the fault"), "error"),
    ],
)
def test_what_a_host_cannot_do_is_told_from_what_broke_and_neither_is_measured(
    recorder, monkeypatch, error, outcome
):
    def refused(*_):
        raise error

    monkeypatch.setattr(runner, "run_trial", refused)
    fault = faults.FAULTS["expired-certificate"]
    anything: Any = None
    assert runner._one(recorder, anything, fault, Progress(quiet=True)) is False
    (check,) = recorder.part.checks
    assert (check.outcome, check.message) == (outcome, error.what)
    verdicts = recorder.verdicts("drill::expired-certificate")
    assert {one.outcome for one in verdicts} == {Outcome.NOT_MEASURED}
    gates = {rule.gate for rule in rules.load(find(RULES))}
    assert {one.gate for one in verdicts} == gates - {"drill.damage_served"}
    assert all(error.what in str(one) for one in verdicts)


def test_a_fault_that_nothing_met_proves_nothing(recorder):
    observe_nothing(recorder, faults.FAULTS["reset"], "no request met it", check="drill::reset")
    assert {one.outcome for one in recorder.verdicts("drill::reset")} == {Outcome.NOT_MEASURED}


def test_a_server_s_last_words_are_found_among_its_stack_traces(tmp_path):
    log = tmp_path / "milvus.log"
    assert last_words(log) == "it ended without a word"
    log.write_text("[INFO] starting\npanic: CRC check failed\n\ngoroutine 7 [running]:\n")
    assert last_words(log) == "panic: CRC check failed"
    log.write_text(f"panic: before\n{supervisor.START_MARK}\n[INFO] starting\n")
    assert last_words(log) == "it ended without a word"


def test_a_host_that_stalled_is_not_taken_for_the_drill_s_own_doing(tmp_path):
    log = tmp_path / "milvus.log"
    log.write_text("[ERROR] QueryCoord disconnected from etcd, process will exit\npanic: x\n")
    assert last_words(log) == benches.STALLED
    log.write_text(f"disconnected from etcd\n{supervisor.START_MARK}\npanic: later\n")
    assert last_words(log) == "panic: later"


def test_of_a_host_that_stalled_what_milvus_keeps_and_answers_is_judged_and_its_end_is_not(
    recorder,
):
    stalled = dataclasses.replace(GOOD, restarts=1, lost=1.0, stalled=benches.STALLED)
    found = outcomes(recorder, stalled)
    assert found["drill.rows_lost"] == {Outcome.FAIL}
    for gate in ("drill.restarts", "drill.recovery", "drill.requests_failed"):
        assert found[gate] == {Outcome.NOT_MEASURED}
    said = [one.not_measured for one in recorder.part.observations if one.not_measured]
    assert set(said) == {benches.STALLED}


def test_a_server_that_ends_once_is_counted_once_however_many_starts_it_takes(tmp_path):
    alive, starts = False, []

    def restart(**_):
        nonlocal alive
        starts.append(1)
        if len(starts) < 3:
            raise EmbeddedStackError("milvus ended while it started")
        alive = True

    bench: Any = Bench.__new__(Bench)
    bench.stack = SimpleNamespace(
        folder=tmp_path,
        status=lambda: SimpleNamespace(servers={"milvus": alive}),
        restart_milvus=restart,
    )
    bench.endings, bench._down, bench._keeping = [], False, threading.Lock()
    bench.connection, bench.target = SimpleNamespace(close=lambda: None), None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(benches, "connect", lambda _: bench.connection)
        for _ in range(2):
            with pytest.raises(EmbeddedStackError):
                bench.keep_up()
        assert bench.endings == ["it ended without a word"]
        bench.keep_up()
        bench.keep_up()
    assert bench.endings == ["it ended without a word"]


@pytest.mark.parametrize(
    ("parts", "lost"), [((0.0, 0.0), 0.0), ((None, 0.0), None), ((None, 3.0), 3.0)]
)
def test_rows_of_which_nothing_is_known_are_not_taken_for_kept(parts, lost):
    found = concluded(
        proofs={name: Proof(10, lost=one) for name, one in zip("ab", parts, strict=True)}
    )
    assert found.lost == lost


def test_answers_from_a_damaged_object_are_judged_apart_from_all_others():
    found = concluded(static=["early", "", "served", "", "late"], served=slice(2, 4))
    assert found.damage.tolist() == [1, 0]
    assert found.wrong.tolist() == [1, 0, 1]
    assert found.reasons["drill.damage_served"] == "served"
    assert found.reasons["drill.wrong_answers"] == "early"


def test_a_damaged_object_that_is_not_loaded_serves_nothing_wrong():
    assert concluded(served=slice(0, 0)).damage.tolist() == [0]
    assert concluded().damage.size == 0


def concluded(*, static=(), served=None, proofs=None):
    seen: Any = SimpleNamespace(
        live=SimpleNamespace(wrong=[]),
        static=SimpleNamespace(wrong=list(static)),
        failures=dict,
        evidence=dict,
    )
    back = recovery.Recovery(1.0, "", [])
    return conclude(seen, back, proofs or {}, failed=np.zeros(1), served=served)
