"""A certificate, checked by implementations of its formats that are not ours."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import build
from tests.unit.test_certificate import certify, make_keys
from validation.certificate import FILE

SOURCE = Path(__file__).with_name("dsse")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go on PATH"),
]


def test_the_reference_implementation_in_go_accepts_it_and_refuses_a_changed_one(tmp_path):
    source = shutil.copytree(SOURCE, tmp_path / "source")
    subprocess.run(
        ["go", "build", "-o", str(tmp_path / "verify"), "."],
        cwd=source,
        env={**os.environ, "GOFLAGS": "-mod=mod"},
        check=True,
        timeout=540,
    )
    run, keys = tmp_path / "run", make_keys(tmp_path, "vendor")
    build(run)
    certify(run, keys)
    whole = (run / FILE).read_bytes()

    def verified(bundle, key):
        command = [str(tmp_path / "verify"), str(key)]
        return subprocess.run(command, input=bundle, capture_output=True, check=False, timeout=60)

    accepted = verified(whole, keys.public)
    assert accepted.returncode == 0, accepted.stderr
    assert b"https://in-toto.io/attestation/test-result/v0.1" in accepted.stdout
    assert verified(whole, make_keys(tmp_path, "other").public).returncode == 1
    changed = whole.replace(b'"payload": "ey', b'"payload": "eyA', 1)
    assert changed != whole
    assert verified(changed, keys.public).returncode == 1
