"""The program's folder holds packages named like others: Python must not take them for those."""

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


def test_packages_of_the_program_never_hide_others_of_the_same_name():
    folder = Path(infra.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True"]
