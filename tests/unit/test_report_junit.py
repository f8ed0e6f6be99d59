"""JUnit XML: of the usual shape, and red in a CI whenever the run is not a pass."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tests.builders import build
from validation.report import junit
from validation.report.results import Check, State
from validation.verdicts.verdict import Outcome

# The elements and attributes that Jenkins' and GitLab's readers know, and their order.
SUITE = {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase"],
    "properties": ["property"],
    "testcase": ["skipped", "error", "failure", "system-out"],
}
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": SUITE,
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"classname", "name", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
    "system-out": set(),
}


def parsed(results):
    return ET.fromstring(junit.document(results))


def case(root, name):
    (found,) = [one for one in root.iter("testcase") if one.get("name") == name]
    return found


def marks(element):
    return {child.tag for child in element} & {"failure", "error", "skipped"}


def said(element, tag):
    mark = element.find(tag)
    assert mark is not None
    return mark.get("message", "")


def assert_usual_shape(element):
    allowed = CHILDREN.get(element.tag, [])
    places = [allowed.index(child.tag) for child in element]
    assert places == sorted(places), element.tag
    assert set(element.attrib) == ATTRIBUTES[element.tag], element.tag
    for child in element:
        assert_usual_shape(child)


def assert_counts_add_up(root):
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(key)) == sum(one.find(tag) is not None for one in cases)
        assert all(len(marks(one)) <= 1 for one in cases)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
    for key in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(key)) == sum(int(suite.get(key)) for suite in root)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hnsw": 0.9, "missing_rows": 3},
        {"saturated": True},
        {"state": State.BROKEN, "reason": "gone"},
        {"hostile": "]]>\x00\x1b\ufffe\ud800<b a='\"'>&"},
    ],
    ids=["pass", "fail", "inconclusive", "broken", "hostile"],
)
def test_the_document_has_the_shape_that_ci_servers_read(tmp_path, changes):
    if "hostile" in changes:  # a lone surrogate cannot be stored, so it stops at the results
        changes = {"hostile": changes["hostile"].replace("\ud800", "")}
    root = parsed(build(tmp_path, **changes))
    assert_usual_shape(root)
    assert_counts_add_up(root)


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({}, set()),
        ({"missing_rows": 3}, {"failure"}),
        ({"saturated": True}, {"error"}),
        ({"state": State.INTERRUPTED, "reason": "Ctrl-C"}, {"error"}),
        ({"state": State.BROKEN}, {"error"}),
    ],
)
def test_only_a_pass_is_green(tmp_path, changes, mark):
    results = build(tmp_path, **changes)
    root = parsed(results)
    assert marks(case(root, f"verdict of {results.run}")) == mark
    green = (root.attrib["failures"], root.attrib["errors"]) == ("0", "0")
    assert green is (results.verdict is Outcome.PASS)


def test_a_failed_required_gate_is_a_failure_with_rule_and_remedy(tmp_path):
    found = case(parsed(build(tmp_path, hnsw=0.9)), "recall.hnsw (index HNSW)")
    assert marks(found) == {"failure"}
    message = said(found, "failure")
    assert "mean ≥ 0.95; observed 0.9032" in message
    assert "raise the search width" in message


def test_an_advisory_gate_that_failed_is_skipped_and_says_so(tmp_path):
    found = case(parsed(build(tmp_path)), "latency.serial.fast")
    assert marks(found) == {"skipped"}
    assert said(found, "skipped").startswith("advisory: latency.serial.fast: FAIL")


def test_a_gate_without_a_measurement_is_skipped_with_the_reason(tmp_path):
    found = case(parsed(build(tmp_path)), "recall.diskann (index DISKANN)")
    assert "did not build the index within 2 s" in said(found, "skipped")


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [("passed", set()), ("failed", {"failure"}), ("error", {"error"}), ("skipped", {"skipped"})],
)
def test_checks_keep_their_outcome(tmp_path, outcome, mark):
    check = Check(
        id="site/a.py::b", outcome=outcome, seconds=1.5, message="E  no\nmore", target="local"
    )
    found = case(parsed(build(tmp_path, extra_checks=(check,))), "b")
    assert found.get("classname") == "local.checks.site.a"
    assert found.get("time") == "1.500"
    assert marks(found) == mark


def test_a_rule_that_nothing_matched_has_a_suite(tmp_path):
    results = build(tmp_path)
    lost = results.gates[0].model_copy(update={"target": ""})
    root = parsed(results.model_copy(update={"gates": (*results.gates, lost)}))
    assert "no-target" in [suite.get("name") for suite in root]


def test_the_file_is_the_same_from_a_copied_folder(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    written = junit.write(build(first), first)
    again = junit.write(build(second), second)
    assert written.read_bytes() == again.read_bytes()
    assert not list(tmp_path.rglob("*.partial"))
