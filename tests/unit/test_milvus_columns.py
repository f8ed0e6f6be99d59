import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymilvus.grpc_gen.schema_pb2 import FieldData

from validation.errors import MeasurementError
from validation.milvus.columns import from_message, to_message

COLUMNS = {
    "vectors": np.array([[0.1, -0.0, 3e38], [1e-45, 2, 3]], dtype=np.float32),
    "int64": np.array([-(2**63), -1, 0, 2**63 - 1]),
    "float64": np.array([0.1, -0.0, np.inf]),
    "bool": np.array([True, False, True]),
    "text": ["", "grün", "a\x00b"],
    "many": np.arange(40_000, dtype=np.float32).reshape(-1, 4),
    "empty": np.empty(0, dtype=np.float64),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_survives_the_way_there_and_back_bit_for_bit(name):
    values = COLUMNS[name]
    back = from_message(FieldData.FromString(to_message(name, values).SerializeToString()))
    if isinstance(values, list):
        assert back == values
    else:
        assert isinstance(back, np.ndarray)
        assert back.dtype == values.dtype
        assert back.tobytes() == values.tobytes()
        assert back.shape == values.shape


@given(st.integers(0, 300), st.integers(1, 3))
def test_messages_are_those_that_protobuf_itself_would_make(rows, dim):
    values = np.arange(rows * dim, dtype=np.float32).reshape(rows, dim)
    usual = FieldData(field_name="v", type="FloatVector")
    usual.vectors.dim = dim
    usual.vectors.float_vector.data.extend(values.ravel().tolist())
    assert to_message("v", values) == usual


def test_columns_that_are_not_contiguous_are_sent_as_they_look():
    values = np.arange(12, dtype=np.float32).reshape(4, 3)[::2]
    assert list(to_message("v", values).vectors.float_vector.data) == [0, 1, 2, 6, 7, 8]


def test_a_type_that_was_not_stored_is_refused():
    field = FieldData(field_name="odd")
    field.scalars.json_data.data.append(b"{}")
    with pytest.raises(MeasurementError, match="odd"):
        from_message(field)
