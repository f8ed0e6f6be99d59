from __future__ import annotations

import re
from datetime import datetime

import pytest
from declaring import DEV, PROD, STANDALONE, changed, declare, settings_of

from infra.day_zero import FACTS, DayZeroProvider, facts
from validation.errors import ConfigurationError
from validation.upgrade import recorded


def failures(olds, news):
    return [(one.property, one.reason) for one in DayZeroProvider().check(olds, news).failures]


def test_first_day_is_free():
    news = facts(settings_of(PROD))
    assert set(news) == {*FACTS, "version"}
    assert failures({}, news) == []


@pytest.mark.parametrize("key", FACTS)
def test_what_was_decided_on_the_first_day_is_refused_at_preview(key):
    olds = facts(settings_of(PROD)) | {key: "earlier"}
    (found,) = failures(olds, olds | {key: "other"})
    assert found[0] == key
    assert FACTS[key].key in found[1]
    assert "go back to the earlier value" in found[1]


@pytest.mark.parametrize(
    ("section", "value", "fact"),
    [
        ("etcd", {"members": 3}, "members"),
        ("etcd", {"volume": {"size": "99Gi"}}, "etcd_volume"),
        ("etcd", {"volume": {"size": "20Gi", "storageClass": "fast"}}, "etcd_volume"),
        ("storage", {"volume": {"size": "99Gi"}}, "storage_volume"),
        ("milvus", {"dataVolume": {"size": "99Gi"}}, "data_volume"),
        ("kubernetes", {"namespace": "other"}, "namespace"),
    ],
)
def test_a_change_of_settings_that_would_lose_data_is_seen(section, value, fact):
    olds, news = (
        facts(settings_of(document))
        for document in (STANDALONE, changed(STANDALONE, **{section: value}))
    )
    assert [name for name, _ in failures(olds, news)] == [fact]


def test_a_part_that_was_not_there_may_come_and_go():
    olds = facts(settings_of(DEV))
    kafka = changed(DEV, log=None) | {"log": {"type": "kafka", "mode": "create"}}
    news = facts(settings_of(kafka)) | {"log": olds["log"]}
    assert news["log_volume"]
    assert failures(olds, news) == []
    assert failures(news, olds) == []


def test_everything_in_the_cluster_waits_for_the_comparison():
    for document in (DEV, PROD):
        declared = declare(document)
        objects = [one for one in declared.resources if one.type.startswith("kubernetes:")]
        late = [one.name for one in objects if "day-zero" not in one.depends_on]
        assert late == []


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("2.6.20", "3.0.5", False),
        ("3.0.5", "3.0.0", False),
        ("2.5.27", "3.0.5", True),
        ("2.6.19", "3.0.5", True),
        ("2.5.3", "2.6.20", True),
        ("3.0.5", "2.6.20", True),
        ("3.1.0", "3.0.5", True),
        ("2.10.0", "2.9.0", True),
    ],
)
def test_version_goes_forward_and_back_only_within_a_release_line(old, new, refused):
    olds = facts(settings_of(DEV)) | {"version": old}
    assert bool(failures(olds, olds | {"version": new})) == refused


KAFKA = {"type": "kafka", "mode": "adopt", "brokers": ["k:9092"], "tls": True}
EMBEDDED = {"type": "woodpecker", "mode": "embedded"}
ROCKSMQ = {"type": "rocksmq"}
MILVUS_3 = {"version": "3.0.5", "mode": "standalone", "dataVolume": {"size": "10Gi"}}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ({"type": "kafka", "mode": "create"}, KAFKA, "log.type"),
        (
            {"type": "pulsar", "host": "p"},
            {"type": "pulsar", "host": "p", "namespace": "other"},
            "log.namespace",
        ),
    ],
)
def test_another_place_of_a_log_is_refused_until_the_rows_are_said_to_be_there(old, new, key):
    document = DEV | {"milvus": MILVUS_3}
    olds, news = (facts(settings_of(document | {"log": log})) for log in (old, new))
    ((_, reason),) = failures(olds, news)
    assert f"add {key} to migration.accept for one `pulumi up`" in reason
    settings = settings_of(document | {"log": new, "migration": {"accept": [key]}})
    accepted = {"accept": list(settings.migration.accept)}
    found = DayZeroProvider().check(olds, news | accepted)
    assert found.failures == []
    assert "accept" not in found.inputs  # heeded once, not kept


def of_logs(old, new, *versions):
    """The facts before and after, for the same version of Milvus or for two."""
    was, now = versions if len(versions) == 2 else versions * 2
    olds = facts(settings_of(DEV)) | {"log": old, "version": was}
    return olds, olds | {"log": new, "version": now}


SWITCHED = {
    "was": "rocksmq",
    "now": "woodpecker-embedded",
    "server": "v3.0.5",
    "proved": "2026-05-02T10:00:00+00:00",
}


@pytest.mark.parametrize(
    ("logs", "switched", "why"),
    [
        # For what came before 3.0 the refusal stays, whatever is accepted or recorded.
        (("rocksmq", "woodpecker-embedded", "2.6.20"), SWITCHED, "Milvus 2.6.20 has no way"),
        (("kafka-adopt", "pulsar", "2.5.27"), None, "Milvus 2.5.27 has no way to another log"),
        # Never together with an upgrade.
        (
            ("rocksmq", "woodpecker-embedded", "3.0.4", "3.0.5"),
            SWITCHED,
            "together with another version (was 3.0.4, now 3.0.5)",
        ),
        # One hop.
        (("kafka-adopt", "pulsar", "3.0.5"), SWITCHED, "from RocksMQ, Kafka or Pulsar to embedded"),
        (("woodpecker-embedded", "kafka-adopt", "3.0.5"), SWITCHED, "to embedded Woodpecker"),
        (("woodpecker-embedded", "woodpecker-service", "3.0.5"), None, "to embedded Woodpecker"),
        (("rocksmq", "woodpecker-service", "3.0.5"), SWITCHED, "to embedded Woodpecker"),
        # Manifests before and after.
        (("rocksmq", "woodpecker-embedded", "3.0.5"), None, "run `milvus-kit switch-log`"),
        (
            ("kafka-create", "woodpecker-embedded", "3.0.5"),
            SWITCHED,
            "is of another switch: another log was left (rocksmq, not kafka)",
        ),
        (
            ("rocksmq", "woodpecker-embedded", "3.0.4"),
            SWITCHED,
            "is of another switch: another version was running (3.0.5, not 3.0.4)",
        ),
    ],
)
def test_another_type_of_log_is_refused_with_the_reason(logs, switched, why):
    olds, news = of_logs(*logs)
    for accept in ([], ["log.type"]):
        given = news | {"accept": accept} | ({"switched": switched} if switched else {})
        reasons = dict(failures(olds, given))
        assert why in reasons["log"]
        assert (
            "go back to the earlier value" in reasons["log"] or "name the record" in reasons["log"]
        )


@pytest.mark.parametrize("old", ["rocksmq", "kafka-adopt", "kafka-create", "kafka", "pulsar"])
def test_a_log_that_was_switched_and_proved_is_followed_once(old):
    olds, news = of_logs(old, "woodpecker-embedded", "3.0.5")
    found = DayZeroProvider().check(olds, news | {"switched": SWITCHED | {"was": old}})
    assert found.failures == []
    assert "switched" not in found.inputs


@pytest.mark.parametrize(
    ("since", "refused"),
    [
        ("2026-05-01T00:00:00+00:00", False),
        ("2026-05-02T12:00:00+02:00", False),
        ("2026-05-02T10:00:01+00:00", True),
    ],
)
def test_the_record_of_a_deployment_before_this_one_is_refused(since, refused):
    olds, news = of_logs("rocksmq", "woodpecker-embedded", "3.0.5")
    found = dict(failures(olds | {"since": since}, news | {"switched": SWITCHED}))
    assert bool(found) == refused
    if refused:
        assert "is of a deployment before this one" in found["log"]


def test_since_when_a_deployment_is_there_is_kept_and_never_made_up():
    provider, news = DayZeroProvider(), facts(settings_of(DEV))
    first = provider.check({}, news).inputs
    assert datetime.fromisoformat(first["since"]).tzinfo is not None
    assert provider.check(first, news).inputs["since"] == first["since"]
    assert not provider.diff("day-zero", first, provider.check(first, news).inputs).changes
    assert "since" not in provider.check(dict(news), news).inputs  # of an earlier release


@pytest.mark.parametrize("target", ["test", "other"])
def test_the_record_is_read_beside_the_stack_and_must_be_its_own(tmp_path, target):
    path = tmp_path / "switched.json"
    read = {"before": "a", "after": "b", "collections": 1, "rows": 1, "databases": ["default"]}
    recorded.Record.model_validate({"target": target, **SWITCHED, **read}).save(path)
    named = {"logSwitch": str(path)}
    document = DEV | {"milvus": MILVUS_3, "log": EMBEDDED, "migration": named}
    if target == "test":
        (made,) = declare(document).of("DayZero").values()
        assert made.inputs["switched"] == SWITCHED
    else:
        with pytest.raises(ConfigurationError, match="is of another stack"):
            declare(document)


def test_what_is_accepted_says_nothing_about_the_rest():
    olds = facts(settings_of(DEV))
    news = olds | {"bucket": "other", "namespace": "elsewhere", "accept": ["storage.bucket"]}
    assert [name for name, _ in failures(olds, news)] == ["namespace"]


def test_an_older_line_is_accepted_once_the_data_is_its_own():
    olds = facts(settings_of(DEV))
    news = olds | {"version": "2.6.20"}
    assert "add milvus.version to migration.accept" in failures(olds, news)[0][1]
    assert failures(olds, news | {"accept": ["milvus.version"]}) == []


def test_each_remedy_that_names_the_settings_is_one_that_they_take():
    for fact in FACTS.values():
        named = re.search(r"add (\S+) to migration.accept", fact.remedy)
        if named:
            settings_of(DEV | {"migration": {"accept": [named[1]]}})


def test_a_state_that_does_not_know_whose_kafka_it_was_takes_either():
    olds = facts(settings_of(DEV)) | {"log": "kafka"}
    for now in ("kafka-create", "kafka-adopt"):
        assert failures(olds, olds | {"log": now}) == []


def test_upgrade_is_kept():
    provider, olds = DayZeroProvider(), facts(settings_of(DEV))
    assert not provider.diff("day-zero", dict(olds), dict(olds)).changes
    news = dict(olds) | {"version": "3.0.6"}
    assert provider.diff("day-zero", dict(olds), news).changes
    assert provider.update("day-zero", dict(olds), news).outs == news
