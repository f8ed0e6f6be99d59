"""Each gate of the drill turns red on real servers for its own defect, and no other gate does."""

import contextlib

import numpy as np
import pytest

from validation.common.progress import Progress
from validation.common.resources import find
from validation.datasets.generated import generate
from validation.drill import bench as benches
from validation.drill import damage, recovery, trial
from validation.drill.acts import quiet, scripted
from validation.drill.faults import Scripted
from validation.drill.runner import PROFILE, RULES, observe
from validation.local import process, state
from validation.milvus import loading, objects, searching
from validation.runs.recorder import Recorder
from validation.s3.client.boto import connect
from validation.s3.faults.script import Fault, Kind
from validation.verdicts import rules

FEW = 7
pytestmark = pytest.mark.slow
ANY_REQUEST = scripted(Fault(Kind.DELAY, seconds=0.0))
"""Harms nobody, and does not claim that no request may fail meanwhile."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    dataset = generate(30_000, 16, queries=PROFILE.queries)
    folder = tmp_path_factory.mktemp("drill") / "stack"
    with benches.running(folder, dataset, Progress(quiet=True)) as running:
        yield running


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(trial, "HOLD_SECONDS", 3.0)


@pytest.fixture
def damaged(bench):
    """Leave fresh collections behind a test that damages them."""
    yield
    bench.renew()


@pytest.fixture
def verdicts(bench, tmp_path):
    """Judge findings by the drill's own rules; return verdicts by outcome, gate and reason."""

    def judged(found):
        recorder = Recorder(tmp_path, bench.target, PROFILE, rules.load(find(RULES)))
        observe(recorder, Scripted("planted", "", quiet), found, check="planted")
        seen = {}
        for verdict in recorder.verdicts("planted"):
            seen.setdefault(verdict.outcome.value, {})[verdict.gate] = verdict.reason
        return seen

    return judged


def while_held(doing, act=quiet):
    """Return a fault that does something to the bench when it begins."""

    @contextlib.contextmanager
    def acting(bench, traffic):
        with act(bench, traffic) as seen:
            doing(bench)
            yield seen

    return Scripted("planted", "", acting)


def after_recovery(monkeypatch, doing):
    """Do something to the bench once all works again, before what is stored is looked at."""
    original = recovery.recover

    def recovered(bench, *rest):
        found = original(bench, *rest)
        doing(bench)
        return found

    monkeypatch.setattr(trial, "recover", recovered)
    return Scripted("planted", "", quiet)


def far_rows(bench):
    """Return rows that are no query's neighbours, so that no answer changes without them."""
    near = np.unique(bench.live.expected(bench.dataset).truth.rows)
    return [int(row) for row in np.flatnonzero(bench.live.acknowledged) if row not in near]


def test_without_a_defect_every_gate_passes(bench, verdicts):
    found = trial.run_trial(bench, Scripted("planted", "", quiet))
    assert set(verdicts(found)) == {"pass"}
    assert found.clean
    for kind in ("live", "static"):
        assert found.evidence[f"rows_{kind}"]["reads_to_load_it"] > 0


@pytest.mark.usefixtures("damaged")
def test_deleted_rows_are_lost(bench, verdicts):
    gone = far_rows(bench)[:FEW]

    def delete(bench):
        bench.connection.client.delete(bench.live.name, filter=f"id in {gone}", timeout=30)

    found = trial.run_trial(bench, while_held(delete))
    seen = verdicts(found)
    assert seen["fail"] == {
        "drill.rows_lost": f"live: of {bench.live.acknowledged.sum():,} acknowledged rows "
        "7 missing, 0 changed, 0 not counted"
    }
    assert found.lost == FEW
    assert not found.clean


@pytest.mark.usefixtures("damaged")
def test_objects_that_vanish_from_the_store_are_lost_though_memory_still_answers(
    bench, verdicts, monkeypatch
):
    def delete(bench):
        storage = bench.target.storage
        client = connect(storage)
        _, stored = objects.listed(bench.connection, bench.live.name, storage)
        for one in stored:
            client.delete_object(Bucket=storage.bucket, Key=one.key)
        monkeypatch.setattr(recovery, "PATIENCE_SECONDS", 5.0)

    found = trial.run_trial(bench, after_recovery(monkeypatch, delete))
    seen = verdicts(found)
    assert set(seen["fail"]) == {"drill.rows_lost"}
    assert "none of" in seen["fail"]["drill.rows_lost"]
    assert "cannot be loaded from the store" in seen["fail"]["drill.rows_lost"]
    assert found.lost == bench.live.acknowledged.sum()
    assert set(seen["not measured"]) == {"drill.rows_unexpected", "drill.recall"}
    assert found.overlaps["static"].min() == 1


@pytest.mark.usefixtures("damaged")
def test_rows_that_are_stored_twice_are_unexpected_though_reading_merges_them(
    bench, verdicts, monkeypatch
):
    def repeat(bench):
        rows = np.array(far_rows(bench)[:100])
        loading.insert(bench.connection, bench.live.name, bench.dataset.taken(rows))

    found = trial.run_trial(bench, after_recovery(monkeypatch, repeat))
    seen = verdicts(found)
    assert set(seen["fail"]) == {"drill.rows_unexpected"}
    assert found.unexpected == 100
    counted = f"{bench.live.acknowledged.sum() + 100:,} rows are counted"
    assert counted in seen["fail"]["drill.rows_unexpected"]


def test_a_row_whose_acknowledgement_was_lost_and_that_was_not_sent_again_may_be_there(
    bench, verdicts, monkeypatch
):
    original, failed = loading.insert, []

    def unacknowledged(connection, name, batch):
        found = original(connection, name, batch)
        if name == bench.live.name and len(failed) < 3:
            failed.append(batch.ids)
            raise loading.MeasurementError("the answer was lost")
        return found

    monkeypatch.setattr(loading, "insert", unacknowledged)
    found = trial.run_trial(bench, Scripted("planted", "", ANY_REQUEST))
    rows = np.concatenate(failed)
    assert bench.live.present[rows].all()
    assert not bench.live.acknowledged[rows].any()
    assert "fail" not in verdicts(found)
    assert found.clean


def test_searches_that_are_blind_to_what_was_written_meanwhile_are_wrong(
    bench, verdicts, monkeypatch
):
    original, old = searching.search, bench.live.sent
    with monkeypatch.context() as patched:

        def blind(connection, name, vectors, **options):
            if name == bench.live.name:
                options["filter"] = f"id < {old}"
            return original(connection, name, vectors, **options)

        def sighted(_):
            patched.setattr(searching, "search", original)

        patched.setattr(searching, "search", blind)
        found = trial.run_trial(bench, after_recovery(patched, sighted))
    seen = verdicts(found)
    assert set(seen["fail"]) == {"drill.wrong_answers"}
    assert "nearer rows left out" in seen["fail"]["drill.wrong_answers"]


def test_wrong_answers_of_static_are_noticed_as_soon_as_it_is_loaded_again(
    bench, verdicts, monkeypatch
):
    original = searching.search

    def half(connection, name, vectors, **options):
        if name == bench.static.name and len(vectors) == 1:
            options["filter"] = "id < 1500"
        return original(connection, name, vectors, **options)

    monkeypatch.setattr(searching, "search", half)
    found = trial.run_trial(bench, Scripted("planted", "", quiet))
    assert set(verdicts(found)["fail"]) == {"drill.wrong_answers"}


def test_answers_from_a_damaged_object_are_held_against_a_gate_of_their_own(
    bench, verdicts, monkeypatch
):
    original = searching.search
    monkeypatch.setattr(damage, "flipped", lambda body: body)  # so that Milvus surely loads it

    def half(connection, name, vectors, **options):
        if name == bench.static.name:
            options["filter"] = "id < 1500"
        return original(connection, name, vectors, **options)

    @contextlib.contextmanager
    def served(bench, traffic):
        with (
            pytest.MonkeyPatch.context() as patched,
            damage.damaged_object(bench, traffic) as seen,
        ):
            patched.setattr(searching, "search", half)
            yield seen

    monkeypatch.setattr(trial, "HOLD_SECONDS", 8.0)  # in which static must be loaded again
    found = trial.run_trial(bench, Scripted("planted", "", served))
    assert set(verdicts(found)["fail"]) == {"drill.damage_served"}
    assert len(found.damage) >= PROFILE.queries
    assert found.clean


def test_searches_that_fail_without_a_fault_are_failures(bench, verdicts, monkeypatch):
    original, asked = searching.search, []

    def refused(connection, name, vectors, **options):
        asked.append(name)
        if len(asked) % 5 == 0 and len(vectors) == 1:
            options["k"] = 1_000_000  # more than Milvus allows
        return original(connection, name, vectors, **options)

    monkeypatch.setattr(searching, "search", refused)
    found = trial.run_trial(bench, Scripted("planted", "", quiet))
    seen = verdicts(found)
    assert set(seen["fail"]) == {"drill.requests_failed"}
    assert "searches of live: Milvus could not search" in seen["fail"]["drill.requests_failed"]


def test_a_milvus_that_ends_is_started_again_and_counted_once(bench, verdicts, monkeypatch):
    monkeypatch.setattr(trial, "HOLD_SECONDS", 20.0)  # in which it must be there again

    def kill(bench):
        found = state.read(bench.stack.folder)
        assert found is not None
        process.stop(found.servers["milvus"], kill=True)

    found = trial.run_trial(bench, while_held(kill, ANY_REQUEST))
    seen = verdicts(found)
    assert seen["fail"] == {"drill.restarts": "it ended without a word"}
    assert found.restarts == 1


@pytest.mark.usefixtures("damaged")
def test_a_store_that_stays_away_is_never_recovered_from_and_the_step_is_named(
    bench, verdicts, monkeypatch
):
    monkeypatch.setattr(recovery, "PATIENCE_SECONDS", 4.0)
    dead = Scripted("dead", "", scripted(Fault(Kind.INTERNAL_ERROR)))
    with monkeypatch.context() as patched:
        patched.setattr(bench.proxy.script, "disarm", lambda: None)
        found = trial.run_trial(bench, dead)
    bench.proxy.script.disarm()
    seen = verdicts(found)
    assert set(seen["fail"]) == {"drill.recovery"}
    assert seen["fail"]["drill.recovery"].startswith("it never recovered: load static")
    assert {"drill.rows_lost", "drill.rows_unexpected", "drill.recall"} <= set(seen["not measured"])
