"""The wheel, installed outside the checkout, has all it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel and install it alone; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            site,
            wheel,
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "VIRTUAL_ENV": str(Path(sys.prefix))},
    )
    return site


@pytest.fixture
def command(installed, tmp_path):
    """Run the installed command in an empty folder."""

    def run(*arguments):
        return subprocess.run(
            [installed / "bin" / "milvus-kit", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_installed_command_is_the_wheels_own(installed, tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", "import validation; print(validation.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(installed)


def test_every_module_is_installed(installed):
    modules = {
        path.relative_to(ROOT)
        for room in ("validation", "infra")
        for path in (ROOT / room).rglob("*.py")
    }
    assert {path for path in modules if not (installed / path).exists()} == set()


def test_the_installed_command_answers(command):
    said = command("--version")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("milvus-kit ")


@pytest.mark.slow
def test_the_installed_suite_runs_on_a_real_server(command, embedded_target_file, tmp_path):
    said = command(
        *("validate", "--target", str(embedded_target_file), "--profile", "smoke"),
        *("--rows", "2000", "--family", "identity", "--family", "retrieval"),
        *("--rules", str(ROOT / "stacks" / "default.slo.yaml")),
    )
    # Two families alone can't satisfy rules about all of them: inconclusive, with a report.
    assert said.returncode == 5, said.stdout + said.stderr
    assert said.stdout.rstrip().splitlines()[-1].startswith("INCONCLUSIVE")
    latest = tmp_path / "runs" / "latest"
    for name in ("results.json", "report.html", "junit.xml"):
        assert (latest / name).stat().st_size > 0
    again = command("judge", "runs/latest")
    assert again.returncode == 5, again.stderr
