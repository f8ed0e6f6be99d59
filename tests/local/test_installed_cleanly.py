"""The source distribution, built, and installed with what it names into an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
_PREVIEW = """
import runpy, sys
import pulumi
from pulumi.runtime import config

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return f"{args.name}-id", dict(args.inputs)
    def call(self, args):
        return {}

pulumi.runtime.set_mocks(Mocks(), project="milvus-kit", stack="dev")
import yaml
given = yaml.safe_load(open("stacks/Pulumi.dev.yaml"))["config"]
import json
for key, value in given.items():
    config.set_config(key, value if isinstance(value, str) else json.dumps(value))
runpy.run_path("program/__main__.py", run_name="__main__")
"""


def ran(*command, where, path=None):
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    done = subprocess.run(
        [str(one) for one in command],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder laid down by an installed kit, and that environment's commands."""
    base = tmp_path_factory.mktemp("clean")
    # The wheel is built of the source distribution, not of the checkout.
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", base, ROOT, where=base)
    (wheel,) = base.glob("*.whl")
    assert list(base.glob("*.tar.gz"))
    uv = (sys.executable, "-m", "uv")
    ran(*uv, "venv", "--quiet", "--python", sys.executable, base / "venv", where=base)
    ran(
        *(*uv, "pip", "install", "--quiet", "--python", base / "venv" / "bin" / "python"),
        *("--constraint", ROOT / "requirements.lock", f"milvus-kit[infra] @ {wheel.as_uri()}"),
        where=base,
    )
    bin_ = base / "venv" / "bin"
    ran(bin_ / "milvus-kit", "init", base / "site", where=base)
    return base / "site", bin_


def test_the_installed_package_is_nothing_of_the_checkout(site):
    folder, commands = site
    found = ran(
        commands / "python", "-c", "import infra; print(infra.__file__)", where=folder
    ).strip()
    assert Path(found).is_relative_to(commands.parent)


@pytest.mark.parametrize("stack", ["dev", "dev-cluster", "prod"])
def test_the_site_s_stacks_are_without_a_mistake(site, stack):
    folder, commands = site
    said = ran(commands / "milvus-kit", "config", "check", "-s", stack, where=folder)
    assert said.startswith(f"{folder}/stacks/Pulumi.{stack}.yaml: no mistake found")


def test_pulumi_s_program_of_the_site_declares_its_stack(site):
    folder, commands = site
    ran(commands / "python", "-c", _PREVIEW, where=folder)


def test_the_site_s_own_check_is_one_that_the_suite_takes(site):
    folder, commands = site
    said = ran(
        *(commands / "python", "-m", "pytest", "--collect-only", "-q", "checks"), where=folder
    )
    assert "test_collections_can_be_listed" in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_what_completes_a_command(site, shell):
    folder, commands = site
    asked = {"bash": "complete_bash", "zsh": "complete_zsh", "fish": "complete_fish"}[shell]
    variables = [f"_MILVUS_KIT_COMPLETE={asked}", "_TYPER_COMPLETE_ARGS=milvus-kit hist"]
    variables += ["COMP_WORDS=milvus-kit hist", "COMP_CWORD=1"]
    variables += ["_TYPER_COMPLETE_FISH_ACTION=get-args"]
    said = ran("env", *variables, commands / "milvus-kit", where=folder)
    assert "history" in said
