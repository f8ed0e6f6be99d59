"""What explains slowness, asked of a real Milvus, a real store, and a slow way between them."""

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from validation.attribution.measure import measure
from validation.attribution.model import Bound
from validation.datasets.generated import generate
from validation.errors import ExitCode
from validation.load.plan import search_plan
from validation.local import ports
from validation.local.stack import EmbeddedStack
from validation.milvus import loading, metrics
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.milvus.objects import listed
from validation.milvus.ownership import collection_name, drop_ours
from validation.s3.faults.proxy import FaultProxy
from validation.s3.faults.script import Fault, Kind
from validation.selftest.wire.fault import WireFault
from validation.selftest.wire.proxy import WireProxy

COMMAND = Path(sys.executable).with_name("milvus-kit")
ROWS = 3_000
SLOW_LOADS = Fault(
    Kind.DELAY, methods=frozenset({"GET"}), path="/(index_files|stats_log)/", seconds=4.0
)
"""Only what a load reads, one after the other: what goes before it in the suite stays fast."""
RULES = """\
schema: milvus-kit/slo/1
rules:
  latency: {metric: search.latency.serial, statistic: p99, max: 200, unit: ms, required: false}
  cold: {metric: storage.share_of_cold_load, max: 0.5, unit: ratio}
"""


@contextlib.contextmanager
def loaded(target, name="attribution"):
    """Yield a connection, a loaded collection's name and a plan of searches in it."""
    dataset = generate(ROWS, 64, queries=20)
    index = index_named("HNSW", ROWS, k=10)
    with connect(target) as connection:
        named = collection_name("test", name)
        loading.load(connection, dataset, name=named, index=index)
        try:
            plan = search_plan(
                connection, named, dataset.queries.vectors, k=10, params=index.search
            )
            yield connection, named, plan
        finally:
            drop_ours(connection, named)


def undisturbed(connection, name, plan):
    """Measure, and again if Milvus read from its store while it was searched.

    Searches of what is loaded read nothing, but Milvus may for purposes of its own, and a single
    read is much beside a few fast searches. If it is the searches that read, so they do each time.
    """
    for _ in range(2):
        measured = measure(connection, name, plan, warm=40, cold=10)
        if not any(one.reads and one.reads.requests for one in (measured.warm, measured.cold)):
            return measured
    return measure(connection, name, plan, warm=40, cold=10)


@pytest.fixture(scope="module")
def collection(embedded_target):
    """One loaded collection, its connection and plan: building it is what takes time."""
    with loaded(embedded_target) as made:
        yield made


@pytest.fixture(scope="module")
def measured(collection):
    connection, name, plan = collection
    return undisturbed(connection, name, plan)


def test_milvus_counts_the_reads_of_a_cold_load_and_none_of_a_warm_search(measured):
    cold, warm, replay = measured.load.reads, measured.warm.reads, measured.replay
    assert cold is not None
    assert warm is not None
    assert replay is not None
    assert (cold.bytes or 0) >= measured.load.index_bytes > ROWS * 64 * 4 / 2  # it compresses
    assert warm.requests == 0
    assert measured.warm.counted == 40
    assert measured.beside["cold load"]["reads"] > 0
    assert replay.bytes >= measured.load.index_bytes


def test_a_store_on_the_same_host_leaves_the_stack_compute_bound(measured):
    answer = measured.answer(None)
    assert answer.bound is Bound.COMPUTE, answer.line


def test_what_was_dropped_and_still_lies_in_the_bucket_is_not_waited_for(embedded_target):
    with loaded(embedded_target, "reindexed") as (connection, name, plan):
        dataset = generate(ROWS, 64, queries=20)
        for other in ("IVF_FLAT", "HNSW"):
            loading.reindex(connection, name, index_named(other, ROWS, k=10), dataset)
        _, stored = listed(connection, name, embedded_target.storage)
        found = measure(connection, name, plan, warm=40, cold=10)
    assert found.load.index_bytes < sum(one.size for one in stored if one.kind == "index_files")
    assert found.parts()["load"].reason == ""


def test_a_slow_proxy_before_milvus_does_not_turn_the_answer_to_storage(
    embedded_target, collection
):
    name = collection[1]
    with WireProxy(embedded_target.milvus.uri.removeprefix("http://")) as proxy:
        proxy.arm(WireFault(frozenset({"Search"}), seconds=0.05))
        uri = f"http://{proxy.address}"
        milvus = embedded_target.milvus.model_copy(update={"uri": uri})
        dataset = generate(ROWS, 64, queries=20)
        with connect(embedded_target.model_copy(update={"milvus": milvus})) as connection:
            plan = search_plan(connection, name, dataset.queries.vectors, k=10, params={"ef": 64})
            measured = undisturbed(connection, name, plan)
    assert min(measured.warm.latencies_ms) > 50
    assert measured.answer(None).bound is Bound.COMPUTE


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory):
    """A stack whose Milvus reaches its store through a proxy, and the proxy."""
    s3 = ports.pick(("s3",), {})["s3"]
    with FaultProxy(f"http://127.0.0.1:{s3}") as proxy:
        stack = EmbeddedStack(
            tmp_path_factory.mktemp("slow") / "data",
            ports={"s3": s3},
            store_port=int(proxy.endpoint.rpartition(":")[2]),
        )
        with stack:
            yield stack.target, proxy


def test_milvus_reaches_its_store_only_through_the_port_it_was_given(behind_a_proxy):
    target, proxy = behind_a_proxy
    configured = (target.restart.state_file.parent / "configs" / "milvus.yaml").read_text()
    assert f"port: {proxy.endpoint.rpartition(':')[2]}" in configured
    assert target.storage.endpoint != proxy.endpoint


@pytest.fixture
def validated(tmp_path):
    """Run the family through the suite; return the exit code, the terminal and the shares."""

    def run(target_file):
        (tmp_path / "rules.yaml").write_text(RULES)
        done = subprocess.run(
            [
                *(COMMAND, "validate", "--target", target_file, "--rules", "rules.yaml"),
                *("--profile", "smoke", "--rows", "2000", "--family", "attribution"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr
        file = tmp_path / "runs" / "latest" / "results.json"
        assert file.exists(), done.stdout + done.stderr
        seen = json.loads(file.read_text())["observations"]
        shares = [one for one in seen if one["metric"].startswith("storage.share_of")]
        return done.returncode, " ".join(done.stdout.split()), shares

    return run


@pytest.mark.slow
def test_the_suite_answers_in_one_line_that_the_terminal_shows(validated, embedded_target_file):
    code, said, results = validated(embedded_target_file)
    assert code == ExitCode.PASS, said
    (line,) = {one["evidence"]["answer"] for one in results}
    assert len(results) == 3
    # Milvus may read for purposes of its own while it is searched, which leaves searches undecided.
    assert re.match(
        r"this stack is (compute-bound|undecided) at its SLO \(latency: p99 <= 200", line
    )
    assert "one search at a time here: " in line
    assert "n = 400)" in line
    assert re.search(r"explains at most \d+ % of the cold load", line)
    assert f"local: {line}" in said


@pytest.mark.slow
def test_the_suite_calls_a_stack_storage_bound_whose_store_is_slow(validated, behind_a_proxy):
    target, proxy = behind_a_proxy
    proxy.script.arm(SLOW_LOADS)
    try:
        code, said, results = validated(target.restart.state_file.parent / "target.yaml")
    finally:
        proxy.script.disarm()
    assert code == ExitCode.FAIL, said
    (line,) = {one["evidence"]["answer"] for one in results}
    assert line.startswith("this stack is storage-bound at its SLO (latency: p99 <= 200 ms")
    assert f"local: {line}" in said


@pytest.mark.usefixtures("measured")
def test_metrics_name_the_families_that_the_attribution_rests_on(embedded_target):
    seen = metrics.scrape(embedded_target.milvus)
    for name in (
        "internal_storage_request_latency_count",
        "milvus_storage_request_latency_count",
        "milvus_querynode_load_segment_latency_count",
    ):
        assert seen.total(name), name
