"""Which rows are asked for, so that all keys are covered, the lowest integer too."""

import re

import numpy as np
import pytest

from validation.milvus import reading

LOWEST = -(2**63)


def table(monkeypatch, keys, *, page):
    """A collection of integer keys that answers as Milvus does, and refuses the lowest literal."""

    def query(_, condition, parameters):
        assert str(LOWEST) not in condition
        found = np.array(keys, np.int64)
        for sign, digits in re.findall(r"id (>=|>|<) (-?\d+)", condition):
            number = int(digits)
            found = found[{">=": found >= number, ">": found > number, "<": found < number}[sign]]
        found = found[: parameters["limit"]]
        return {"id": found} if len(found) else {}

    monkeypatch.setattr(reading.Table, "query", query)
    return reading.Table(None, "docs", "id", text_keys=False, columns=("id",), page=page)  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [[LOWEST], [LOWEST, LOWEST + 1, 0, 5], [LOWEST + 1, 7], []])
@pytest.mark.parametrize("page", [2, 100])
def test_the_lowest_key_is_read_by_a_condition_of_its_own(monkeypatch, keys, page):
    made = table(monkeypatch, keys, page=page)
    everything = reading.Range()
    assert read(made.pages(everything)) == read(made.rows(everything)) == keys
    assert read(made.pages(everything, LOWEST)) == [key for key in keys if key != LOWEST]
    assert read(made.rows(reading.Range(start=-5))) == [key for key in keys if key >= -5]


def read(pages):
    return [int(key) for one in pages for key in one["id"]]
