"""JUnit XML, in the shape that Jenkins, GitLab and the others read.

One testsuite for each target, with a testcase for each of its checks and each of its gates, and one
suite for the run itself whose single testcase is the verdict. That one is what keeps a CI honest:
readers of JUnit show skipped tests as harmless, but a run that is not a pass must not look green.

========================================  ===============
a required gate failed                    failure
a gate was inconclusive or not measured   skipped, with the reason
an advisory gate did not pass             skipped, marked advisory
a check failed; broke off; was skipped    failure; error; skipped
the run's verdict is fail                 failure
the run's verdict is inconclusive         error
========================================  ===============
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from xml.etree import ElementTree as ET

from validation.common.files import write_whole
from validation.report import wording
from validation.report.families import family
from validation.report.results import Check, Results
from validation.verdicts.verdict import Outcome, Verdict

JUNIT = "junit.xml"
NO_TARGET = "no-target"


def write(results: Results, folder: Path) -> Path:
    """Write ``junit.xml`` to a run's folder, whole or not at all.

    Args:
        results: The run.
        folder: Its folder.

    Returns:
        The file's path.
    """
    return write_whole(folder / JUNIT, document(results))


def document(results: Results) -> str:
    """Return the XML document."""
    root = ET.Element("testsuites", name="milvus-kit")
    _suite(root, results, "milvus-kit", [_verdict_case(results)])
    names = [str(target.get("name", "")) for target in results.targets]
    names += [part.target for part in (*results.gates, *results.checks)]
    for name in dict.fromkeys(names):
        cases = [_check_case(check) for check in results.checks if check.target == name]
        cases += [_gate_case(gate) for gate in results.gates if gate.target == name]
        if cases:
            _suite(root, results, name or NO_TARGET, cases, properties=_properties(results, name))
    for key in ("tests", "failures", "errors", "skipped", "time"):
        whole = sum(float(suite.get(key, "0")) for suite in root)
        root.set(key, f"{whole:.3f}" if key == "time" else str(int(whole)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _suite(
    root: ET.Element,
    results: Results,
    name: str,
    cases: Sequence[ET.Element],
    *,
    properties: dict[str, str] | None = None,
) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_safe(name),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{sum(float(case.get('time', '0')) for case in cases):.3f}",
        timestamp=results.started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        hostname="localhost",
    )
    if properties:
        inside = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(inside, "property", name=key, value=_safe(value))
    suite.extend(cases)


def _properties(results: Results, target: str) -> dict[str, str]:
    version = results.servers.get(target, {}).get("version", "unknown")
    return {
        "run": results.run,
        "profile": results.profile,
        "milvus-kit": results.kit_version,
        "milvus": str(version),
        "rules": results.rules_source,
    }


def _verdict_case(results: Results) -> ET.Element:
    case = _case("milvus-kit", f"verdict of {results.run}", 0.0)
    headline = wording.headline(results)
    if results.verdict is Outcome.FAIL:
        _mark(case, "failure", headline, kind="fail")
    elif results.verdict is not Outcome.PASS:
        _mark(case, "error", headline, kind=results.verdict.value)
    _say(case, f"{wording.WORDS[results.verdict]}  {headline}")
    return case


def _gate_case(gate: Verdict) -> ET.Element:
    where = f"{gate.target or NO_TARGET}.gates.{family(gate.rule.metric)}"
    case = _case(where, f"{gate.gate}{wording.labels(gate)}", 0.0)
    said = wording.gate_line(gate)
    if gate.outcome is Outcome.FAIL and gate.required:
        _mark(case, "failure", said, kind="gate")
    elif gate.outcome is not Outcome.PASS:
        _mark(case, "skipped", said if gate.required else f"advisory: {said}")
    _say(case, said)
    return case


def _check_case(check: Check) -> ET.Element:
    module, _, test = check.id.partition("::")
    stem = module.removesuffix(".py").replace("/", ".")
    case = _case(f"{check.target or NO_TARGET}.checks.{stem}", test or check.id, check.seconds)
    message = wording.plain(check.message)
    first = wording.line(message.splitlines()[0]) if message.strip() else "no reason was given"
    if check.outcome in {"failed", "error"}:
        tag = "failure" if check.outcome == "failed" else "error"
        _mark(case, tag, first, kind="check", text=message)
    elif check.outcome == "skipped":
        _mark(case, "skipped", first)
    return case


def _case(classname: str, name: str, seconds: float) -> ET.Element:
    return ET.Element(
        "testcase", classname=_safe(classname), name=_safe(name), time=f"{max(0.0, seconds):.3f}"
    )


def _mark(case: ET.Element, tag: str, message: str, *, kind: str = "", text: str = "") -> None:
    mark = ET.SubElement(case, tag, message=_safe(message))
    if kind:
        mark.set("type", kind)
        mark.text = _safe(text or message)


def _say(case: ET.Element, text: str) -> None:
    ET.SubElement(case, "system-out").text = _safe(text)


def _safe(text: str) -> str:
    """Return a text that XML 1.0 can hold: control characters are made visible."""
    return wording.plain(text).replace("\ufffe", "?").replace("\uffff", "?")
