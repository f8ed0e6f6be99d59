"""What index the server has is read back, and is not taken for the one that was asked."""

import pytest

from validation.milvus.indexes import IndexSpec
from validation.milvus.serving import _build_of, differs

IVF = IndexSpec("IVF_FLAT", {"nlist": 400}, {"nprobe": 50})


@pytest.mark.parametrize(
    "index",
    [
        {"index_type": "IVF_FLAT", "nlist": "400", "state": "Finished", "total_rows": 5},
        {"index_type": "IVF_FLAT", "params": '{"nlist": 400}'},
        {"index_type": "IVF_FLAT", "params": {"nlist": 400}},
    ],
)
def test_an_index_that_is_as_asked_is_told_in_any_form(index):
    assert differs(IVF, {"index": index["index_type"], "build": _build_of(index)}) == ""


def test_a_parameter_that_the_server_does_not_have_is_named_with_both_values():
    assert "nlist 400 was asked" in differs(IVF, {"index": "IVF_FLAT", "build": {}})
    assert "has 128" in differs(IVF, {"index": "IVF_FLAT", "build": {"nlist": "128"}})
    assert "the server has FLAT" in differs(IVF, {"index": "FLAT", "build": {}})
