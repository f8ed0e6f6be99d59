"""docs/stores.md, made from what is recorded in docs/stores/: ``python -m tests.stores.page``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.stores.go_client import GoRun
from tests.stores.record import DEFAULTS, REQUIRED, Log, Record, load_all
from tests.stores.record import FOLDER as RECORDS
from validation.common.files import write_whole
from validation.verdicts.verdict import Outcome

PAGE = RECORDS.with_suffix(".md")
_HEAD = """\
# Stores

What `make stores` found of S3 servers that anybody can have, each installed from its registry at
the version named here and run on loopback. `milvus-kit preflight` says whether a store carries
Milvus, and with which log; then real clients say whether that is true: Woodpecker's own (two owners
of a log, one of them paused while the other takes over), pyarrow's S3 file system, which is
aws-sdk-cpp, and Milvus 2.3.5 through the smoke suite with its restart, where preflight lets it
through or the other clients find nothing wrong. A run in which they contradict each other fails.

Single servers on one host, without load: what is said here of a product is not said of its
clusters, its other versions, or your network. [storage.md](storage.md) says what each rule is, and
how to ask your own store. Of Milvus's gates, `storage.rules` asks preflight's rules again, and
`living.stale` fails now and then on any store: Milvus 2.3.5 shows old versions of rows
([living.md](living.md)).

"""
_COLUMNS = ("store", "Milvus", "embedded Woodpecker", "aws-sdk-cpp's checksums", "recorded")
_WORDS = {Outcome.PASS: "yes", Outcome.FAIL: "no"}


def page(records: Iterable[Record]) -> str:
    """Return the whole page."""
    known = sorted(records, key=lambda one: (one.verdict is not Outcome.PASS, one.title.lower()))
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_row, known)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return _HEAD + table + "".join(map(_section, known))


def _row(one: Record) -> tuple[str, ...]:
    carried = _WORDS.get(one.verdict, one.verdict.value)
    name = f"[{one.title} {one.version}](#{_anchor(one)})"
    return (name, carried, one.woodpecker, f"`{one.checksums}`", one.recorded.isoformat())


def _anchor(one: Record) -> str:
    kept = re.sub(r"[^a-z0-9 -]", "", f"{one.title} {one.version}".lower())
    return kept.replace(" ", "-")


def _section(one: Record) -> str:
    by_arrow = f"at its defaults: {_arrow(one.arrow[DEFAULTS])}"
    by_arrow += f"; with checksums `{REQUIRED}`: {_arrow(one.arrow[REQUIRED])}"
    lines = [
        f"Preflight: **{one.verdict.value}**: {one.reason}",
        f"Log: embedded Woodpecker is {one.woodpecker}: {one.log_reason}",
        f"Woodpecker's own client: {_log(one.log)}",
        f"minio-go: {_go(one.go)}",
        f"pyarrow {by_arrow}",
        f"Milvus: {_milvus(one)}",
    ]
    said = "".join(f"- {_short(line)}\n" for line in lines)
    odd = "".join(
        f"- `{name}`{' (required)' if name in one.required else ''}: {_short(reason)}\n"
        for name, reason in one.broken.items()
    )
    rules = f"\nRules that it breaks:\n\n{odd}" if odd else "\nIt breaks no rule.\n"
    settings = f"\n```yaml\n{one.settings}```\n" if one.settings else ""
    from_ = f"From {one.source}, by milvus-kit {one.kit_version}, {one.recorded.isoformat()}."
    return f"\n## {one.title} {one.version}\n\n{from_}\n\n{said}{rules}{settings}"


def _log(log: Log) -> str:
    ways = {"enable": "conditional writes", "disable": "locks in etcd"}
    way = f"by {ways.get(log.mode, log.mode or 'no way')}, found in {log.detection_seconds:g} s"
    kept = "all in order" if log.intact else "not as it should be"
    trouble = f": {'; '.join(log.trouble)}" if log.trouble else ""
    return f"{way}; {log.acknowledged} entries of two owners acknowledged, {kept}{trouble}"


def _go(go: GoRun) -> str:
    told = f"answered {go.condition}" if go.condition else "done"
    fate = "overwritten" if go.overwrote else "kept"
    condition = f"an object is {fate} by 40 MiB on condition that it is absent ({told})"
    return f"{condition}; parts with trailing checksums: {go.trailers or 'work'}"


def _arrow(trouble: dict[str, str]) -> str:
    told = {what: re.sub(r" *\(Request ID: [^)]*\)", "", how) for what, how in trouble.items()}
    said = [f"{what}: {how}" for what, how in told.items() if how]
    return "; ".join(said) or "works"


def _milvus(one: Record) -> str:
    if one.milvus is None:
        return "not run"
    said = f"{one.milvus.version}, {one.milvus.passed} gates of the smoke suite pass"
    for word, gates in (("fail", one.milvus.failed), ("undecided", one.milvus.undecided)):
        said += f"; {word}: {', '.join(gates)}" if gates else ""
    return said


def _short(text: str) -> str:
    """Return a text on one line that Markdown shows as it is."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


if __name__ == "__main__":
    write_whole(PAGE, page(load_all()))
