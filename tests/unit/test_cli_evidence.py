"""Commands about saved runs: what they say, and that they leave the run as it is."""

from __future__ import annotations

import pytest

from tests.builders import build
from validation import cli
from validation.errors import ExitCode

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e[bold]x[/]"


@pytest.fixture
def command(capsys):
    """Run a command; return its exit code and what it said."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["terminal", "html", "junit"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ExitCode.PASS),
        ({"missing_rows": 3}, ExitCode.FAIL),
        ({"saturated": True}, ExitCode.INCONCLUSIVE),
    ],
)
def test_a_saved_run_is_shown_with_its_verdict_and_stays_as_it_is(
    command, tmp_path, form, changes, code
):
    results = build(tmp_path, **changes)
    before = files(tmp_path)
    ended, said, _ = command("report", tmp_path, "--format", form)
    assert ended == code
    assert results.verdict.value.upper() in said
    assert files(tmp_path) == before


@pytest.mark.parametrize("form", ["terminal", "html", "junit"])
def test_names_from_a_server_are_texts_in_every_form(command, tmp_path, form):
    build(tmp_path, hostile=HOSTILE)
    _, said, _ = command("report", tmp_path, "--format", form, "-v")
    assert not {"\x1b", "\u202e"} & set(said)
    assert ("<script>" in said) is (form == "terminal")


def test_every_gate_is_named_on_request(command, tmp_path):
    build(tmp_path)
    assert "data.unchanged" not in command("report", tmp_path)[1]
    assert "data.unchanged" in command("report", tmp_path, "-v")[1]


def test_a_report_of_nothing_is_refused_in_a_message(command, tmp_path):
    code, _, said = command("report", tmp_path / "none")
    assert code == ExitCode.USAGE
    assert "name a run's folder" in said
