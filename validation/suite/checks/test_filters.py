"""Filters of every kind find the rows that satisfy them and no others, indexed or not."""

import pytest

from validation.mutations import acts

pytestmark = pytest.mark.family("filters")


@pytest.mark.parametrize("after", ["insert", "flush", "index"])
def test_filters_find_the_rows_that_satisfy_them(gate, filtering, profile, after):
    if after not in profile.filtered_after:
        pytest.skip(f"the profile {profile.name} asks no filter then")
    observe(gate, filtering.after(after), after=after)


def test_a_compaction_changes_no_filter(gate, filtering, profile):
    if "compaction" not in profile.filtered_after or not profile.compaction_seconds:
        pytest.skip(f"the profile {profile.name} leaves compaction out")
    collection = filtering.whole()
    acts.compact(collection.connection, collection.name, seconds=profile.compaction_seconds)
    observe(gate, collection.ask(), after="compaction")


def observe(gate, asked, *, after):
    """Hand on what each filter got wrong."""
    evidence = {
        "filters_this_version_lacks": asked.left_out,
        "by_design": asked.by_design,
        "indexed": list(asked.indexed),
        "not_indexed": asked.no_index,
        "examples": [
            {"filter": one.condition.expression, **example}
            for one in asked.wrong
            for example in one.examples
        ],
    }
    columns = {
        "kind": [one.condition.kind for one in asked.wrong],
        "filter": [one.condition.expression for one in asked.wrong],
    }
    no_index = after == "index" and not asked.indexed
    labels = {"after": after}
    for kind in ("missing", "unexpected"):
        name = f"filters.rows_{kind}"
        if no_index:
            reason = f"the server builds no index of a scalar field: {asked.no_index}"
            gate(name, labels=labels, not_measured=reason)
            continue
        gate(
            name,
            [getattr(one, kind) for one in asked.wrong],
            labels=labels,
            columns=columns,
            evidence=evidence,
        )
