"""The page in a real browser: offline, without scripts, in both colour schemes and on a phone.

``MILVUS_KIT_SCREENSHOTS=FOLDER`` keeps what the browser showed, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.builders import build, build_again
from tests.stores import installed
from validation.report import html
from validation.report.results import Check, State

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LONG = "x" * 200
RUNS = {
    "passing": {},
    "failing": {
        "hnsw": 0.9,
        "missing_rows": 3,
        "failed_searches": 8,
        "extra_checks": (
            Check(id=f"a.py::{LONG}", outcome="failed", seconds=1, message=LONG, target="local"),
        ),
    },
    "interrupted": {
        "state": State.INTERRUPTED,
        "reason": "interrupted by the user",
        "saturated": True,
        "hostile": f"<script>alert(1)</script><img src=x onerror=alert(1)>{LONG}",
    },
}


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser on PATH: install Debian's chromium (looked for {BROWSERS})")
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox refuses to run as root; the page is our own and runs no script.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=found, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=RUNS)
def report(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "failing":  # after nine runs, with a change and a failure before
        for number in range(9):
            figures = {"serial_ms": 1 if number < 4 else 3, "missing_rows": 2 * (number == 6)}
            build_again(folder / f"{number}", number, rendered=False, **figures)
        folder /= "failing"
        build_again(folder, 9, **RUNS[request.param])
        return folder / "report.html"
    build(folder, **RUNS[request.param])
    return html.render(folder)


@pytest.fixture
def opened(browser, report, request):
    """A function that opens the report; the test fails if the page asks for or says anything."""
    contexts, requests, said = [], [], []

    def open_page(*, width=1280, scheme="light", scripts=False):
        context = browser.new_context(
            java_script_enabled=scripts,
            offline=True,
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda asked: requests.append(asked.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(report.as_uri())
        keep(page, f"{report.parent.name}-{request.node.originalname}-{scheme}-{width}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert set(requests) == {report.as_uri()}
    assert said == []


def keep(page, name):
    folder = os.environ.get("MILVUS_KIT_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scripts", [False, True], ids=["no scripts", "scripts allowed"])
def test_the_page_opens_offline_without_a_request_or_a_word(opened, scripts):
    page = opened(scripts=scripts)
    assert "milvus-kit" in page.title()


def test_the_verdict_is_seen_without_scrolling(opened, report):
    word = {"passing": "PASS", "failing": "FAIL"}
    page = opened(width=360)
    heading = page.locator("h1")
    name = next((name for name in word if report.parent.name.startswith(name)), "")
    assert heading.inner_text().split()[-1] == word.get(name, "INCONCLUSIVE")
    assert heading.bounding_box()["y"] < 300


def test_charts_are_drawn_with_a_size(opened):
    page = opened()
    boxes = [chart.bounding_box() for chart in page.locator("figure svg").all()]
    assert len(boxes) == 6
    assert all(box["width"] > 300 and box["height"] > 80 for box in boxes)
    marks = page.locator("figure svg path, figure svg line").count()
    assert marks > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(opened, width, scheme):
    page = opened(width=width, scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    seen = page.evaluate("document.documentElement.scrollWidth")
    assert seen <= width


def test_a_dark_reader_gets_a_dark_page_with_light_charts(opened):
    page = opened(scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    label = page.evaluate(
        "getComputedStyle(document.querySelector('figure svg text[fill=\"#1f2933\"]')).fill"
    )
    assert sum(channels(ground)) < 150
    assert sum(channels(label)) > 500


def channels(colour):
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def test_the_style_sheet_passes_its_own_policy(opened):
    page = opened()
    assert page.evaluate("getComputedStyle(document.querySelector('.badge')).borderTopStyle") in {
        "solid",
        "dashed",
    }


def test_chart_labels_are_not_cut_off(opened):
    page = opened()
    cut = page.locator("figure svg").evaluate_all(
        """all => all.flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('text')]
                .filter(text => {
                    const box = text.getBoundingClientRect();
                    return box.left < frame.left - 1 || box.right > frame.right + 1
                        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
                })
                .map(text => text.textContent);
        })"""
    )
    assert cut == []


def test_the_page_prints_with_its_evidence(opened):
    page = opened()
    printed = page.pdf()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000


@pytest.mark.slow  # axe-core comes from npm
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_that_shuts_a_reader_out(opened, width, scheme):
    page = opened(width=width, scheme=scheme, scripts=True)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.evaluate(installed.axe_core().read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"]
    assert [f"{one['impact']}: {one['id']}: {one['help']}" for one in found["violations"]] == []


def test_every_link_and_fold_is_reached_by_the_tab_key_alone(opened):
    page = opened(scripts=True)
    wanted = page.locator("a, summary").count()
    seen = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "[...document.querySelectorAll('a, summary')].indexOf(document.activeElement)"
            )
        )
    inside = "details:not([open]) a, details:not([open]) details > summary"
    shut = page.locator(inside).count()  # reached once their fold is open
    assert len(seen - {-1}) == wanted - shut


def test_a_link_to_evidence_opens_what_it_leads_to(opened):
    page = opened(scripts=True)
    link = page.locator("a[href^='#evidence-']").first
    place = page.locator(link.get_attribute("href"))
    assert not place.is_visible()
    link.click()
    assert place.is_visible()
