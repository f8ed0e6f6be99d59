"""A certificate signed by a key that never leaves a PKCS#11 token: SoftHSM's, a token of files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import build
from validation.certificate.keys import LIBRARY, PIN

LIBRARIES = sorted(Path("/usr/lib").glob("**/libsofthsm2.so"))
MAKE = """
import os, sys
import pkcs11
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
token = pkcs11.lib(os.environ["PYKCS11LIB"]).get_token(token_label="acceptance")
with token.open(rw=True, user_pin="1234") as session:
    curve = encode_named_curve_parameters("secp256r1")
    domain = {pkcs11.Attribute.EC_PARAMS: curve}
    parameters = session.create_domain_parameters(pkcs11.KeyType.EC, domain, local=True)
    public, _ = parameters.generate_keypair(id=b"\\x02", label="vendor", store=True)
    sys.stdout.buffer.write(encode_ec_public_key(public))
"""

pytestmark = [
    pytest.mark.slow,  # each command is a process of its own, with a token of its own
    pytest.mark.skipif(
        shutil.which("softhsm2-util") is None or not LIBRARIES, reason="there is no SoftHSM here"
    ),
]


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """The environment of a token with one key, and the file of its public key."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\n", encoding="utf-8")
    own = {"SOFTHSM2_CONF": str(settings), LIBRARY: str(LIBRARIES[0]), PIN: "1234"}
    env = {**os.environ, **own}
    pins = ("--pin", "1234", "--so-pin", "5678")
    made = ("softhsm2-util", "--init-token", "--free", "--label", "acceptance", *pins)
    subprocess.run(made, env=env, check=True, capture_output=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", MAKE], env=env, check=True, capture_output=True, timeout=60
    )
    public = folder / "vendor.pub.pem"
    convert = ("openssl", "pkey", "-pubin", "-inform", "DER", "-out", str(public))
    subprocess.run(convert, input=done.stdout, check=True, capture_output=True, timeout=60)
    return env, public


@pytest.fixture
def kit(token):
    """A function that runs the command beside the token, and what it ended with and printed."""

    def call(*arguments, **changed):
        env = {name: value for name, value in {**token[0], **changed}.items() if value is not None}
        command = [Path(sys.executable).with_name("milvus-kit"), *arguments]
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    return call


def test_a_key_on_a_token_signs_and_its_public_key_verifies(token, kit, tmp_path):
    build(tmp_path / "run")
    status, said = kit("certify", tmp_path / "run", "--key", "hsm:2?label=acceptance")
    assert status == 0, said
    status, said = kit("verify", tmp_path / "run", "--key", token[1])
    assert status == 0, said
    assert said.splitlines()[-1].startswith("PASSED")


@pytest.mark.parametrize(
    ("key", "changed", "why"),
    [
        ("hsm:2?label=acceptance", {PIN: "9999"}, "PinIncorrect"),
        ("hsm:2?label=acceptance", {PIN: None}, f"{PIN} is not set"),
        ("hsm:2?label=acceptance", {LIBRARY: None}, f"{LIBRARY} is not set"),
        ("hsm:2?label=acceptance", {LIBRARY: "/nowhere.so"}, "cannot open shared object"),
        ("hsm:3?label=acceptance", {}, "could not find ECDSA key"),
        ("hsm:2?label=other", {}, "No PKCS#11 token found for label other"),
    ],
)
def test_a_token_that_does_not_sign_is_told_and_nothing_is_written(
    kit, tmp_path, key, changed, why
):
    build(tmp_path / "run")
    status, said = kit("certify", tmp_path / "run", "--key", key, **changed)
    assert status == 2, said
    assert why in said
    assert "9999" not in said
    assert not list((tmp_path / "run").glob("certificate*"))
