"""A rule that could not judge is refused when it is read, and says why."""

import math

import pytest
from pydantic import ValidationError

from validation.verdicts.catalogue import CATALOGUE
from validation.verdicts.verdict import Rule

RECALL = Rule(gate="recall", metric="ann_overlap@10", min=0.95, unit="ratio")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min": None}, "exactly one of min and max"),
        ({"max": 0.9}, "exactly one of min and max"),
        ({"min": math.nan}, "finite"),
        ({"min": math.inf}, "finite"),
        ({"min": True}, "truth value"),
        ({"unit": "%"}, "is not the unit of ann_overlap@10: 'ratio'"),
        ({"metric": "ann_overlap@11"}, "unknown metric 'ann_overlap@11'; known:"),
        ({"metric": ["ann_overlap@10"]}, "valid string"),
        ({"statistic": "p99"}, "says nothing of ann_overlap@10; use one of proportion, mean"),
        ({"statistic": "median"}, "unknown statistic 'median'"),
        ({"min": None, "max": 0.9}, "better when higher: give min"),
        ({"confidence": 1.0}, "less than 1"),
        ({"gate": "a b"}, "pattern"),
        ({"threshold": 1}, "Extra inputs"),
    ],
)
def test_a_rule_that_could_not_judge_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Rule.model_validate(RECALL.model_dump() | {"statistic": ""} | changes)


def test_each_metric_of_the_catalogue_can_carry_a_rule_of_its_default_statistic():
    for metric in CATALOGUE.values():
        side = "min" if metric.better == "higher" else "max"
        rule = Rule.model_validate(
            {"gate": "g", "metric": metric.name, "unit": metric.unit, side: 0.5}
        )
        assert rule.statistic == metric.statistics[0]
