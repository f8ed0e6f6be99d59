"""The rate that a server sustains: a real one, one whose searches fail, and without a rule."""

import contextlib
import threading

import pytest

from validation.errors import ConfigurationError
from validation.load import loops, workers
from validation.local.lite import lite_target
from validation.milvus.connection import connect
from validation.milvus.ownership import drop_ours
from validation.report.store import read_results
from validation.runs import session
from validation.selftest.wire.answers import failed
from validation.selftest.wire.fault import WireFault
from validation.selftest.wire.proxy import WireProxy

pytestmark = [pytest.mark.slow, pytest.mark.release]

RULES = """
schema: milvus-kit/slo/1
rules:
  held.p99: {metric: search.latency.open_loop, statistic: p99, max: 5000, unit: ms}
  held.errors: {metric: search.errors, max: 0.01, unit: ratio}
  held.recall: {metric: ann_overlap@10, min: 0.9, unit: ratio}
"""
LIMIT = "  sustained: {metric: load.sustained_rate, min: 10, unit: searches/s, required: false}\n"


def slo(target, folder, rules, plan=None):
    """Run the family by itself, as ``milvus-kit slo`` does."""
    file = folder / "rules.yaml"
    file.write_text(rules)
    choices = session.Choices(
        rules=file,
        profile="selftest",
        plan=plan,
        families=("load",),
        metric="load.sustained_rate",
        runs=folder / "runs",
    )
    session.validate(target, choices)
    return read_results(folder / "runs" / "latest")


def test_a_real_server_sustains_a_rate_by_itself_and_beside_loading(embedded_target, tmp_path):
    found = slo(embedded_target, tmp_path, RULES + LIMIT)
    assert found.verdict in {"pass", "inconclusive"}  # a host that is full starves the client
    assert found.rules_source == "rules.yaml, load.sustained_rate alone"
    quiet, beside = (seen for seen in found.observations if seen.n and "load." in seen.metric)
    assert [one.labels["beside"] for one in (quiet, beside)] == ["nothing", "loading"]
    assert beside.evidence["loaded_beside"]
    for seen in (quiet, beside):
        assert seen.void or seen.n == 6
        assert seen.evidence["rules"] == ["held.p99", "held.errors", "held.recall"]
        assert {one["held"] for one in seen.evidence["trials"]} <= {"held", "broke", "open"}
        assert seen.evidence["client_could_send"] > 1_000


PLAN = """
schema: milvus-kit/load-plan/1
data: {rows: 3000, dim: 16, tenants: 10}
index: {kind: HNSW, build: {M: 8}, search: {ef: 100}}
mix:
  plain: {kind: search, weight: 4, top_k: {10: 2, 50: 1}, fields: [category, bucket]}
  filtered: {kind: search, selectivity: 0.1}
  tenants: {kind: search, tenant: true, fields: [tenant]}
  near: {kind: search, within: 5, top_k: 20}
  new: {kind: insert, rows: 5}
  changed: {kind: upsert}
  removed: {kind: delete, rows: 2}
queries: {choice: zipf, exponent: 0.9}
arrivals: {ramp: [0.5, 1.5]}
rules:
  held.p99: {metric: search.latency.open_loop, statistic: p99, max: 5000, unit: ms}
  held.recall: {metric: ann_overlap@10, min: 0.9, unit: ratio}
rate: 20
seconds: 3
"""


def test_a_plan_of_every_kind_is_answered_right_and_held(embedded_target, tmp_path):
    plan = tmp_path / "mixed.yaml"
    plan.write_text(PLAN)
    found = slo(embedded_target, tmp_path, RULES + LIMIT, plan)
    quiet, beside = (seen for seen in found.observations if "load." in seen.metric)
    for seen in (quiet, beside):
        assert seen.labels["plan"] == "mixed"
        assert seen.evidence["rules"] == ["held.p99", "held.recall"]
        trials = seen.evidence["trials"]
        assert {one["rate"] for one in trials} == {20.0}
        assert not [one for one in trials if "wrong" in one["why"] or one["failed"]]
        assert {name for one in trials for name in one["kinds"]} == {
            *("plain", "filtered", "tenants", "near", "new", "changed", "removed")
        }
    assert found.verdict in {"pass", "inconclusive"}  # a host that is full starves the client
    with connect(embedded_target) as connection:  # what was loaded for it is gone
        assert not [one for one in connection.client.list_collections() if "plan" in one]


HYBRID = """
schema: milvus-kit/load-plan/1
data: {corpus: true}
index: {kind: FLAT}
mix:
  both: {kind: hybrid}
  near: {kind: search}
rate: 10
seconds: 5
"""


@pytest.mark.parametrize("lite", [True, False])
def test_hybrid_search_is_offered_where_the_server_can(embedded_target, tmp_path, lite):
    plan = tmp_path / "both.yaml"
    plan.write_text(HYBRID)
    found = slo(lite_target(tmp_path) if lite else embedded_target, tmp_path, RULES + LIMIT, plan)
    seen = [one for one in found.observations if "load." in one.metric]
    if not lite:  # 2.3.5 has no keyword search
        assert not seen
        assert any("keyword search needs Milvus 2.5" in one.message for one in found.checks)
        assert found.verdict == "inconclusive"
        return
    trials = seen[0].evidence["trials"]
    assert not [one for one in trials if "wrong" in one["why"] or one["failed"]]
    assert {name for one in trials for name in one["kinds"]} == {"both", "near"}


def at_the_third_trial(monkeypatch, act):
    """Let something happen while the third trial of a run is under way."""
    original, trials = loops.offered, []

    def offered(*args, **named):
        trials.append(None)
        if len(trials) != 3:
            return original(*args, **named)
        timer = threading.Timer(0.5, act)
        timer.start()
        try:
            return original(*args, **named)
        finally:
            timer.join(10)

    monkeypatch.setattr(loops, "offered", offered)


def test_a_server_that_goes_away_under_the_load_fails_and_says_so(
    embedded_target, tmp_path, monkeypatch
):
    plan = tmp_path / "gone.yaml"
    plan.write_text(PLAN.replace("rate: 20\n", ""))
    with connect(embedded_target) as direct, WireProxy(direct.endpoint.address) as proxy:
        milvus = embedded_target.milvus.model_copy(update={"uri": f"http://{proxy.address}"})
        at_the_third_trial(monkeypatch, proxy.close)
        target = embedded_target.model_copy(update={"milvus": milvus})
        found = slo(target, tmp_path, RULES + LIMIT, plan)
        for name in direct.client.list_collections():  # nothing could be dropped through the proxy
            if "plan" in name:
                drop_ours(direct, name)
    assert found.verdict == "fail"
    red = next(gate for gate in found.gates if gate.outcome == "fail")
    assert "the server answers nothing any more" in red.reason
    seen = next(seen for seen in found.observations if "load." in seen.metric)
    assert len(seen.evidence["trials"]) >= 4  # those before it went away are kept


def test_a_worker_that_is_killed_leaves_its_trial_open_and_the_others_stand(
    embedded_target, tmp_path, monkeypatch
):
    started, original = [], workers._worker

    @contextlib.contextmanager
    def worker(limit):
        with original(limit) as one:
            started.append(one)
            yield one

    monkeypatch.setattr(workers, "_worker", worker)
    at_the_third_trial(monkeypatch, lambda: started[-1].kill())  # noqa: PLW0108  (not yet there)
    plan = tmp_path / "killed.yaml"
    plan.write_text(PLAN)
    found = slo(embedded_target, tmp_path, RULES + LIMIT, plan)
    quiet = next(seen for seen in found.observations if "load." in seen.metric)
    spoilt = [one for one in quiet.evidence["trials"] if "worker process" in one["why"]]
    assert [one["held"] for one in spoilt] == ["open"]
    assert quiet.n == 6  # it was made once more
    assert found.verdict in {"pass", "inconclusive"}


def test_a_server_whose_searches_fail_sustains_nothing(embedded_target, tmp_path):
    with connect(embedded_target) as direct, WireProxy(direct.endpoint.address) as proxy:
        milvus = embedded_target.milvus.model_copy(update={"uri": f"http://{proxy.address}"})
        proxy.arm(WireFault(frozenset({"Search"}), answer=failed, every=20, name="failing"))
        target = embedded_target.model_copy(update={"milvus": milvus})
        found = slo(target, tmp_path, RULES + LIMIT)
    assert found.verdict == "fail"
    red = [gate for gate in found.gates if gate.outcome == "fail"]
    assert [gate.observed for gate in red] == [0.0, 0.0]
    assert all("held." in gate.reason for gate in red)


def test_rules_that_say_nothing_of_a_sustained_rate_are_refused(embedded_target, tmp_path):
    with pytest.raises(ConfigurationError, match=r"no rule says what load\.sustained_rate"):
        slo(embedded_target, tmp_path, RULES)
    assert not (tmp_path / "runs").exists()
