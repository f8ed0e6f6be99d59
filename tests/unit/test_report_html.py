"""The page: complete in itself, harmless whatever servers say, and the same wherever rendered."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from tests.builders import build
from validation.errors import ConfigurationError
from validation.report import charts, drawing, html
from validation.report.results import Check, State
from validation.report.store import read_results, write_results
from validation.report.svg import cleaned
from validation.verdicts.verdict import Observation

HOSTILE = "</pre></style><script>alert(1)</script><img src=x onerror=alert(1)>'\"&{{7*7}}\x1b\u202e"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a reader needs of a page: its elements, its texts, and whether it is well nested."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.texts = []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def rendered(folder, **changes):
    build(folder, **changes)
    return html.render(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    broken = Check(id=f"a.py::{HOSTILE}", outcome="error", seconds=1, message=HOSTILE)
    folder = tmp_path_factory.mktemp("hostile")
    return rendered(
        folder, hostile=HOSTILE, reason=HOSTILE, state=State.BROKEN, extra_checks=(broken,)
    )


@pytest.fixture(scope="module")
def passing(tmp_path_factory):
    return rendered(tmp_path_factory.mktemp("passing"))


@pytest.mark.parametrize("which", ["passing", "hostile"])
def test_the_page_is_well_nested_and_names_no_id_twice(which, request):
    page = Page(request.getfixturevalue(which))
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("which", ["passing", "hostile"])
def test_the_page_runs_nothing_and_loads_nothing(which, request):
    page = Page(request.getfixturevalue(which))
    assert not {
        "script",
        "img",
        "iframe",
        "link",
        "object",
        "embed",
        "form",
        "base",
        "image",
        "use",
    } & {tag for tag, _ in page.elements}
    for _, attrs in page.elements:
        assert not [key for key in attrs if key.startswith("on") or key in {"src", "style"}]
        assert attrs.get("href", "./").startswith(("./", "#"))


@pytest.mark.parametrize("which", ["passing", "hostile"])
def test_a_link_within_the_page_leads_somewhere(which, request):
    page = Page(request.getfixturevalue(which))
    places = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = {attrs["href"][1:] for attrs in page.all("a") if attrs["href"].startswith("#")}
    assert links - places == set()
    assert len(links) > 20


def test_a_family_is_a_line_and_a_gate_leads_to_its_evidence_and_remedy(tmp_path):
    text = rendered(tmp_path, missing_rows=3)
    page = Page(text)
    assert "Data ✗ FAIL 1 of 2 passed, 1 failed" in page.text
    gate = re.search(r'<a href="#(evidence-\d+)"><code>data.complete</code>', text)
    assert gate is not None
    evidence = text[text.index(f'<div id="{gate[1]}">') :].split("</details>")[0]
    for said in ("data.complete", "required", "≤ 0 rows", "→", "samples/", "first missing"):
        assert said in evidence


def test_the_page_shows_what_is_deployed_and_what_the_store_explains(tmp_path):
    results = build(tmp_path)
    seen = results.observations[0].model_copy(
        update={
            "evidence": {
                "answer": "undecided",
                "low": 0.0,
                "high": 0.0303,
                "bound": "compute-bound",
                "arithmetic": "at most 1 s / 33 s",
            }
        }
    )
    observations = (seen, *results.observations[1:])
    write_results(tmp_path, results.model_copy(update={"observations": observations}))
    page = Page(html.render(tmp_path).read_text(encoding="utf-8"))
    assert "Log rocksmq" in page.text
    assert "S3 store minio bucket milvus at http://127.0.0.1:9000" in page.text
    assert "0 % to 3.03 % compute-bound at most 1 s / 33 s" in page.text


def test_the_policy_allows_the_page_s_own_style_and_nothing_else(hostile):
    policy = next(attrs["content"] for attrs in Page(hostile).all("meta") if "http-equiv" in attrs)
    (style,) = re.findall(r"<style>(.*?)</style>", hostile, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_hostile_texts_are_shown_as_texts(hostile):
    page = Page(hostile)
    assert "<script>alert(1)</script>" in page.text
    assert "{{7*7}}" in page.text
    assert "\\u001b\\u202e" in page.text
    assert not {"\x1b", "\u202e"} & set(hostile)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "PASS"),
        ({"missing_rows": 3}, "FAIL"),
        ({"saturated": True}, "INCONCLUSIVE"),
        ({"state": State.INTERRUPTED, "reason": "Ctrl-C"}, "INCONCLUSIVE"),
    ],
)
def test_the_verdict_comes_first_and_in_the_title(tmp_path, changes, word):
    text = rendered(tmp_path, **changes)
    assert f"<title>{word} · " in text
    body = Page(text.partition("<body>")[2].partition("<main>")[0])
    assert word in body.text
    assert {"PASS", "FAIL", "INCONCLUSIVE"} & set(body.text.split()) == {word}


def test_an_interrupted_run_is_marked_at_the_top(tmp_path):
    head = rendered(tmp_path, state=State.INTERRUPTED, reason="Ctrl-C").partition("<main>")[0]
    assert "Incomplete:" in head
    assert "the run was interrupted: Ctrl-C" in head
    assert "it is not a pass" in head


def test_each_gate_shows_rule_figure_n_verdict_and_what_to_do(tmp_path):
    page = Page(rendered(tmp_path, hnsw=0.9, missing_rows=3))
    for gate in read_results(tmp_path).gates:
        assert gate.gate in page.text
        assert " ".join(gate.reason.split()) in page.text
        assert gate.remedy in page.text
    assert "mean ≥ 0.95" in page.text
    assert "0.9032 [0.8703, 0.9285]" in page.text


def test_what_was_measured_is_said(passing):
    text = Page(passing).text
    for fact in (
        "v2.3.5", "local-lite", "3.2.2", "Imaginary CPU", "24.0 GiB", "seed 20240501",
        "9b74c9897bac770f", "profile smoke", "stacks/local.slo.yaml", "http://127.0.0.1:9000",
        "Milvus and MinIO share this host with the client.",
    ):  # fmt: skip
        assert fact in text


def test_links_lead_to_samples_that_are_there(tmp_path):
    hrefs = {attrs["href"] for attrs in Page(rendered(tmp_path)).all("a")}
    links = {one for one in hrefs if not one.startswith("#")}
    assert "./results.json" in links
    assert len(links) > 15
    assert all((tmp_path / unquote(link)).is_file() for link in links)


def test_tables_have_headers_and_charts_have_names(passing):
    page = Page(passing)
    assert all(attrs.get("scope") for attrs in page.all("th"))
    svgs = page.all("svg")
    assert len(svgs) == 6
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    for attrs in svgs:
        assert attrs["role"] == "img"
        assert set(attrs["aria-labelledby"].split()) <= ids


def test_every_colour_of_a_chart_has_one_for_a_dark_page(passing):
    (style,) = re.findall(r"<style>(.*?)</style>", passing, re.DOTALL)
    drawn = "".join(re.findall(r"<svg.*?</svg>", passing, re.DOTALL))
    used = set(re.findall(r'((?:fill|stroke)="#[0-9a-f]+")', drawn))
    assert used
    assert {pair for pair in used if f"svg [{pair}]" not in style} == set()


def luminance(colour):
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_texts_stand_out_from_their_ground_in_light_and_dark(passing):
    light, dark = re.findall(r":root \{(.*?)\}", passing, re.DOTALL)[:2]
    for block in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        pairs = [
            (text, ground) for text in ("ink", "muted", "link") for ground in ("page", "raised")
        ]
        pairs += [
            (name, f"{name}-tint") for name in ("pass", "fail", "inconclusive", "not_measured")
        ]
        pairs += [(name, "page") for name in ("pass", "fail", "inconclusive", "not_measured")]
        for text, ground in pairs:
            bright, dim = sorted(map(luminance, (colours[text], colours[ground])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)  # WCAG 2, AA


def test_the_page_is_the_same_to_the_byte_from_a_copied_folder(tmp_path):
    first = tmp_path / "here"
    build(first, failed_searches=8)
    second = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(first, second)
    before = html.render(first).read_bytes()
    assert html.render(second).read_bytes() == before
    assert html.render(first).read_bytes() == before
    assert not list(tmp_path.rglob("*.partial"))


def test_another_process_renders_the_same_bytes(tmp_path):
    build(tmp_path)
    before = html.render(tmp_path).read_bytes()
    code = "import sys, pathlib; from validation.report import html; html.render(pathlib.Path('.'))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


def test_the_page_does_not_tell_where_it_was_made(tmp_path):
    assert str(tmp_path) not in rendered(tmp_path)


def test_missing_samples_are_an_error_that_names_the_file_and_leaves_no_page(tmp_path):
    build(tmp_path)
    next((tmp_path / "samples").glob("*serial*")).unlink()
    with pytest.raises(ConfigurationError, match="copy the whole run folder"):
        html.render(tmp_path)
    assert not list(tmp_path.glob("report.html*"))


def test_a_run_that_measured_nothing_still_has_a_page(tmp_path):
    results = build(tmp_path, state=State.BROKEN, reason="no server")
    bare = {
        "gates": (),
        "observations": (),
        "checks": (),
        "phases": (),
        "datasets": (),
        "targets": (),
    }
    write_results(tmp_path, results.model_copy(update={**bare, "servers": {}}))
    text = Page(html.render(tmp_path).read_text()).text
    assert "No gate was judged." in text
    assert "the run broke off: no server" in text


def test_long_evidence_is_cut_with_a_word_where_the_rest_is():
    shown = html._document({"rows": list(range(20_000))})
    assert len(shown) < 21_000
    assert shown.endswith("more characters in results.json")


@pytest.mark.parametrize(
    "path", ["javascript:alert(1)", "//evil.example/x", "http://evil.example/x", "a b?#.csv"]
)
def test_no_path_becomes_a_link_to_elsewhere(path):
    link = html._link(path)
    assert link.startswith("./")
    assert not set(":?# ") & set(link)


def test_failed_searches_are_said_beside_the_curve_that_ends(tmp_path):
    drawn = charts.draw_all(build(tmp_path, failed_searches=8), tmp_path)
    assert "8 of 500 searches had no answer, the curve ends there" in drawn[0].note
    assert "p99 no answer" in drawn[0].description


def test_a_void_measurement_is_marked_beside_its_curve(tmp_path):
    drawn = charts.draw_all(build(tmp_path, saturated=True), tmp_path)
    assert "not judged: the client was saturated" in drawn[0].note


def test_charts_show_the_gates_own_figures(tmp_path):
    results = build(tmp_path, hnsw=0.9)
    recall = next(one for one in charts.draw_all(results, tmp_path) if one.slug == "recall")
    assert "✗ HNSW: 0.9032 [0.8703, 0.9285], rule ≥ 0.95" in recall.description
    assert "✗ HNSW" in recall.svg


@pytest.mark.parametrize("values", [[np.nan] * 3, [-1.0], [np.inf] * 9, [5.0, 0.5], [0.0]])
def test_samples_that_cannot_be_drawn_do_not_break_the_page(tmp_path, values):
    results = build(tmp_path)
    rows = "\n".join(["value", *map(str, values)])
    (tmp_path / "samples" / "odd.csv").write_text(rows + "\n")
    odd = tuple(
        Observation(
            metric=metric, target="odd", unit=unit, n=len(values), samples_file="samples/odd.csv"
        )
        for metric, unit in (("search.latency.serial", "ms"), ("ndcg@10", "ratio"))
    )
    changed = results.model_copy(update={"observations": (*results.observations, *odd)})
    assert len(charts.draw_all(changed, tmp_path)) >= 5


def test_rows_of_the_same_name_are_told_apart():
    assert drawing.names(["a", "a", "b", "a"]) == ["a", "a (2)", "b", "a (3)"]
    assert max(map(len, drawing.names(["x" * 99]))) == 32


def test_a_drawing_keeps_nothing_but_drawing():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'onload="x()" width="1"><script>x()</script><g style="x" clip-path="url(#c7)">'
        '<a xlink:href="http://e"><text>t</text></a><text fill="red">kept</text></g>'
        '<defs><clipPath id="c7"/></defs><foreignObject/></svg>'
    )
    clean = cleaned(svg, "s", "<Title>", "words & figures")
    assert not re.search(r"script|onload|style|href|foreignObject|<a", clean)
    assert 'clip-path="url(#s-0)"' in clean
    assert 'id="s-0"' in clean
    assert "&lt;Title&gt;" in clean
    assert "kept" in clean


def test_reading_results_does_not_load_the_chart_library():
    code = "import sys, validation.report.html as _; sys.exit('altair' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_long_name_is_shortened_but_never_its_figure(tmp_path):
    results = build(tmp_path)
    long = tuple(
        seen.model_copy(update={"labels": {"index": "x" * 99}}) if seen.metric == "mrr@10" else seen
        for seen in results.observations
    )
    drawn = charts.draw_all(results.model_copy(update={"observations": long}), tmp_path)
    ranking = next(one for one in drawn if one.slug == "mrr")
    assert f">{'x' * 31}…: 0.7657<" in ranking.svg
