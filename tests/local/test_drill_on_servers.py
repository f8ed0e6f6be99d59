"""The drill on real servers: what it finds is really there, and what it plants is found."""

import contextlib
import math

import pytest

from validation.cli import drill as command
from validation.datasets.generated import generate
from validation.drill import bench as benches
from validation.drill import meeting
from validation.drill.acts import scripted
from validation.drill.faults import FAULTS, Scripted
from validation.drill.runner import PROFILE
from validation.errors import ExitCode, MeasurementError
from validation.milvus import loading
from validation.progress import Progress
from validation.report.store import read_results
from validation.s3.faults.script import Fault, Kind

DELETED = 7
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
    monkeypatch.setattr(meeting, "HOLD_SECONDS", 2.0)


@pytest.mark.usefixtures("short")
def test_a_fault_that_no_request_meets_proves_nothing(bench, monkeypatch):
    monkeypatch.setattr(meeting, "_recovery", lambda *_: 0.0)  # it was not even away
    nowhere = Scripted("nowhere", "", scripted(Fault(Kind.RESET, path="/no/such/key")))
    with pytest.raises(MeasurementError, match="met the fault"):
        meeting.meet(bench, nowhere)


@pytest.mark.usefixtures("short")
def test_rows_deleted_behind_the_drill_s_back_are_lost_and_missed_in_answers(bench, monkeypatch):
    original, deleted = meeting._suffer, []

    def losing(bench, traffic, fault):
        deleted.extend(bench.live.truth(bench.dataset).rows[0, :DELETED].tolist())
        bench.connection.client.delete(bench.live.name, filter=f"id in {deleted}", timeout=30)
        return original(bench, traffic, fault)

    monkeypatch.setattr(meeting, "_suffer", losing)
    met = meeting.meet(bench, FAULTS["none"])
    assert met.lost == DELETED
    assert met.overlaps["live"].min() < 1
    assert met.overlaps["static"].min() == 1
    assert not met.clean
    bench.live.acknowledged[deleted] = bench.live.present[deleted] = False


@pytest.mark.usefixtures("short")
def test_searches_that_fail_without_a_fault_are_counted(bench, monkeypatch):
    original = meeting._suffer

    def releasing(bench, traffic, fault):
        bench.connection.client.release_collection(bench.live.name, timeout=30)
        suffered = original(bench, traffic, fault)
        loading.load_for_search(bench.connection, bench.live.name)
        return suffered

    monkeypatch.setattr(meeting, "_suffer", releasing)
    met = meeting.meet(bench, FAULTS["none"])
    assert met.failed.any()
    assert met.lost == 0


@pytest.mark.usefixtures("short")
def test_a_store_that_stays_away_is_never_recovered_from(bench, monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 4.0)
    monkeypatch.setattr(meeting, "_prove", lambda *_: None)  # it waits for answers; none will come
    dead = Scripted("dead", "", scripted(Fault(Kind.INTERNAL_ERROR)))
    with monkeypatch.context() as patched:
        patched.setattr(bench.proxy.script, "disarm", lambda: None)
        met = meeting.meet(bench, dead)
    bench.proxy.script.disarm()
    assert math.isinf(met.seconds_to_recover)
    assert not met.clean


def test_resets_are_survived_without_losing_a_row_and_the_run_says_so(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(meeting, "HOLD_SECONDS", 5.0)

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
    assert lost.evidence["requests_that_met_it"] > 0
    assert (folder / "report.html").exists()
    assert (folder / "junit.xml").exists()
    assert (folder / "logs" / "milvus.log").exists()
    assert not (folder / "stack").exists()


def test_a_milvus_that_keeps_its_old_key_never_recovers_from_that_key_s_removal(bench, monkeypatch):
    monkeypatch.setattr(meeting, "HOLD_SECONDS", 2.0)
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 4.0)
    monkeypatch.setattr(meeting, "_prove", lambda *_: None)  # it waits for answers; none will come
    bench.take_own_access()
    old = bench.own.key
    with monkeypatch.context() as patched:
        patched.setattr(bench, "replace_key", lambda: old)
        met = meeting.meet(bench, FAULTS["replaced-key"])
    bench.own.keys.restore(old)
    assert math.isinf(met.seconds_to_recover)


@pytest.mark.parametrize("fault", OWN_ACCESS, ids=lambda one: one.name)
def test_milvus_meets_real_faults_of_certificates_and_keys_and_loses_no_row(
    bench, fault, monkeypatch
):
    monkeypatch.setattr(meeting, "HOLD_SECONDS", 6.0)  # in which Milvus must come to the store
    met = meeting.meet(bench, fault)
    assert met.evidence["requests_that_met_it"] > 0
    assert met.clean, met
    assert not met.failed.any()
