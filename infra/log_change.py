"""Another log for a Milvus that runs: refused, but for the one switch that was made and proved.

Until 2.6 the type of the log is fixed with the first start. Milvus 3.0 can be told to go over to
another while it runs (``POST /management/wal/alter`` of its mixcoord), and what follows is a change
of the settings alone. `milvus-kit switch-log` does it between two manifests and writes a record;
without that record, in an upgrade, or by any other way, the change stays refused. So it does with
the record of a deployment before this one, which is older than this one's first day.

Sources: milvus.io/docs/switch-mq-type.md; milvus-io/milvus #52013, #52018 (consumers left behind);
zilliztech/woodpecker #216 (never between embedded Woodpecker and its service).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

SWITCHES_SINCE = (3, 0)
EMBEDDED = "woodpecker-embedded"
FROM = frozenset({"rocksmq", "kafka", "pulsar"})
"""Logs that are left for embedded Woodpecker, which needs no access that Milvus has not already."""
SETTING = "migration.logSwitch"
_STAY = "go back to the earlier value"
_MOVE = f"{_STAY}, or deploy a new stack and move the data (`milvus-kit backup`, milvus-backup)"


def is_another_type(old: str, new: str) -> bool:
    """Return whether one log is another to Milvus; whose Kafka it is, is nothing to it."""
    return old != new and not (_family(old) == _family(new) == "kafka")


def refused(
    olds: Mapping[str, Any], news: Mapping[str, Any], switched: Mapping[str, Any] | None
) -> str:
    """Return why a log may not become another type, and what to do; empty if it may.

    Args:
        olds: Facts of the first day, with ``log``, ``version`` and, unless an earlier release kept
            them, when that was (``since``).
        news: What the settings say now.
        switched: The record of the switch, if the settings name one.
    """
    old, new = olds["log"], news["log"]
    was, now = olds.get("version", ""), news.get("version", "")
    if was and _line(was) < SWITCHES_SINCE:
        return _said(
            f"Milvus {was} has no way to another log, and rows that are only in the old one would"
            " be lost; the first that goes over while it runs is 3.0",
            f"{_MOVE}; or upgrade to 3.0 with the log that it has, and switch then"
            " (docs/upgrade.md)",
        )
    if was and was != now:
        return _said(
            f"another log together with another version (was {was}, now {now}) could not be proved,"
            " nor gone back from",
            f"{_STAY} of one of them, let that come up, and make the other change then",
        )
    if new != EMBEDDED or _family(old) not in FROM:
        return _said(
            "the one change of a running Milvus's log that can be proved here is from RocksMQ,"
            " Kafka or Pulsar to embedded Woodpecker",
            _MOVE,
        )
    if switched is None:
        return _said(
            "rows that are only in the old log would be lost",
            f"{_STAY}, run `milvus-kit switch-log`, and name the record that it writes in"
            f" {SETTING}; where it broke off, the same folder goes on",
        )
    return _unfit(switched, olds, news)


def _unfit(switched: Mapping[str, Any], olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """Return why a record is not of this switch; empty if it is."""
    since = olds.get("since")
    if since and datetime.fromisoformat(switched["proved"]) < datetime.fromisoformat(since):
        return _said(
            f"the record in {SETTING} is of a deployment before this one: the switch was proved at"
            f" {switched['proved']}, and this one is there since {since}",
            f"{_STAY}, run `milvus-kit switch-log` for this one, and name its record",
        )
    for what, wanted, seen in (
        ("another log was left", _family(olds["log"]), _family(switched["was"])),
        ("Milvus went over to another log", news["log"], switched["now"]),
        ("another version was running", _plain(news["version"]), _plain(switched["server"])),
    ):
        if wanted != seen:
            return _said(
                f"the record in {SETTING} is of another switch: {what} ({seen}, not {wanted})",
                "name the record that `milvus-kit switch-log` wrote for this stack",
            )
    return ""


def _said(reason: str, remedy: str) -> str:
    return f"{reason}. -> {remedy}"


def _family(kind: str) -> str:
    return kind.split("-", maxsplit=1)[0]


def _plain(version: str) -> str:
    return version.removeprefix("v").split("-", maxsplit=1)[0]


def _line(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _plain(version).split(".")[:2])
