"""The report as one HTML page: no script, nothing loaded from anywhere, readable in ten years.

What comes from servers, datasets and users' tests is escaped by the template engine and its control
characters are made visible. The page's own policy forbids scripts and loading altogether, and
allows exactly the style sheet that stands in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from validation.files import write_whole
from validation.report import wording
from validation.report.charts import draw_all
from validation.report.results import Results
from validation.report.store import RESULTS, read_results
from validation.verdict import Outcome, Verdict

REPORT = "report.html"
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_LONGEST_DOCUMENT = 20_000


def render(folder: Path) -> Path:
    """Write ``report.html`` from a run's results and samples, whole or not at all.

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
    environment = _environment()
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    open_gates = [gate for gate in results.gates if gate.outcome is not Outcome.PASS]
    return environment.get_template("report.html").render(
        results=results,
        style=Markup(style),  # noqa: S704  (our own file)
        style_hash=digest,
        headline=wording.headline(results),
        open_gates=sorted(open_gates, key=lambda gate: not gate.required),
        targets=_targets(results),
        charts=[(chart, Markup(chart.svg)) for chart in draw_all(results, folder)],  # noqa: S704
        unmeasured=wording.unmeasured(results),
        unruled=wording.unruled(results),
        faults=wording.faults(results),
        answers=wording.answers(results),
        bad_checks=wording.failed_checks(results),
        results_file=RESULTS,
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
            "families": _families([gate for gate in results.gates if gate.target == name]),
        }
        for name in names
    ]


def _families(gates: list[Verdict]) -> list[tuple[str, list[Verdict]]]:
    found = [
        (title, [gate for gate in gates if wording.family(gate.rule.metric) == name])
        for name, title in wording.FAMILIES.items()
    ]
    return [(title, inside) for title, inside in found if inside]


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
