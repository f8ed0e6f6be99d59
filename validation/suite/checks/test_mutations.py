"""Rows that are deleted stay deleted, changed ones stay changed, and each way of asking agrees."""

import pytest

from validation.mutations import acts
from validation.suite.changed import observe

pytestmark = pytest.mark.family("mutations")


def test_changed_rows_are_seen_as_they_are_now(gate, mutated):
    mutated.noted["changes"].hand_on(gate)


def test_a_flush_brings_no_row_back(gate, mutated):
    mutated.noted["flush"].hand_on(gate)


def test_a_compaction_brings_no_row_back(gate, connection, mutated, profile):
    if not profile.compaction_seconds:
        pytest.skip(f"the profile {profile.name} leaves compaction out")
    acts.compact(connection, mutated.name, seconds=profile.compaction_seconds)
    observe(gate, connection, mutated, after="compaction")
