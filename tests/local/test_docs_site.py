"""The documentation as a site, and those of its commands that need no server: they are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import START, build
from validation.errors import ExitCode
from validation.report.store import write_results

ROOT = Path(__file__).resolve().parents[2]


def test_the_site_of_the_documentation_is_built_without_a_loose_link(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    for file in (tmp_path / "site").rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img)[^>]* src=.?https?:[^>]*", text)
        loaded += re.findall(r"<link[^>]* href=.?https?:[^>]*", text)
        assert loaded == [], file.name


def documented():
    """Every command line of the documents, by page: without prompt and remarks."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"^(?: {4}|\$ )\s*((?:milvus-kit|openssl) .*)$", line)
            if found:
                yield path.name, found.group(1)


def words_of(line):
    return shlex.split(line, comments=True)


OFFLINE = {"report", "history", "transfer", "judge", "certify", "verify", "size", "init", "config"}
"""Commands that need no server: they are run as they stand in the documents, page by page."""
OFFLINE_LINES = (
    *("milvus-kit corpus manifest", "milvus-kit drill --list"),
    *("milvus-kit slo --list-presets", "milvus-kit slo --show-preset"),
)


def is_offline(line):
    """Return whether a command needs neither a server nor a stack that is deployed."""
    known = words_of(line)[1] in OFFLINE or line.startswith(OFFLINE_LINES)
    return known and "-s prod" not in line.replace("config check -s prod", "")


def runnable():
    for name, line in documented():
        words = words_of(line)
        if words[0] == "openssl":
            # The last one of the page about certificates verifies bytes cut out by hand.
            if "pkeyutl" not in words:
                yield name, line
        elif is_offline(line):
            yield name, line


@pytest.mark.slow  # each starts an interpreter
@pytest.mark.parametrize("name", sorted({name for name, _ in runnable()}))
def test_documented_commands_do_what_they_say(name, tmp_path):
    for number, run in enumerate(("dev", "prod", "latest")):
        results = build(tmp_path / "runs" / run)
        started = START + timedelta(days=number)
        write_results(
            tmp_path / "runs" / run, results.model_copy(update={"run": run, "started": started})
        )
    target = "schema: milvus-kit/target/1\nname: prod\nmilvus: {uri: 'http://127.0.0.1:1'}\n"
    for file in ("my-milvus.yaml", "my-prod.yaml", "prod-target.yaml"):
        (tmp_path / file).write_text(target)
    (tmp_path / "other.slo.yaml").write_text((ROOT / "stacks" / "local.slo.yaml").read_text())
    shutil.copytree(ROOT / "sample_data", tmp_path / "my-corpus")
    # The customer's key, which the page about certificates takes for granted, is a vendor's too.
    for who in ("vendor", "customer"):
        private, public = tmp_path / f"{who}.pem", tmp_path / f"{who}.pub.pem"
        make = ("openssl", "genpkey", "-algorithm", "ed25519", "-out", private)
        subprocess.run(make, check=True)
        subprocess.run(("openssl", "pkey", "-in", private, "-pubout", "-out", public), check=True)
    # As a token gives its public key.
    exported = ("-pubout", "-outform", "DER", "-out", tmp_path / "vendor.der")
    subprocess.run(("openssl", "pkey", "-in", tmp_path / "vendor.pem", *exported), check=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for where, line in runnable():
        if where != name:
            continue
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        judged = {ExitCode.PASS, ExitCode.FAIL, ExitCode.INCONCLUSIVE}
        wanted = judged if line.startswith("milvus-kit") else {0}
        assert done.returncode in wanted, f"{line}: {done.stderr}"
        assert "milvus-kit: " not in done.stderr, line  # an error, which may end with 1 too
