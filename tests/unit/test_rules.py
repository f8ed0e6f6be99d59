"""Rules files: whatever is wrong is said, all at once, with its place; nothing is guessed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from validation.errors import ConfigurationError, ExitCode
from validation.verdicts import rules

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "schema": rules.SCHEMA,
    "rules": {
        "recall": {
            "metric": "ann_overlap@10",
            "where": {"index": "HNSW"},
            "min": 0.95,
            "unit": "ratio",
        }
    },
}


def written(folder, text):
    path = folder / "x.slo.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(**body):
    document = copy.deepcopy(GOOD)
    document["rules"]["recall"] |= body
    return document


def refusal(document):
    with pytest.raises(ConfigurationError) as caught:
        rules.parse(document, source="x.slo.yaml")
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("path", sorted((ROOT / "stacks").glob("*.slo.yaml")), ids=lambda p: p.name)
def test_the_rules_that_come_with_the_kit_load(path):
    assert any(rule.required for rule in rules.load(path))


def test_rules_keep_the_file_s_order(tmp_path):
    document = {"schema": rules.SCHEMA, "rules": {}}
    for name in ("z", "a", "m"):
        document["rules"][name] = GOOD["rules"]["recall"]
    found = rules.load(written(tmp_path, yaml.safe_dump(document, sort_keys=False)))
    assert [rule.gate for rule in found] == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"metrc": "x"}, "rules.recall.metrc"),
        ({"unit": "percent"}, "unit 'percent' is not the unit of ann_overlap@10: 'ratio'"),
        ({"metric": "anm_overlap@10"}, "unknown metric 'anm_overlap@10'"),
        ({"min": "high"}, "rules.recall.min"),
        ({"min": True}, "a number is wanted, not a truth value"),
        ({"where": {"index": 5}}, "rules.recall.where.index"),
        ({"gate": "other"}, "rules.recall.gate: the gate is named by its key"),
        ({"required": "perhaps"}, "rules.recall.required"),
        ({"statistic": ["p99"]}, "rules.recall.statistic"),
    ],
)
def test_a_wrong_key_or_value_is_named(body, said):
    assert said in refusal(changed(**body))


def test_every_wrong_rule_is_reported_at_once():
    document = changed(unit="percent")
    document["rules"]["second"] = {"metric": "nothing", "max": 1, "unit": "ms"}
    document["rules"]["third"] = "p99 < 5"
    document["rules"][4] = {}
    document["rule"] = {}
    said = refusal(document)
    for part in (
        "unit 'percent'",
        "unknown metric 'nothing'",
        "rules.third",
        "quote it",
        "rule: unknown key",
    ):
        assert part in said


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        3,
        {},
        {"schema": rules.SCHEMA},
        {"schema": "milvus-kit/slo/2", "rules": {}},
    ],
)
def test_what_is_not_a_rules_file_is_refused(document):
    assert "rules" in refusal(document)


def test_rules_that_could_never_fail_a_run_are_refused():
    assert "no rule is required" in refusal(changed(required=False))
    assert "no rule is required" in refusal({"schema": rules.SCHEMA, "rules": {}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "schema: a\nschema: b\n",
            "x.slo.yaml:2: not valid YAML: the key 'schema' stands here twice",
        ),
        ("rules:\n  a: {min: 1,\n     min: 2}\n", "the key 'min' stands here twice"),
        ("a: [1", "not valid YAML"),
        ("{[1, 2]: b}", "a list or mapping cannot be a key"),
        ("when: 2024-13-45", "a value cannot be read"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("[" * 5000, "a value cannot be read"),
    ],
    ids=["twice", "nested twice", "syntax", "key", "date", "tag", "depth"],
)
def test_yaml_that_says_two_things_or_none_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigurationError) as caught:
        rules.load(written(tmp_path, text))
    assert said in str(caught.value)


def test_shared_settings_may_be_merged_and_overridden(tmp_path):
    text = f"""
schema: {rules.SCHEMA}
rules:
  hnsw: &shared
    {{metric: ann_overlap@10, where: {{index: HNSW}}, min: 0.95, unit: ratio}}
  flat:
    <<: *shared
    where: {{index: FLAT}}
"""
    found = rules.load(written(tmp_path, text))
    assert [(rule.where["index"], rule.min) for rule in found] == [("HNSW", 0.95), ("FLAT", 0.95)]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read the rules file: No such file"):
        rules.load(tmp_path / "none.slo.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "x.slo.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"x\.slo\.yaml"):
        rules.load(path)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "metric",
        "where",
        "statistic",
        "min",
        "max",
        "unit",
        "required",
        "confidence",
        "gate",
        "other",
    ]
)


@given(body=st.dictionaries(keys, plain))
def test_no_document_leads_to_anything_but_rules_or_a_clear_error(body):
    try:
        found = rules.parse(changed(**body), source="x")
    except ConfigurationError:
        return
    assert len(found) == 1


@given(document=plain)
def test_no_plain_data_breaks_the_parser(document):
    with pytest.raises(ConfigurationError):
        rules.parse(document, source="x")
    with pytest.raises(ConfigurationError):
        rules.parse({"schema": rules.SCHEMA, "rules": document}, source="x")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"metric": "search.latency.serial", "max": -5, "unit": "ms"}, "nobody can meet max -5 ms"),
        ({"metric": "search.latency.serial", "max": 0, "unit": "ms"}, "is more than 0"),
        ({"metric": "ann_overlap@10", "min": 1.7, "unit": "ratio"}, "nobody can meet min 1.7"),
        ({"metric": "ann_overlap@10", "min": 1, "unit": "ratio"}, "never ends at its best value"),
        ({"metric": "search.errors", "max": 0, "unit": "ratio"}, "never ends at its best value"),
        ({"metric": "data.rows_missing", "max": -1, "unit": "rows"}, "is 0 or more"),
        ({"metric": "ann_overlap@10", "min": 0, "unit": "ratio"}, "nobody can miss min 0"),
        ({"metric": "loading.rate", "min": -3, "unit": "rows/s"}, "nobody can miss min -3"),
        ({"metric": "search.errors", "max": 1, "unit": "ratio"}, "nobody can miss max 1"),
        ({"metric": "storage.share_of_cold_load", "max": 1.2, "unit": "ratio"}, "between 0 and 1"),
    ],
)
def test_a_rule_that_nobody_can_meet_or_miss_is_refused(rule, said):
    assert said in refusal({"schema": rules.SCHEMA, "rules": {"a": rule, **GOOD["rules"]}})


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "storage.share_of_cold_load", "max": 0, "unit": "ratio"},
        {"metric": "storage.persisted_ratio", "min": 1.7, "unit": "ratio"},
        {"metric": "data.rows_missing", "max": 0, "unit": "rows"},
        {"metric": "site.depth", "min": -5, "unit": "m"},
    ],
)
def test_a_rule_at_the_end_of_what_can_be_is_taken_where_it_can_be_met_and_missed(rule):
    rules.parse({"schema": rules.SCHEMA, "rules": {"a": rule, **GOOD["rules"]}}, source="x")


LATENCY = {"metric": "search.latency.serial", "unit": "ms"}


def pair(median, tail):
    both = {"median": {**LATENCY, "statistic": "p50"} | median, "tail": {**LATENCY} | tail}
    return {"schema": rules.SCHEMA, "rules": both}


@pytest.mark.parametrize(
    ("median", "tail"),
    [
        ({"max": 100}, {"max": 50, "statistic": "p99"}),
        ({"max": 100, "where": {"index": "HNSW"}}, {"max": 50, "statistic": "max"}),
    ],
)
def test_a_median_that_the_limit_of_the_tail_keeps_anyway_is_refused(median, tail):
    assert "nobody can miss p50 ≤ 100 ms without missing tail" in refusal(pair(median, tail))


@pytest.mark.parametrize(
    ("median", "tail"),
    [
        ({"max": 40}, {"max": 50, "statistic": "p99"}),
        ({"max": 100}, {"max": 50, "statistic": "p99", "where": {"index": "HNSW"}}),
        ({"max": 100}, {"max": 50, "statistic": "p99", "required": False}),
        ({"max": 100}, {"max": 50, "statistic": "mean"}),
    ],
)
def test_limits_that_can_be_missed_each_alone_are_taken(median, tail):
    rules.parse(pair(median, tail), source="x")
