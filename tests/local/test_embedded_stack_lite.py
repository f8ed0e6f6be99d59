"""Milvus Lite as the second target: what the server of the embedded stack cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import AnnSearchRequest, DataType, Function, FunctionType, MilvusClient, RRFRanker

from validation.local.lite import lite_target
from validation.target import Target

TEXTS = (
    "error E42 in the coolant pump",
    "the holiday policy of the company",
    "pump maintenance schedule",
    "travel policy",
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return lite_target(tmp_path_factory.mktemp("lite"))


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[MilvusClient]:
    client = MilvusClient(target.milvus.uri)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200, enable_analyzer=True)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["sparse"]))
    index = client.prepare_index_params()
    index.add_index("dense", index_type="FLAT", metric_type="COSINE")
    index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection("texts", schema=schema, index_params=index)
    rows = [
        {"id": key, "text": text, "dense": [float(key == axis) for axis in range(4)]}
        for key, text in enumerate(TEXTS)
    ]
    client.insert("texts", rows)
    client.flush("texts")
    client.load_collection("texts")
    yield client
    client.close()


def test_the_declared_version_is_the_one_that_answers(client, target):
    assert client.get_server_version().endswith(target.milvus.version)


def test_keywords_find_what_holds_them(client):
    found = client.search("texts", ["E42 pump"], anns_field="sparse", limit=4)
    assert [hit["id"] for hit in found[0]] == [0, 2]


def test_hybrid_search_joins_keywords_and_vectors(client):
    keywords = AnnSearchRequest(["policy"], "sparse", {}, limit=2)
    vectors = AnnSearchRequest([[0.0, 0.0, 1.0, 0.0]], "dense", {}, limit=1)
    found = client.hybrid_search("texts", [keywords, vectors], RRFRanker(), limit=4)
    assert {hit["id"] for hit in found[0]} == {1, 2, 3}


def test_its_data_stay_in_the_folder(client, target):
    assert client.list_collections() == ["texts"]
    assert Path(target.milvus.uri).is_dir()
