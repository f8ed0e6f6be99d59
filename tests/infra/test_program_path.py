"""The program's folder holds packages named like others: Python must not take them for those."""

import shutil
import subprocess
import sys
from pathlib import Path

import infra

_SCRIPT = """
import secrets
import infra
import kubernetes, secrets
print(hasattr(secrets, "choice"), hasattr(kubernetes, "client"))
"""


def found_from(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_packages_of_the_program_never_hide_others_of_the_same_name():
    assert found_from(Path(infra.__file__).parent) == ["True", "True"]


def test_a_checkout_beside_an_installed_package_hides_nothing_either(tmp_path):
    folder = tmp_path / "infra"
    shutil.copytree(Path(infra.__file__).parent, folder)
    assert found_from(folder) == ["True", "True"]
