"""The report as one HTML page: no script, nothing loaded from anywhere, readable in ten years.

What comes from servers, datasets and users' tests is escaped by the template engine and its control
characters are made visible. The page's own policy forbids scripts and loading altogether, and
allows exactly the style sheet that stands in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from validation.across import earlier
from validation.common.files import write_whole
from validation.report import past, wording
from validation.report.charts import draw_all
from validation.report.families import families
from validation.report.results import Results
from validation.report.store import REPORT, RESULTS, read_results
from validation.verdicts.verdict import Observation, Outcome, Verdict

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_LONGEST_DOCUMENT = 20_000


def render(folder: Path) -> Path:
    """Write ``report.html`` from a run's results, samples and history, whole or not at all.

    The same folder gives the same bytes, wherever it stands and whenever it is rendered.

    Args:
        folder: The run's folder.

    Returns:
        The page's path.

    Raises:
        ConfigurationError: Results or samples are missing, or of a schema this version cannot read.
    """
    results = read_results(folder)
    return write_whole(folder / REPORT, page(results, folder))


def page(results: Results, folder: Path) -> str:
    """Return the page of a run whose samples are in ``folder``."""
    before = earlier.read(folder)
    open_gates = [gate for gate in results.gates if gate.outcome is not Outcome.PASS]
    return rendered(
        "report.html",
        results=results,
        headline=wording.headline(results),
        open_gates=sorted(open_gates, key=lambda gate: not gate.required),
        targets=_targets(results),
        charts=[(chart, Markup(chart.svg)) for chart in draw_all(results, folder)],  # noqa: S704
        unmeasured=wording.unmeasured(results),
        unruled=wording.unruled(results),
        faults=wording.faults(results),
        answers=wording.answers(results),
        attribution=wording.attribution(results),
        evidence=_numbered(results),
        history=past.overview(results, before),
        past=past.pasts(results, before),
        judged=lambda seen: [gate for gate in results.gates if _subject(gate) == _subject(seen)],
        bad_checks=wording.failed_checks(results),
        results_file=RESULTS,
    )


def _subject(one: Verdict | Observation) -> tuple[str, str, frozenset[tuple[str, str]]]:
    metric = one.rule.metric if isinstance(one, Verdict) else one.metric
    return metric, one.target, frozenset(one.labels.items())


def _numbered(results: Results) -> Callable[[Verdict], int | None]:
    """Return what says the number of the observation that a gate judges; a gate may have none."""
    numbers = {_subject(seen): number for number, seen in enumerate(results.observations, 1)}
    return lambda gate: numbers.get(_subject(gate))


def rendered(template: str, **facts: Any) -> str:
    """Return a page of ours, with the style sheet in it.

    Args:
        template: Its file's name.
        facts: What it shows.
    """
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704  (our own file)
            style_hash=digest,
            **facts,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every text that is put into the page goes through here, whatever it is.
        finalize=lambda value: value if isinstance(value, Markup) else wording.plain(value),
    )
    environment.filters |= {"link": _link, "document": _document}
    environment.tests["plain"] = lambda value: not isinstance(value, (dict, list, tuple))
    environment.globals |= {"wording": wording}
    return environment


def _targets(results: Results) -> list[dict[str, Any]]:
    """Return the targets in order with their gates by claim family."""
    documents = {str(target.get("name", "")): target for target in results.targets}
    names = dict.fromkeys([*documents, *(gate.target for gate in results.gates)])
    return [
        {
            "name": name,
            "document": documents.get(name, {}),
            "server": results.servers.get(name, {}),
            "families": families(gate for gate in results.gates if gate.target == name),
        }
        for name in names
    ]


def _link(path: str) -> str:
    """Return a relative path as a link's target; it cannot name another scheme or host."""
    return "./" + quote(path.lstrip("/"))


def _document(value: Any) -> str:
    """Return plain data as indented JSON, cut where nobody would read on."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) <= _LONGEST_DOCUMENT:
        return text
    more = len(text) - _LONGEST_DOCUMENT
    return f"{text[:_LONGEST_DOCUMENT]}\n… {more:,} more characters in {RESULTS}"
