from __future__ import annotations

import json

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.milvus.capacity import nodes, sizing
from infra.milvus.capacity.indexes import GIB, Index, VectorType, Workload, index_size
from infra.milvus.capacity.nodes import NodeGroup
from infra.milvus.capacity.sizing import Declared
from infra.milvus.roles import topology
from validation.cli import size as command
from validation.errors import ConfigurationError, UsageError

RAW = 100_000_000 * 768 * 4  # bytes of the published example, 286.1 GiB


def test_hnsw_is_sized_as_the_published_formula_says():
    # (1 + 2 * 30 / 768) * raw = 1.078125 * 307.2e9; + 2 segments of 1 GiB; * 1.15.
    need = sizing.size(Workload(vectors=100_000_000, dim=768, index=Index.HNSW))
    assert need.index_bytes == pytest.approx(1.078125 * RAW)
    assert need.memory_bytes == pytest.approx((1.078125 * RAW + 2 * GIB) * 1.15)
    assert need.memory_bytes / GIB == pytest.approx(357.0, abs=0.05)
    assert need.nodes["querynode"] == NodeGroup(12, 8, 32)


@pytest.mark.parametrize(
    ("index", "memory", "disk"),
    [
        (Index.FLAT, RAW, 0),
        (Index.GPU_CAGRA, RAW, 0),
        (Index.IVF_FLAT, RAW + 128 * 3072, 0),
        (Index.IVF_SQ8, RAW / 4 + 128 * 3072, 0),
        (Index.IVF_PQ, RAW / 4 + 128 * 3072, 0),
        (Index.IVF_RABITQ, RAW / 32 + 128 * 3072, 0),
        (Index.SCANN, RAW * 1.125, 0),
        (Index.DISKANN, RAW / 4, (1 + 56 / 768) * RAW),
    ],
)
def test_each_index_has_its_published_memory_and_disk(index, memory, disk):
    work = Workload(vectors=100_000_000, dim=768, index=index)
    found_memory, found_disk, _ = index_size(work)
    assert (found_memory, found_disk) == (pytest.approx(memory), pytest.approx(disk))


@pytest.mark.parametrize(
    ("index", "memory", "disk"),
    [
        (Index.HNSW_SQ, RAW / 4 + 2 * 30 / 768 * RAW, 0),
        (Index.AISAQ, RAW / 40, (1 + 56 / 768 + 1 / 4) * RAW),
    ],
)
def test_indexes_without_a_published_formula_are_put_together_from_those_that_have_one(
    index, memory, disk
):
    work = Workload(vectors=100_000_000, dim=768, index=index)
    found_memory, found_disk, _ = index_size(work)
    assert (found_memory, found_disk) == (pytest.approx(memory), pytest.approx(disk))
    hnsw, diskann = (
        index_size(Workload(vectors=100_000_000, dim=768, index=one))
        for one in (Index.HNSW, Index.DISKANN)
    )
    assert found_memory < (hnsw if index is Index.HNSW_SQ else diskann)[0]


@pytest.mark.parametrize("kind", [VectorType.FLOAT16, VectorType.BFLOAT16])
def test_half_a_float_halves_the_vectors_and_neither_edges_nor_codes(kind):
    half = Workload(vectors=100_000_000, dim=768, vector_type=kind)
    assert half.raw == RAW / 2
    assert index_size(half)[0] == pytest.approx(RAW / 2 + 2 * 30 / 768 * RAW)
    codes = Workload(vectors=100_000_000, dim=768, vector_type=kind, index=Index.IVF_SQ8)
    assert index_size(codes)[0] == pytest.approx(RAW / 4 + 128 * 3072)


def test_what_is_mapped_from_disk_needs_the_disk_and_a_tenth_of_the_memory():
    work = Workload(vectors=100_000_000, dim=768, scalar_bytes=100)
    mapped = sizing.size(Workload(**{**vars(work), "mmap": True}))
    index, scalars = index_size(work)[0], 100_000_000 * 100
    assert mapped.loading_bytes == pytest.approx((index / 10 + 2 * GIB) * 1.15 + scalars / 10)
    assert mapped.disk_bytes == pytest.approx(index + scalars)
    assert mapped.bucket_bytes == sizing.size(work).bucket_bytes
    assert any("mapped from disk" in step.formula for step in mapped.steps)


@pytest.mark.parametrize(
    ("version", "log", "servers"),
    [
        ("2.5.27", None, {"kafka"}),
        ("3.0.5", None, {"woodpecker"}),
        ("3.0.5", "kafka", {"kafka"}),
        ("3.0.5", "woodpecker-embedded", set()),
        ("3.0.5", "pulsar", set()),
    ],
)
def test_the_servers_of_the_log_are_those_of_this_log(version, log, servers):
    found = sizing.size(Workload(vectors=10**8, dim=768), version=version, log=log).nodes
    assert {"kafka", "woodpecker"} & set(found) == servers


def test_an_index_is_not_sized_for_a_version_that_does_not_have_it():
    work = Workload(vectors=10**6, dim=768, index=Index.IVF_RABITQ)
    with pytest.raises(ConfigurationError, match=r"came with Milvus 2\.6"):
        sizing.size(work, version="2.5.27")
    sizing.size(work, version="2.6.20")


def test_diskann_adds_no_segments_to_its_loading_memory():
    need = sizing.size(Workload(vectors=100_000_000, dim=768, index=Index.DISKANN))
    assert need.loading_bytes == pytest.approx(RAW / 4 * 1.15)


def test_gpu_memory_holds_vectors_and_graph_with_the_published_headroom():
    need = sizing.size(Workload(vectors=1_000_000, dim=128, index=Index.GPU_CAGRA, replicas=2))
    one = 1_000_000 * (128 * 4 + 64 * 4) * 1.5
    assert need.gpu_bytes == pytest.approx(2 * one)


@pytest.mark.parametrize(
    ("gib", "group"),
    [
        (7.9, (1, 2, 8)),
        (8, (1, 4, 16)),
        (16, (2, 4, 16)),
        (31.9, (2, 4, 16)),
        (95.9, (6, 4, 16)),
        (96, (3, 8, 32)),
        (511, (16, 8, 32)),
        (512, (8, 16, 64)),
        (2048, (16, 32, 128)),
    ],
)
def test_query_nodes_follow_the_published_table(gib, group):
    assert nodes.query_nodes(gib) == NodeGroup(*group)


@pytest.mark.parametrize(
    ("cores", "group"),
    [(2, (1, 2, 8)), (32, (1, 4, 16)), (48, (2, 4, 16)), (128, (2, 8, 32)), (192, (3, 8, 32))],
)
def test_streaming_nodes_follow_the_cores_of_the_query_nodes(cores, group):
    assert nodes.streaming_nodes(cores) == NodeGroup(*group)


def test_replicas_multiply_query_nodes_and_memory_but_not_the_bucket():
    work = Workload(vectors=100_000_000, dim=768, index=Index.HNSW)
    one, two = sizing.size(work), sizing.size(Workload(**{**vars(work), "replicas": 2}))
    assert two.memory_bytes == 2 * one.memory_bytes
    assert two.nodes["querynode"].count == 2 * one.nodes["querynode"].count
    assert two.bucket_bytes == one.bucket_bytes


def test_scalars_are_loaded_beside_the_vectors_and_stored_with_them():
    bare = sizing.size(Workload(vectors=100_000_000, dim=128))
    full = sizing.size(Workload(vectors=100_000_000, dim=128, scalar_bytes=1000))
    assert full.loading_bytes - bare.loading_bytes == pytest.approx(100_000_000 * 1000)
    assert full.bucket_bytes - bare.bucket_bytes == pytest.approx(2e11, abs=2 * GIB)


def test_a_bucket_is_never_smaller_than_the_published_minimum():
    assert sizing.size(Workload(vectors=1, dim=2)).bucket_bytes == 30 * GIB


def test_versions_before_streaming_get_index_nodes():
    old = sizing.size(Workload(vectors=1_000_000, dim=128), version="2.5.27").nodes
    new = sizing.size(Workload(vectors=1_000_000, dim=128)).nodes
    assert "indexnode" in old
    assert "streamingnode" not in old
    assert "indexnode" not in new
    assert "streamingnode" in new


@pytest.mark.parametrize("version", ["2.3.5", "2.4.24", "2.5.27", "2.6.20", "3.0.5"])
@pytest.mark.parametrize("vectors", [1_000_000, 10_000_000, 1_000_000_000])
def test_every_role_of_a_version_has_a_size_that_follows_the_data(version, vectors):
    nodes = sizing.size(Workload(vectors=vectors, dim=768), version=version).nodes
    roles = {role.name for role in topology.roles(version, "cluster")}
    assert set(nodes) - {"etcd", "kafka", "woodpecker"} == roles
    coordinators = [role.name for role in topology.roles(version, "cluster") if role.coordinator]
    assert all(nodes[name].memory_gib >= 4 for name in coordinators)
    if vectors > 100_000_000:
        assert all(nodes[name].memory_gib >= 16 for name in coordinators)


def test_a_standalone_has_one_replica():
    with pytest.raises(ConfigurationError, match="one in-memory replica"):
        sizing.size(Workload(vectors=10, dim=8, replicas=2), mode="standalone")


def test_each_step_of_the_arithmetic_is_shown():
    names = [step.name for step in sizing.size(Workload(vectors=10, dim=8)).steps]
    assert names == [
        "raw vectors",
        "raw scalars",
        "HNSW index in memory",
        "loading memory, one replica",
        "loading memory, all replicas",
        "query nodes",
        "bucket",
        "bucket while compacting (the kit's rule)",
    ]


def test_a_stack_that_is_too_small_is_told_by_how_much():
    need = sizing.size(Workload(vectors=100_000_000, dim=768, replicas=2))
    declared = Declared(query_nodes=1, memory_bytes=100 * GIB, bucket_bytes=100 * GIB)
    with pytest.raises(ConfigurationError) as caught:
        sizing.require_enough(declared, need, where="Pulumi.prod.yaml: milvus.dataset")
    text = str(caught.value)
    assert "query nodes: 1 declared, 2 needed for 2 replicas, 1 short" in text
    assert "memory: 100.0 GiB declared, 714.0 GiB needed, 614.0 GiB short" in text
    assert "bucket: 100.0 GiB declared, 644.0 GiB needed, 544.0 GiB short" in text
    assert "24 x (8 cores, 32 GiB)" in text
    assert "Pulumi.prod.yaml: milvus.dataset" in text


def test_what_is_not_declared_is_not_judged():
    need = sizing.size(Workload(vectors=100_000_000, dim=768))
    assert sizing.shortfalls(Declared(), need) == []


@given(
    vectors=st.integers(1, 10**11),
    dim=st.integers(2, 32768),
    index=st.sampled_from(Index),
    replicas=st.integers(1, 8),
)
def test_the_recommended_nodes_always_hold_what_is_loaded(vectors, dim, index, replicas):
    need = sizing.size(Workload(vectors=vectors, dim=dim, index=index, replicas=replicas))
    group = need.nodes["querynode"]
    assert group.count * group.memory_gib * GIB >= need.memory_bytes
    assert group.count >= replicas
    assert need.bucket_bytes >= need.raw_bytes
    enough = Declared(query_nodes=group.count, memory_bytes=group.count * group.memory_gib * GIB)
    assert sizing.shortfalls(enough, need) == []


@given(st.integers(1, 10**10), st.integers(1, 10**10))
def test_more_vectors_never_need_less(first, second):
    small, large = sorted((first, second))
    need = [sizing.size(Workload(vectors=count, dim=768)) for count in (small, large)]
    assert need[0].memory_bytes <= need[1].memory_bytes
    assert need[0].bucket_bytes <= need[1].bucket_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [("100M", 10**8), ("1.5B", 1_500_000_000), ("2_500_000", 2_500_000), ("12k", 12_000)],
)
def test_a_number_of_vectors_can_be_short(text, count):
    assert command.parse_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "0", "-5", "1.0000005M", "nan", "inf", "10^9", "1e30B"])
def test_what_is_no_number_of_vectors_is_refused(text):
    with pytest.raises(UsageError, match="not a number of vectors"):
        command.parse_count(text)


def _run(*arguments: str):
    app = typer.Typer()
    app.command()(command.command)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_prints_a_table_with_the_arithmetic():
    done = _run("--vectors", "100M", "--dim", "768", "--replicas", "2")
    assert done.exit_code == 0
    assert "714.0 GiB" in done.output
    assert "querynode" in done.output


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_command_prints_documents(output, load):
    done = _run("--vectors", "1M", "--dim", "128", "--index", "DISKANN", "--output", output)
    document = load(done.output)
    assert document["workload"]["index"] == "DISKANN"
    assert document["nodes"]["querynode"]["count"] == 1
    assert document["disk_bytes"] > document["raw_bytes"]
