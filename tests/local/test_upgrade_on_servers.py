"""Real upgrades of the embedded server, on one folder and one bucket: 2.3.3, 2.3.5, and back.

What is planted must be caught by its own gate. Margins are wide: these hosts are busy, and tests
assert facts, never times.
"""

import contextlib
import json

import numpy as np
import pytest

from tests.e2e.images import bases
from tests.local.test_backup_on_servers import BITS, TYPES, of_bits, of_types
from tests.unit.test_upgrade_sides import measured
from validation import cli
from validation.common.progress import Progress
from validation.datasets.generated import generate
from validation.errors import ExitCode
from validation.local import milvus
from validation.local.stack import EmbeddedStack
from validation.milvus import loading, searching
from validation.milvus.connection import connect
from validation.milvus.indexes import IndexSpec, index_named
from validation.selftest.wire.fault import WireFault
from validation.selftest.wire.proxy import WireProxy
from validation.target import save
from validation.upgrade import differing, document, making, measuring, side
from validation.upgrade.plan import NAME, plan_for

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(1800)]
OLD, NEW = "2.3.3", "2.3.5"
ORDER = ["HNSW", "IVF_FLAT", "FLAT", "AUTOINDEX", "BIN_IVF_FLAT", "Trie", "STL_SORT"]
DATASET = generate(3_000, 16, queries=5)
DELETED = np.arange(0, 3_000, 7)
RULES = """
schema: milvus-kit/slo/1
rules:
  data: {metric: upgrade.differences, max: 0, unit: differences}
  answers: {metric: upgrade.wrong_answers, max: 0, unit: answers}
  requests: {metric: upgrade.requests_failed, max: 0, unit: requests}
  recall: {metric: upgrade.recall_loss, max: 0.05, unit: ratio}
  search: {metric: upgrade.slowdown, where: {of: search}, max: 8, unit: ratio}
  filtered: {metric: upgrade.slowdown, where: {of: filtered search}, max: 8, unit: ratio}
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Run a version of the server on the test's folder; yield its stack."""
    if not milvus._home(OLD).exists():
        bases.milvus_files(OLD, tmp_path / "wheel")

    @contextlib.contextmanager
    def running(version):
        monkeypatch.setattr(milvus, "installed_version", lambda: version)
        with EmbeddedStack(tmp_path / "stack") as stack, connect(stack.target) as connection:
            assert connection.server_version.startswith(f"v{version}")
            yield stack, connection

    return running


def with_deletes(connection, name, kind="HNSW"):
    """A user's collection of which every seventh row was deleted."""
    index = IndexSpec(kind) if kind == "AUTOINDEX" else index_named(kind, DATASET.rows)
    loading.load(connection, DATASET, name=name, index=index, run="tests")
    connection.client.delete(name, ids=DELETED.tolist())
    loading.flush(connection, name)


def manifest_of(connection, folder):
    making.make(connection, folder, Progress(quiet=True))
    return folder


def served(connection, name):
    loading.load_for_search(connection, name, seconds=120)


def test_an_upgrade_and_the_way_back_keep_every_row_and_what_is_planted_is_named(server, tmp_path):
    """Every kind of index that 2.3 has and that its builds from PyPI finish: not DISKANN."""
    kinds = {f"mk_{kind.lower()}": kind for kind in ("HNSW", "IVF_FLAT", "FLAT", "AUTOINDEX")}
    others = {TYPES: ["HNSW", "Trie", "STL_SORT"], BITS: ["BIN_IVF_FLAT"]}
    with server(OLD) as (_, connection):
        for name, kind in kinds.items():
            with_deletes(connection, name, kind)
        of_types(connection.client)
        of_bits(connection.client)
        served(connection, BITS)
        before = manifest_of(connection, tmp_path / "before")
        assert kinds_in(before) == {name: [kind] for name, kind in kinds.items()} | others
    with server(NEW) as (_, connection):
        for name in (*kinds, *others):
            served(connection, name)
        assert differing.differ(before, manifest_of(connection, tmp_path / "after")).found == []
        _planted(connection, before, tmp_path)
    with server(OLD) as (_, connection):
        untouched = [name for name in (*kinds, *others) if name not in {"mk_hnsw", "mk_flat"}]
        for name in (*kinds, *others):
            served(connection, name)
        back = differing.differ(before, manifest_of(connection, tmp_path / "back"))
        assert [text for text in back.found if text.startswith((*untouched,))] == []
        for name in ("mk_ivf_flat", "mk_autoindex"):
            answers = searching.search(connection, name, DATASET.queries.vectors, k=10)
            assert (answers.found == 10).all()
        (found,) = connection.client.search(BITS, [(300).to_bytes(4, "big")], limit=1)
        assert (found[0]["id"], found[0]["distance"]) == (300, 0)


def kinds_in(manifest):
    """The kinds of index of each collection, as they came."""
    return {
        name: sorted((one["index_type"] for one in made.indexes.values()), key=ORDER.index)
        for name, made in document.load(manifest).collections.items()
    }


def _planted(connection, before, tmp_path):
    """Lose a row, let deletes come back, change an index: each is named, and nothing else."""
    client = connection.client
    client.delete("mk_hnsw", ids=[10])
    lost = differing.differ(before, manifest_of(connection, tmp_path / "lost")).found
    assert lost[1] == "mk_hnsw, partition _default: 1 rows are missing; first keys: 10"
    rows = DATASET.taken(np.array([7, 14, 21]))
    loading.insert(connection, "mk_flat", rows)
    index = index_named("HNSW", DATASET.rows)
    client.release_collection("mk_hnsw")
    client.drop_index("mk_hnsw", "vector")
    wanted = client.prepare_index_params()
    changed = {**index.build, "M": 4}
    wanted.add_index(
        "vector", index_type="HNSW", index_name="vector", metric_type="L2", params=changed
    )
    client.create_index("mk_hnsw", wanted)
    served(connection, "mk_hnsw")
    found = differing.differ(before, manifest_of(connection, tmp_path / "planted")).found
    assert "mk_hnsw: indexes.vector.M was '16', now '4'" in found
    back = "mk_flat, partition _default: 3 rows were not there before; first keys: 7, 14, 21"
    assert back in found
    assert len(found) == 5  # and two counts, and the row that was lost


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(one) for one in arguments])
    return ended.value.code


def gates_of(folder):
    document = json.loads((folder / "results.json").read_text())
    return {gate["gate"]: gate for gate in document["gates"]}


def test_a_baseline_and_a_comparison_across_a_real_upgrade(server, tmp_path, monkeypatch):
    rules, base = tmp_path / "rules.slo.yaml", tmp_path / "base"
    rules.write_text(RULES)
    monkeypatch.setattr(measuring, "SEARCHES", 60)
    monkeypatch.setattr(measuring, "_TRIES", 1)
    with server(OLD) as (stack, connection):
        with_deletes(connection, "mk_theirs")
        target = stack.status().target_file
        asked = ("--rules", rules, "--rows", 3_000, "--dim", 16)
        code = command("baseline", "--target", target, "-o", base, *asked)
        assert code in {ExitCode.PASS, ExitCode.INCONCLUSIVE}  # by how busy this host is
    with server(NEW) as (stack, connection):
        target = stack.status().target_file
        code = command("compare", base, "--target", target, "-o", tmp_path / "after")
        gates = gates_of(tmp_path / "after")
        assert code in {ExitCode.PASS, ExitCode.INCONCLUSIVE}, gates
        for name in ("data", "answers", "requests", "recall"):
            assert gates[name]["outcome"] == "pass", gates[name]
        assert command("compare", base, tmp_path / "after") == code
    with server(OLD) as (stack, _):  # and back: the same plan judges it
        target = stack.status().target_file
        code = command("compare", base, "--target", target, "-o", tmp_path / "back")
        gates = gates_of(tmp_path / "back")
        assert code in {ExitCode.PASS, ExitCode.INCONCLUSIVE}, gates
        for name in ("data", "answers", "requests", "recall"):
            assert gates[name]["outcome"] == "pass", gates[name]


def test_a_version_never_fails_against_itself(server, tmp_path, monkeypatch):
    rules, base = tmp_path / "rules.slo.yaml", tmp_path / "base"
    rules.write_text(RULES)
    monkeypatch.setattr(measuring, "SEARCHES", 60)
    monkeypatch.setattr(measuring, "_TRIES", 1)
    with server(NEW) as (stack, _):
        target = stack.status().target_file
        asked = ("--rules", rules, "--rows", 3_000, "--dim", 16)
        command("baseline", "--target", target, "-o", base, *asked)
        for number in range(3):
            after = tmp_path / str(number)
            code = command("compare", base, "--target", target, "-o", after)
            assert code in {ExitCode.PASS, ExitCode.INCONCLUSIVE}, gates_of(after)
            assert gates_of(after)["data"]["outcome"] == "pass"


def test_a_lost_row_and_a_delay_of_every_search_turn_their_gates_red(server, tmp_path, monkeypatch):
    rules, base = tmp_path / "rules.slo.yaml", tmp_path / "base"
    rules.write_text(RULES)
    monkeypatch.setattr(measuring, "SEARCHES", 30)
    with server(NEW) as (stack, connection), WireProxy(connection.endpoint.address) as proxy:
        plan = plan_for(stack.target, rules, rounds=10, seed=1, rows=3_000, dim=16)
        measuring.prepare(connection, plan, plan.dataset(), Progress(quiet=True))
        side.begin(base, plan, ())
        manifest_of(connection, base / side.MANIFEST)
        side.end(base, plan, measured(1, count=10), ())  # of a quiet host
        connection.client.delete(NAME, ids=[2_999])
        milvus_behind = stack.target.milvus.model_copy(update={"uri": f"http://{proxy.address}"})
        save(stack.target.model_copy(update={"milvus": milvus_behind}), tmp_path / "behind.yaml")
        proxy.arm(WireFault(frozenset({"Search"}), seconds=0.1, name="planted"))
        given = ("--target", tmp_path / "behind.yaml", "-o", tmp_path / "after")
        assert command("compare", base, *given) == ExitCode.FAIL
    gates = gates_of(tmp_path / "after")
    assert "1 rows are missing; first keys: 2999" in gates["data"]["reason"]
    assert {gates[name]["outcome"] for name in ("data", "search", "filtered")} == {"fail"}


def test_a_version_that_is_not_the_declared_one_is_not_measured(server, tmp_path):
    with server(OLD) as (stack, _):
        target = stack.target
        wrong = target.milvus.model_copy(update={"version": NEW})
        save(target.model_copy(update={"milvus": wrong}), tmp_path / "wrong.yaml")
        given = ("--target", tmp_path / "wrong.yaml", "-o", tmp_path / "base")
        assert command("baseline", *given) == ExitCode.USAGE
        assert not (tmp_path / "base").exists()
