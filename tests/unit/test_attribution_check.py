"""The check hands over what was measured, or why nothing was, and each time a line for readers."""

from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from validation.attribution.measure import Measured
from validation.attribution.model import ColdLoad, Cost, Searches
from validation.errors import UnsupportedError
from validation.load.plan import Plan
from validation.load.replies import read
from validation.milvus.indexes import index_named
from validation.milvus.storage_reads import StorageReads
from validation.milvus.wire import Endpoint
from validation.report import wording
from validation.runs.folder import assemble
from validation.runs.profiles import profile_named
from validation.runs.recorder import Recorder
from validation.suite import workload
from validation.suite.checks import test_attribution as check
from validation.target import Milvus, Target
from validation.verdicts.verdict import Outcome, Rule

RULES = [
    Rule(gate="latency", metric="search.latency.serial", statistic="p99", max=50, unit="ms"),
    Rule(gate="cold", metric=check.LOAD, max=0.5, unit="ratio"),
    Rule(gate="scores", metric="answers.wrong_scores", max=0, unit="hits"),
    Rule(gate="recall", metric="ann_overlap@10", min=0.95, unit="ratio"),
    Rule(gate="warm", metric=check.SEARCH, where={"state": "warm"}, max=0.5, unit="ratio"),
]


PROFILE = profile_named("smoke", rows=1_024, dim=4)
DATASET = workload.generated(PROFILE)
PLAN = Plan(Endpoint("here", "127.0.0.1:1"), (b"",) * len(DATASET.queries), (workload.K,))


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Run the check with something in the place of the measurement; return the run's results."""

    def run(measure):
        target = Target(name="prod", milvus=Milvus(uri="http://127.0.0.1:1"))
        recorder = Recorder(tmp_path, target, PROFILE, RULES)
        monkeypatch.setattr(check, "measure", measure)
        monkeypatch.setattr(check, "search_plan", lambda *_, **__: PLAN)
        collection = SimpleNamespace(name="c", under=partial(index_named, rows=1_024, k=10))
        check.test_the_store_does_not_hold_up_loads_and_searches(
            gate=recorder.observe,
            connection=None,
            generated=DATASET,
            generated_collection=collection,
            profile=recorder.profile,
            target=target,
            recorder=recorder,
        )
        recorder.write()
        return assemble(tmp_path, RULES, rules_source="", started=datetime.now(UTC))

    return run


def replied(n, wrong):
    """Replies with the exact neighbours, some with other distances than theirs."""
    return [reply(query, factor=1.5 if query in wrong else 1.0) for query in range(n)]


def reply(query, *, factor=1.0):
    """A reply to a query: the exact neighbours, their distances multiplied."""
    truth = workload.truth(PROFILE)
    found = schema_pb2.SearchResultData(num_queries=1, top_k=workload.K, topks=[workload.K])
    found.ids.int_id.data.extend(truth.rows[query].tolist())
    found.scores.extend((truth.distances[query] * factor).tolist())
    return milvus_pb2.SearchResults(results=found).SerializeToString()


def searches(state, n, *, wrong=()):
    nothing = np.full(n, np.nan)
    return Searches(
        state,
        np.full(n, 8.0),
        np.arange(n, dtype=float),
        Cost(nothing, nothing, nothing),
        counted=float(n),
        reads=StorageReads(0, 0, 0.0, 0.0, 0),
        replies=read(PLAN, np.arange(n), [""] * n, replied(n, wrong)),
    )


def measured(took, *, wrong=()):
    """Return a measurement of a load during which a read was under way for so many seconds."""
    reads = StorageReads(1, 0, took, took, 1_000)
    load = ColdLoad(10.0, 10.0, 1_000, 0, 1_000, in_flight=took, segments=1.0, reads=reads)
    return Measured(load, searches("cold", 20), searches("warm", 400, wrong=wrong), None)


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


def test_recall_is_not_judged_by_the_few_searches_of_a_cold_collection(checked):
    results = checked(lambda *_: measured(1.0))
    (gate,) = [gate for gate in results.gates if gate.gate == "recall"]
    assert (gate.labels["load"], gate.outcome) == ("warm", Outcome.PASS)


def test_a_stack_whose_load_waits_for_its_store_is_called_storage_bound(checked):
    results = checked(lambda *_: measured(8.0))
    (line,) = wording.answers(results)
    assert line.startswith("prod: this stack is storage-bound at its SLO")
    assert "80 % of the cold load; " in line
    assert line.endswith("0 % of the slowest 20 of 400 warm searches (compute-bound)")
    assert outcomes(results)["cold"] is Outcome.FAIL


def test_searches_with_a_wrong_answer_say_nothing_of_the_store(checked):
    results = checked(lambda *_: measured(1.0, wrong=(37,)))
    found = {
        (gate.gate, gate.labels.get("load") or gate.labels.get("state")): gate.outcome
        for gate in results.gates
    }
    assert found["scores", "warm"] is Outcome.FAIL
    assert found["scores", "cold"] is Outcome.PASS
    assert found["warm", "warm"] is Outcome.INCONCLUSIVE
    assert outcomes(results)["cold"] is Outcome.PASS
    (warm,) = [gate for gate in results.gates if gate.gate == "warm"]
    assert warm.reason == "1 of 400 answers were wrong (answers.wrong_scores)"


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
