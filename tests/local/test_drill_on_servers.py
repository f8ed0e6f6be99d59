"""The drill on real servers: what it finds is really there, and what it survives was really met."""

import contextlib
import math

import pytest

from validation.cli import drill as command
from validation.common.progress import Progress
from validation.datasets.generated import generate
from validation.drill import bench as benches
from validation.drill import exercise, recovery, trial
from validation.drill.acts import scripted
from validation.drill.faults import FAULTS, Scripted
from validation.drill.runner import PROFILE
from validation.errors import ExitCode, MeasurementError
from validation.report.store import read_results
from validation.s3.faults.script import Fault, Kind

OWN_ACCESS = [one for one in FAULTS.values() if one.own_access]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    dataset = generate(30_000, 16, queries=PROFILE.queries)
    folder = tmp_path_factory.mktemp("drill") / "stack"
    with benches.running(folder, dataset, Progress(quiet=True)) as running:
        yield running


@pytest.fixture
def short(monkeypatch):
    """What is not about a fault's own effect needs no long fault."""
    monkeypatch.setattr(trial, "HOLD_SECONDS", 2.0)


@pytest.fixture
def hasty(monkeypatch):
    """What will not come need not be waited for."""
    monkeypatch.setattr(trial, "_LATE_SECONDS", 3.0)


@pytest.mark.usefixtures("short", "hasty")
def test_a_fault_that_no_request_meets_proves_nothing(bench):
    nowhere = Scripted("nowhere", "", scripted(Fault(Kind.RESET, path="/no/such/key")))
    with pytest.raises(MeasurementError, match="met the fault"):
        trial.run_trial(bench, nowhere)


@pytest.mark.usefixtures("short", "hasty")
def test_a_fault_that_only_other_reads_meet_than_those_of_static_proves_nothing(bench):
    number = bench.connection.client.describe_collection(bench.live.name)["collection_id"]
    elsewhere = Scripted("elsewhere", "", scripted(Fault(Kind.DELAY, path=f"insert_log/{number}")))
    with pytest.raises(MeasurementError, match="no read of static met the fault"):
        trial.run_trial(bench, elsewhere)


@pytest.mark.usefixtures("short", "hasty")
def test_a_static_that_stays_in_memory_proves_nothing(bench, monkeypatch):
    def kept(_, name):
        raise MeasurementError(f"{name} is in state Loaded")

    monkeypatch.setattr(exercise, "release", kept)
    with pytest.raises(MeasurementError, match=r"static was not released .*state Loaded"):
        trial.run_trial(bench, FAULTS["none"])


@pytest.mark.usefixtures("short", "hasty")
def test_a_static_that_is_not_loaded_again_proves_nothing(bench, monkeypatch):
    def forgotten(*_, **__):
        raise MeasurementError("no")

    with monkeypatch.context() as patched:
        patched.setattr(exercise.loading, "load_for_search", forgotten)
        patched.setattr(recovery, "PATIENCE_SECONDS", 0.0)
        with pytest.raises(MeasurementError, match="static was not read"):
            trial.run_trial(bench, FAULTS["none"])
    bench.renew()


def test_a_release_that_leaves_a_collection_loaded_is_none(bench, monkeypatch):
    monkeypatch.setattr(bench.connection.client, "release_collection", lambda *_, **__: None)
    with pytest.raises(MeasurementError, match="state Loaded after it was released"):
        exercise.release(bench.connection, bench.live.name)


def test_resets_are_survived_without_losing_a_row_and_the_run_says_so(
    bench, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(trial, "HOLD_SECONDS", 5.0)

    @contextlib.contextmanager
    def shared(folder, *_):
        """Give the servers that run already, and leave files as servers of its own would."""
        (folder / "logs").mkdir(parents=True)
        (folder / "logs" / "milvus.log").touch()
        yield bench

    monkeypatch.setattr(benches, "running", shared)
    code = command.command(
        fault=["reset"], rules=None, keep=False, runs=tmp_path, list_faults=False
    )
    (folder,) = [one for one in tmp_path.iterdir() if not one.is_symlink()]
    results = read_results(folder)
    assert code is ExitCode.PASS, [gate for gate in results.gates if gate.outcome != "pass"]
    seen = {(gate.gate, gate.labels.get("fault")) for gate in results.gates}
    assert ("drill.rows_lost", "reset") in seen
    lost = next(one for one in results.observations if one.metric == "drill.rows_lost")
    met = lost.evidence["requests_that_met_it"]
    assert met > 0
    assert lost.evidence["reads_of_static_that_met_it"] > 0
    assert f"reset: met by {met} requests" in capsys.readouterr().out
    assert f"met by {met} requests" in (folder / "report.html").read_text()
    assert (folder / "junit.xml").exists()
    assert (folder / "logs" / "milvus.log").exists()
    assert not (folder / "stack").exists()


@pytest.mark.slow
def test_a_milvus_that_keeps_its_old_key_never_recovers_from_that_key_s_removal(bench, monkeypatch):
    monkeypatch.setattr(trial, "HOLD_SECONDS", 2.0)
    monkeypatch.setattr(recovery, "PATIENCE_SECONDS", 4.0)
    bench.take_own_access()
    old = bench.own.key
    try:
        with monkeypatch.context() as patched:
            patched.setattr(bench, "replace_key", lambda: old)
            found = trial.run_trial(bench, FAULTS["replaced-key"])
    finally:
        bench.own.keys.restore(old)
    assert math.isinf(found.seconds_to_recover)
    assert found.lost is None
    bench.renew()


@pytest.mark.slow
@pytest.mark.parametrize("fault", OWN_ACCESS, ids=lambda one: one.name)
def test_milvus_meets_real_faults_of_certificates_and_keys_and_loses_no_row(
    bench, fault, monkeypatch
):
    monkeypatch.setattr(trial, "HOLD_SECONDS", 6.0)  # in which Milvus must come to the store
    found = trial.run_trial(bench, fault)
    assert found.evidence["requests_that_met_it"] > 0
    assert found.evidence["static_released"]
    assert found.clean, found
    assert not found.failed.any()
