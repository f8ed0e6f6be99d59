"""Filters on every scalar type, on the real server: right, and seen when they are not."""

import pytest

from validation.filtering import rows
from validation.filtering.asking import Filtered
from validation.milvus import ownership
from validation.milvus.connection import connect


@pytest.fixture(scope="module")
def filtered(embedded_target):
    with connect(embedded_target) as connection:
        collection = Filtered(connection, "mk_filters_test")
        collection.store("filters")
        yield collection
        ownership.drop_all_ours(connection, run="filters")


def wrong(asked):
    return {
        one.condition.expression: (one.missing, one.unexpected)
        for one in asked.wrong
        if one.missing or one.unexpected
    }


def test_segments_are_large_enough_to_be_indexed(filtered):
    # pymilvus takes the number of partitions with the schema too, and drops it without a word.
    names = filtered.connection.client.list_partitions(filtered.name)
    assert len(names) == rows.PARTITIONS


def test_every_filter_that_the_server_has_is_right_and_what_differs_by_design_is_told(filtered):
    asked = filtered.ask()
    assert wrong(asked) == {}
    assert asked.left_out == {"strings": 5, "NULL": 7}  # Milvus 2.3
    # As docs/filters.md says of this version.
    assert asked.by_design['doc["any"] < 100'] == "4, number"
    assert asked.by_design['doc["odd"] != "v1"'] == "missing, other"


def test_a_server_that_calls_itself_by_no_version_is_asked_what_it_has(filtered, monkeypatch):
    monkeypatch.setattr(filtered.connection, "server_version", "cebbe1e4da")
    asked = filtered.ask()
    assert wrong(asked) == {}
    assert asked.left_out == {"strings": 5, "NULL": 7}
    filtered.index()
    assert set(filtered.indexed) == {"text", "tenant", "n"}  # those of 2.3: it knows no NULL


def test_rows_that_are_not_as_they_were_sent_are_noticed_in_each_way_of_asking(filtered):
    filtered.connection.client.delete(filtered.name, ids=[7, 1_000])
    found = wrong(filtered.ask())
    # By query, by search and by count.
    assert found["i8 < 1000"] == (6, 0)
    assert found["n < 10 or n > 990 and flag == true"][1] == 0
