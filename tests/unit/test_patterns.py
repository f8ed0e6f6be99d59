"""A text of the wrong shape is told what is wanted, with an example; never a regular expression."""

import re
import typing

import pytest
import yaml
from pydantic import TypeAdapter

from infra.images import Lock
from infra.settings import Settings
from infra.settings.parse import parse
from validation import target as targets
from validation.common.patterns import _WANTED
from validation.errors import ConfigurationError
from validation.target import Target
from validation.verdicts import rules
from validation.verdicts.verdict import Rule

STACK = """
environment: dev
kubernetes: {provider: existing}
milvus: {version: 2.6.20, mode: standalone}
storage: {type: minio}
log: {type: woodpecker, mode: embedded}
"""


def patterns(part):
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from patterns(inner)


def schemas():
    for annotation in typing.get_type_hints(Settings, include_extras=True).values():
        yield TypeAdapter(annotation).json_schema()
    for model in (Target, Rule, Lock):
        yield model.model_json_schema()


def test_every_shape_that_is_asked_for_has_words_and_an_example_of_it():
    found = {pattern for schema in schemas() for pattern in patterns(schema)}
    assert found
    assert found - set(_WANTED) == set()
    for pattern in found:
        example = _WANTED[pattern].rpartition(", such as ")[2]
        assert re.search(pattern, example), (pattern, example)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"storage": {"volume": {"size": "4 gigs"}}}, "without a space, such as 4Gi"),
        ({"milvus": {"version": "9.9"}}, "all its three numbers, such as 2.6.20"),
        ({"log": {"type": "kafka", "mode": "adopt", "brokers": ["k"]}}, "kafka.example.com:9092"),
        ({"log": {"type": "kafka", "mode": "adopt", "brokers": ["k:70000"]}}, "host and port"),
        ({"log": {"type": "kafka", "mode": "adopt", "brokers": ["k:0"]}}, "host and port"),
    ],
)
def test_what_has_the_wrong_shape_in_a_stack_is_told_what_is_wanted(change, said):
    document = yaml.safe_load(STACK)
    for section, keys in change.items():
        document[section] = keys if section == "log" else document[section] | keys
    with pytest.raises(ConfigurationError) as refused:
        parse(document, secrets=(), source="x")
    assert said in str(refused.value)
    assert "pattern" not in str(refused.value)


def test_what_has_the_wrong_shape_in_a_target_or_in_rules_is_told_what_is_wanted():
    with pytest.raises(ConfigurationError) as refused:
        targets.parse({"name": "My Milvus", "milvus": {"uri": "http://a:1"}}, source="x")
    assert "lower-case letters, digits and dashes, such as my-milvus" in str(refused.value)
    rule = {"metric": "data.rows_missing", "max": 0, "unit": "rows"}
    with pytest.raises(ConfigurationError) as refused:
        rules.parse({"schema": rules.SCHEMA, "rules": {"my rule": rule}}, source="x")
    assert "such as latency.p99" in str(refused.value)
    assert "pattern" not in str(refused.value)
