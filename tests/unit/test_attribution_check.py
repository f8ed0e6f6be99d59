"""The check hands over what was measured, or why nothing was, and each time a line for readers."""

from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from validation.attribution.measure import Measured
from validation.attribution.model import ColdLoad, Cost, Searches
from validation.checks import test_attribution as check
from validation.errors import UnsupportedError
from validation.milvus.indexes import index_named
from validation.milvus.storage_reads import StorageReads
from validation.profiles import profile_named
from validation.recorder import Recorder
from validation.report import wording
from validation.runs import assemble
from validation.target import Milvus, Target
from validation.verdict import Outcome, Rule

RULES = [
    Rule(gate="latency", metric="search.latency.serial", statistic="p99", max=50, unit="ms"),
    Rule(gate="cold", metric=check.LOAD, max=0.5, unit="ratio"),
    Rule(gate="warm", metric=check.SEARCH, where={"state": "warm"}, max=0.5, unit="ratio"),
]


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Run the check with something in the place of the measurement; return the run's results."""

    def run(measure):
        target = Target(name="prod", milvus=Milvus(uri="http://127.0.0.1:1"))
        recorder = Recorder(tmp_path, target, profile_named("smoke"), RULES)
        monkeypatch.setattr(check, "measure", measure)
        monkeypatch.setattr(check, "search_plan", lambda *_, **__: None)
        collection = SimpleNamespace(name="c", under=partial(index_named, rows=5_000, k=10))
        check.test_the_store_does_not_hold_up_loads_and_searches(
            gate=recorder.observe,
            connection=None,
            generated=SimpleNamespace(queries=SimpleNamespace(vectors=[])),
            generated_collection=collection,
            profile=recorder.profile,
            target=target,
            recorder=recorder,
        )
        recorder.write()
        return assemble(tmp_path, RULES, rules_source="", started=datetime.now(UTC))

    return run


def searches(state, n):
    nothing = np.full(n, np.nan)
    return Searches(
        state,
        np.full(n, 8.0),
        np.arange(n, dtype=float),
        Cost(nothing, nothing, nothing),
        counted=float(n),
        reads=StorageReads(0, 0, 0.0, 0.0, 0),
    )


def measured(took):
    """Return a measurement of a load during which a read was under way for so many seconds."""
    reads = StorageReads(1, 0, took, took, 1_000)
    load = ColdLoad(10.0, 10.0, 1_000, 0, 1_000, in_flight=took, segments=1.0, reads=reads)
    return Measured(load, searches("cold", 20), searches("warm", 400), None)


def outcomes(results):
    return {gate.gate: gate.outcome for gate in results.gates}


def test_a_stack_that_does_not_wait_for_its_store_is_called_compute_bound(checked):
    results = checked(lambda *_: measured(1.0))
    (line,) = wording.answers(results)
    assert line == (
        "prod: this stack is compute-bound at its SLO (latency: p99 <= 50 ms; one search at a time"
        " here: 8 ms [8, 8], n = 400): the store explains 10 % of the cold load; the store"
        " explains 0 % of the slowest 1 of 20 cold searches; the store explains 0 % of the slowest"
        " 20 of 400 warm searches"
    )
    assert outcomes(results)["cold"] is outcomes(results)["warm"] is Outcome.PASS


def test_a_stack_whose_load_waits_for_its_store_is_called_storage_bound(checked):
    results = checked(lambda *_: measured(8.0))
    (line,) = wording.answers(results)
    assert line.startswith("prod: this stack is storage-bound at its SLO")
    assert "80 % of the cold load; " in line
    assert line.endswith("0 % of the slowest 20 of 400 warm searches (compute-bound)")
    assert outcomes(results)["cold"] is Outcome.FAIL


def test_where_nothing_can_be_measured_the_line_and_each_gate_say_why_and_what_to_do(checked):
    def refuse(*_):
        raise UnsupportedError("the target declares no storage", remedy="declare it")

    results = checked(refuse)
    assert wording.answers(results) == [
        (
            "prod: this stack is undecided at its SLO (latency: p99 <= 50 ms):"
            " the target declares no storage: declare it"
        )
    ]
    assert outcomes(results)["cold"] is outcomes(results)["warm"] is Outcome.NOT_MEASURED
    reasons = {one.not_measured for one in results.observations}
    assert reasons == {"the target declares no storage: declare it"}
