"""The filters that are asked decide something, and what they mean can be told apart."""

import collections

import pytest

from validation.filtering import rows as generated
from validation.filtering.conditions import BY_DESIGN, CONDITIONS

ROWS = generated.rows()
EVERY_OR_NONE = {"i8 < 1000", "i8 > 1000", 'tenant == "nobody"', 'text like "100\\\\%%"'}


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda one: one.expression)
def test_a_filter_holds_for_some_rows_and_not_for_others(condition):
    holding = sum(condition.holds(row) for row in ROWS)
    assert condition.expression in EVERY_OR_NONE or 0 < holding < len(ROWS)


def test_no_filter_is_asked_twice():
    times = collections.Counter(one.expression for one in (*CONDITIONS, *BY_DESIGN))
    assert times.most_common(1)[0][1] == 1


@pytest.mark.parametrize("condition", BY_DESIGN, ids=lambda one: one.expression)
def test_what_versions_differ_by_is_told_of_several_groups(condition):
    assert len({condition.group(row) for row in ROWS}) > 2


def test_vectors_differ_so_that_a_search_can_return_every_row():
    assert len({tuple(row["vector"]) for row in ROWS}) == generated.ROWS


@pytest.mark.parametrize(("name", "bits"), [("i8", 8), ("i16", 16), ("i32", 32), ("i64", 64)])
def test_integers_reach_both_ends(name, bits):
    values = [row[name] for row in ROWS]
    assert (min(values), max(values)) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
