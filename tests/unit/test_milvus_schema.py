import dataclasses

import numpy as np
import pytest
from pymilvus import DataType

from validation.datasets.generated import generate
from validation.errors import ConfigurationError, DatasetError
from validation.milvus.indexes import index_named
from validation.milvus.ownership import Mark, collection_name
from validation.milvus.schema import schema

DATASET = generate(100, 8, queries=1)


def fields(made):
    return {field.name: field for field in made.fields}


def with_scalars(**scalars):
    return dataclasses.replace(DATASET, scalars=scalars)


def test_every_column_has_its_type():
    made = fields(schema(with_scalars(**DATASET.scalars, share=np.zeros(100)), "mine"))
    assert {name: field.dtype for name, field in made.items()} == {
        "id": DataType.INT64,
        "vector": DataType.FLOAT_VECTOR,
        "bucket": DataType.INT64,
        "category": DataType.VARCHAR,
        "active": DataType.BOOL,
        "share": DataType.DOUBLE,
    }
    assert made["vector"].params["dim"] == 8


def test_the_length_of_a_string_is_counted_in_bytes():
    made = schema(with_scalars(word=["ääää"] * 99 + [""]), "mine")
    assert fields(made)["word"].params["max_length"] == 8


def test_keywords_add_an_analysed_text_and_a_bm25_function():
    texts = dataclasses.replace(DATASET, ids=[f"p{row}" for row in range(100)], texts=["a"] * 100)
    made = schema(texts, "mine", keywords=True)
    assert fields(made)["id"].dtype == DataType.VARCHAR
    assert fields(made)["sparse"].dtype == DataType.SPARSE_FLOAT_VECTOR
    assert [function.name for function in made.functions] == ["bm25"]
    assert "sparse" not in fields(schema(texts, "mine"))


def test_a_column_of_a_type_that_cannot_be_stored_is_refused_by_name():
    with pytest.raises(DatasetError, match=r"column when: .* type that is not stored"):
        schema(with_scalars(when=np.zeros(100, dtype="datetime64[s]")), "mine")


def test_a_column_with_null_becomes_a_nullable_field_and_no_other_does():
    holes = np.ma.MaskedArray(np.zeros(100, np.int64), mask=[True] + 99 * [False])
    made = fields(schema(with_scalars(holes=holes, said=["a", None] * 50, whole=["b"] * 100), "m"))
    assert {name for name, field in made.items() if field.nullable} == {"holes", "said"}


def test_keys_longer_than_usual_get_the_room_they_need():
    made = schema(dataclasses.replace(DATASET, ids=["k" * 65_535, *map(str, range(99))]), "mine")
    assert fields(made)["id"].params["max_length"] == 65_535


def test_names_of_ours_are_valid_and_marked():
    assert collection_name("run-1", "gen (5, 8)") == "mk_run_1_gen_5_8"
    assert len(collection_name("x" * 500)) <= 255
    description = Mark("run 1; x", "").description()
    assert description == "made by milvus-kit; run run-1-x; dataset none"


def test_an_unknown_index_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match="HNSW"):
        index_named("HNSV")


@pytest.mark.parametrize("rows", [1, 100, 100_000, 10**9])
def test_parameters_stay_within_what_milvus_takes(rows):
    ivf, hnsw = index_named("IVF_FLAT", rows), index_named("HNSW", rows, k=100)
    assert 1 <= ivf.search["nprobe"] <= ivf.build["nlist"] <= 65_536
    assert hnsw.search["ef"] >= 100
