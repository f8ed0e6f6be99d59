"""Documents that repeat what the code says stay in step with it."""

import re
from pathlib import Path

import pytest

from validation import cli
from validation.metrics import CATALOGUE

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
