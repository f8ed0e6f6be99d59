"""What the command line says to a newcomer and to a mistake."""

import subprocess
import sys

import pytest

from validation import cli
from validation.errors import ExitCode
from validation.suite.plugin import FAMILIES
from validation.target import Wal

HEAVY = ("numpy", "scipy", "pymilvus", "boto3", "pydantic", "rich", "altair", "pulumi")


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder; return its exit code and what it said on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def test_help_names_every_command(command):
    code, said, _ = command("--help")
    assert code == ExitCode.PASS
    for name in (*cli.COMMANDS, *cli.GROUPS):
        assert f"\n  {name} " in said


@pytest.mark.parametrize("name", [*cli.COMMANDS, *cli.GROUPS])
def test_every_command_has_help(command, name):
    code, said, _ = command(name, "--help")
    assert code == ExitCode.PASS
    assert "Usage" in said


@pytest.mark.parametrize(
    ("name", "choices"),
    [("validate", FAMILIES), ("preflight", Wal)],
    ids=["families", "logs"],
)
def test_the_help_of_an_option_names_every_choice(command, name, choices):
    _, said, _ = command(name, "--help")
    words = "".join(said.split())
    assert [one for one in choices if one not in words] == []


def test_help_imports_nothing_heavy():
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys; from validation import cli;"
                f"print([name for name in {HEAVY} if name in sys.modules])"
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["local", "down", "--delete-data", "--folder", ""], "the value of --folder is empty"),
        (["local", "down", "--folder="], "the value of --folder is empty"),
        (["validate", "--target", ""], "the value of --target is empty"),
        (["try", "--runs", ""], "the value of --runs is empty"),
        (["corpus", "manifest", ""], "it is empty"),
    ],
)
def test_an_empty_value_is_not_taken_for_the_current_folder(command, arguments, said):
    code, _, shown = command(*arguments)
    assert code == ExitCode.USAGE
    assert said in shown
    assert "a variable of the shell" in shown


def test_an_empty_root_path_is_the_bucket_s_root(command):
    _, _, said = command("preflight", "--endpoint", "http://127.0.0.1:1", "--root-path", "")
    assert "--endpoint needs --bucket" in said


def test_nothing_is_said_to_be_deleted_where_nothing_was(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").touch()
    code, said, _ = command("local", "down", "--delete-data", "--folder", "mine")
    assert code == ExitCode.PASS
    assert "nothing was deleted: there is no stack in" in said
    assert (tmp_path / "mine" / "note").exists()


def test_an_unknown_option_is_a_usage_error(command):
    code, _, said = command("try", "--nonsense")
    assert code == ExitCode.USAGE
    assert "--nonsense" in said


def test_validate_asks_what_to_validate(command):
    code, _, said = command("validate")
    assert code == ExitCode.USAGE
    assert "--target FILE or -s STACK" in said


def test_a_missing_target_file_is_named(command):
    code, _, said = command("validate", "--target", "nowhere.yaml")
    assert code == ExitCode.USAGE
    assert "nowhere.yaml" in said
    assert "Traceback" not in said


def test_an_unreachable_server_ends_with_3_and_writes_nothing(command, tmp_path):
    (tmp_path / "t.yaml").write_text(
        "schema: milvus-kit/target/1\nname: t\nmilvus: {uri: 'http://127.0.0.1:1'}\n"
    )
    code, _, said = command(
        "validate", "--target", "t.yaml", "--rows", "2000", "--profile", "smoke"
    )
    assert code == ExitCode.UNREACHABLE
    assert "127.0.0.1:1" in said
    assert not (tmp_path / "runs").exists()


def test_a_rules_file_with_unknown_keys_is_refused_before_anything_starts(command, tmp_path):
    (tmp_path / "rules.yaml").write_text(
        "schema: milvus-kit/slo/1\nrules:\n"
        "  a: {metric: ann_overlap@10, min: 0.9, unit: percent}\n"
        "  b: {metric: ann_overlab@10, min: 0.9, unit: ratio, colour: red}\n"
    )
    code, _, said = command("try", "--rules", "rules.yaml")
    assert code == ExitCode.USAGE
    for part in ("rules.yaml", "percent", "colour"):
        assert part in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["try", "validate --target t.yaml"])
@pytest.mark.parametrize("sizes", ["--dim 1000000", "--rows 2000000000"])
def test_rows_that_do_not_fit_here_are_refused_before_anything_starts(
    command, tmp_path, name, sizes
):
    (tmp_path / "t.yaml").write_text(
        "schema: milvus-kit/target/1\nname: t\nmilvus: {uri: 'http://127.0.0.1:1'}\n"
    )
    code, _, said = command(*name.split(), *sizes.split())
    assert code == ExitCode.USAGE
    assert "dimensions of 4 bytes =" in said
    assert not (tmp_path / "runs").exists()


def test_an_unknown_profile_names_those_there_are(command):
    code, _, said = command("try", "--profile", "quick")
    assert code == ExitCode.USAGE
    assert "smoke, " in said


def test_judging_where_there_is_no_run_says_so(command):
    code, _, said = command("judge", "runs/latest")
    assert code == ExitCode.USAGE
    assert "runs/latest" in said


def test_an_unknown_fault_names_those_there_are(command):
    code, _, said = command("selftest", "--fault", "gremlins")
    assert code == ExitCode.USAGE
    assert "dropped-rows" in said


def test_a_stack_without_pulumi_says_what_to_do(command, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    code, _, said = command("validate", "-s", "prod")
    assert code == ExitCode.USAGE
    assert "--target" in said


def test_a_site_is_laid_down_once_and_nothing_is_overwritten(command, tmp_path):
    code, said, _ = command("init", "mine")
    assert code == ExitCode.PASS
    for name in ("Pulumi.yaml", "program/__main__.py", "stacks/Pulumi.prod.yaml", "README.md"):
        assert name in said
        assert (tmp_path / "mine" / name).stat().st_size > 0
    (tmp_path / "mine" / "README.md").write_text("changed")
    code, _, said = command("init", "mine")
    assert code == ExitCode.USAGE
    assert "not empty" in said
    assert (tmp_path / "mine" / "README.md").read_text() == "changed"
    (tmp_path / "file").touch()
    code, _, said = command("init", "file")
    assert code == ExitCode.USAGE
    assert "Not a directory" in said
