"""Documents that repeat what the code says stay in step with it."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from tests import gates_page
from tests.stores import page, record
from validation import cli
from validation.verdicts.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]


def test_the_list_of_metrics_is_the_catalogue():
    wanted = [
        f"| `{one.name}` | {one.unit} | {one.better} | {', '.join(one.statistics)} | {one.claim} |"
        for one in CATALOGUE.values()
    ]
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if line.startswith("| `")]
    assert found == wanted


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_readme_names_only_commands_that_there_are():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"milvus-kit ([a-z]+)", text))
    assert named <= {*cli.COMMANDS, *cli.GROUPS}
    targets = set(re.findall(r"make ([a-z0-9-]+)", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))


def test_the_page_of_stores_is_made_from_what_was_recorded():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(record.load_all())


def shown_commands():
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"    milvus-kit [a-z]", line) and not re.search(r"[|…\[]", line):
                shown = re.split(r" [#>]", line)[0].strip()
                yield pytest.param(shown, id=f"{path.name}: {shown}")


@pytest.mark.parametrize("line", list(shown_commands()))
def test_commands_that_are_shown_have_the_options_that_they_are_given(line):
    group: Any = get_command(cli.app)
    name, *rest = shlex.split(line)[1:]
    command: Any = group.commands[name]
    context = command.make_context(name, rest)
    if nested := context._protected_args:
        command.commands[nested[0]].make_context(nested[0], context.args)


def test_the_page_of_gates_is_the_catalogue():
    assert gates_page.PAGE.read_text(encoding="utf-8") == gates_page.page()


def test_each_page_has_a_place_in_the_site():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = set(re.findall(r"[\w-]+\.md", str(nav)))
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")}
