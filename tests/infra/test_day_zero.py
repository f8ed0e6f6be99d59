from __future__ import annotations

import pytest
from declaring import DEV, PROD, changed, settings_of

from infra.day_zero import KEYS, REASONS, DayZeroProvider, facts


def failures(olds, news):
    return [(one.property, one.reason) for one in DayZeroProvider().check(olds, news).failures]


def test_first_day_is_free():
    news = facts(settings_of(PROD))
    assert set(news) == set(KEYS)
    assert failures({}, news) == []


@pytest.mark.parametrize("key", REASONS)
def test_what_was_decided_on_the_first_day_is_refused_at_preview(key):
    olds = facts(settings_of(PROD))
    (found,) = failures(olds, olds | {key: "other"})
    assert found[0] == key
    assert KEYS[key] in found[1]
    assert "milvus-backup" in found[1]


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("2.6.20", "3.0.5", False),
        ("3.0.5", "3.0.0", False),
        ("3.0.5", "2.6.20", True),
        ("3.1.0", "3.0.5", True),
        ("2.10.0", "2.9.0", True),
    ],
)
def test_version_goes_forward_and_back_only_within_a_release_line(old, new, refused):
    olds = facts(settings_of(DEV)) | {"version": old}
    assert bool(failures(olds, olds | {"version": new})) == refused


def test_moving_to_another_kafka_is_no_other_log():
    own = changed(DEV, log={"type": "kafka", "mode": "create"})
    adopted = changed(DEV, log=None) | {
        "log": {"type": "kafka", "mode": "adopt", "brokers": ["k:9092"]}
    }
    assert facts(settings_of(own))["log"] == facts(settings_of(adopted))["log"]


def test_upgrade_is_kept():
    provider, olds = DayZeroProvider(), facts(settings_of(DEV))
    assert not provider.diff("day-zero", dict(olds), dict(olds)).changes
    news = dict(olds) | {"version": "3.0.6"}
    assert provider.diff("day-zero", dict(olds), news).changes
    assert provider.update("day-zero", dict(olds), news).outs == news
