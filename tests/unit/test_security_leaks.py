"""Where the family security looks for secrets, and what it may say of a place it could not read."""

import base64
import contextlib
import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import asyncssh
import pytest

from validation.errors import ConfigurationError, MeasurementError
from validation.security import leaks
from validation.suite.checks import test_security as checks
from validation.target import Target

SECRET = "s3cr3t-of-a-test/+="


def test_a_secret_is_found_as_it_is_written_and_where_pieces_meet(tmp_path):
    secret = SECRET
    forms = {
        "plain": secret,
        "url": "s3cr3t-of-a-test%2F%2B%3D",
        "base64": "czNjcjN0LW9mLWEtdGVzdC8rPQ==",
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(f"key: {text}\n")
    places = [(name, tmp_path / name) for name in forms]
    halves = [secret[:7].encode(), secret[7:].encode()]
    found = leaks.searched({"key": secret}, [*places, ("pieces", halves), ("none", [b"nothing"])])
    assert found.found == [f"key in {name}" for name in (*forms, "pieces")]
    assert secret not in str(found)
    (gone := tmp_path / "gone").touch()
    gone.unlink()
    assert leaks.searched({"key": secret}, [("gone", gone)]).unread


@pytest.mark.parametrize("before", ["", "r", "root:", "ab:"])
@pytest.mark.parametrize("after", ["", "\n", ":more"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_found_in_the_base64_of_a_longer_text(before, after, encode):
    text = b"authorization: " + encode(f"{before}{SECRET}{after}".encode())
    assert leaks.searched({"key": SECRET}, [("log", [text])]).found == ["key in log"]
    other = b"authorization: " + encode(f"{before}{SECRET[::-1]}{after}".encode())
    assert leaks.searched({"key": SECRET}, [("log", [other])]).found == []


ESCAPED = 'p"a\\s\n<&>é\u2028'


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("of_go", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_secret_is_found_as_json_escapes_it_and_as_json_in_json_does(levels, of_go, ascii_only):
    def written(text):
        for _ in range(levels):
            text = json.dumps({"key": text}, ensure_ascii=ascii_only)
            for one in "<&>\u2028" if of_go else "":
                text = text.replace(one, f"\\u{ord(one):04x}")
        return text.encode()

    assert leaks.searched({"key": ESCAPED}, [("log", [written(ESCAPED)])]).found == ["key in log"]
    assert leaks.searched({"key": ESCAPED}, [("log", [written(ESCAPED[::-1])])]).found == []


def test_what_leaks_before_a_place_breaks_off_is_found():
    def log(error):
        yield f"login with {SECRET}".encode()
        raise error

    for error in (MeasurementError("the API server does not answer"), OSError(5, "broken")):
        found = leaks.searched({"key": SECRET}, [("log", log(error)), ("rest", [b"none"])])
        assert found.found == ["key in log"]
        assert (found.places, len(found.unread), found.why_void) == (1, 1, None)


def test_of_two_openssh_keys_each_is_looked_for_by_what_the_other_has_not():
    def made(comment):
        return asyncssh.generate_private_key("ssh-ed25519", comment=comment).export_private_key()

    for comment in ("", "root@node-1", "a comment that is so long that it fills a line of its own"):
        mine, other = made(comment).decode(), made(comment).decode()
        telling = leaks._telling(mine)
        assert telling in mine
        assert telling not in other


@contextlib.contextmanager
def nobody():
    """Be a user whom files can be closed to: root is none."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def run():
    """Return the folder of a run, which everybody reaches."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        for path in Path(name).iterdir():
            path.chmod(0o755)


def described(**milvus):
    return {"name": "t", "milvus": {"uri": "http://127.0.0.1:1", **milvus}}


def seen(target, run):
    observed = {}
    checks.test_no_secret_stands_where_others_read(
        lambda metric, samples=(), **more: observed.update({metric: (list(samples), more)}),
        target,
        SimpleNamespace(folder=run),
    )
    ((samples, more),) = observed.values()
    return samples, more


@pytest.mark.parametrize("kind", ["file", "folder", "listed folder"])
def test_a_place_that_cannot_be_read_holds_no_pass(run, kind):
    auth = {"user": "root", "password": {"value": SECRET}}
    target = Target.model_validate(described(auth=auth))
    assert seen(target, run)[1]["void"] is None
    closed = run / "closed"
    if kind == "file":
        closed.touch()
    else:
        closed.mkdir()
        (closed / "log").touch()
    closed.chmod(0o444 if kind == "listed folder" else 0)
    with nobody():
        samples, more = seen(target, run)
    assert samples == [0.0]
    assert "1 places could not be read, the first: run: " in more["void"]
    assert "closed" in more["void"]
    (run / "log").write_text(SECRET)
    (run / "log").chmod(0o644)
    with nobody():
        samples, more = seen(target, run)
    assert (samples, more["void"]) == ([1.0], None)  # what was found is found


def test_no_place_at_all_is_no_pass():
    assert leaks.searched({"key": SECRET}, []).why_void == "there was no place to look into"


@pytest.mark.parametrize(
    ("keys", "looked_for"),
    [
        (("minioadmin", "minioadmin"), []),
        (("milvus-store", "milvus-store"), []),
        (("milvus-store", SECRET), ["storage.secret_key"]),
    ],
)
def test_a_name_or_a_key_that_everybody_knows_is_no_secret(keys, looked_for):
    access, secret = ({"value": one} for one in keys)
    storage = {
        "provider": "minio",
        "endpoint": "http://127.0.0.1:1",
        "bucket": "milvus",
        "access_key": access,
        "secret_key": secret,
    }
    target = Target.model_validate({**described(), "storage": storage})
    assert list(leaks.secrets_of(target)) == looked_for


def with_kubeconfig(text):
    kubernetes = {"namespace": "milvus", "kubeconfig": {"value": text}}
    return Target.model_validate({**described(), "kubernetes": kubernetes})


def test_the_secrets_of_a_kubeconfig_are_looked_for():
    line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"
    pem = f"-----BEGIN KEY-----\n{line}\n-----END KEY-----\n"
    key = base64.b64encode(pem.encode()).decode()
    config = f"users:\n- user: {{token: {SECRET!r}}}\n- user: {{client-key-data: {key}}}"
    found = leaks.searched(
        leaks.secrets_of(with_kubeconfig(config)),
        [("config", [config.encode()]), ("key", [pem.encode()]), ("log", [SECRET.encode()])],
    )
    where = "kubernetes.kubeconfig: users"
    token, private = f"{where}[0].token", f"{where}[1].client-key-data"
    assert found.found == [
        *(f"{token} in config", f"{private} in config"),
        *(f"{private} in key", f"{token} in log"),
    ]


@pytest.mark.parametrize("text", ["no", "users: [1]", "users: [{user: {client-key-data: a}}]", "{"])
def test_what_is_no_kubeconfig_is_said_so(text):
    with pytest.raises(ConfigurationError, match="this is no kubeconfig"):
        leaks.secrets_of(with_kubeconfig(text))
