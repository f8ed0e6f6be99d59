"""Those of the documents' commands that need a Milvus: run as they stand, on a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from tests.local.test_docs_site import documented
from validation import target as targets
from validation.errors import ExitCode

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]
WANTED = (
    "milvus-kit validate --target my-milvus.yaml --profile smoke",
    "milvus-kit validate --target my-milvus.yaml --family security",
    "milvus-kit manifest --target my-milvus.yaml -o before",
    "milvus-kit manifest --target my-milvus.yaml -o after",
    "milvus-kit manifest diff before after",
    "milvus-kit preflight --target my-milvus.yaml",
    "milvus-kit recall --target my-milvus.yaml --collection articles",
    "milvus-kit clean --target my-milvus.yaml",
)
"""How the lines begin. What takes more minutes has tests of its own, and the same options."""


def lines():
    """Return the lines in this order, as the documents have them; each once."""
    there = [line for _, line in documented()]
    for start in WANTED:
        yield next(line for line in reversed(there) if line.startswith(start))


@pytest.fixture(scope="module")
def site(embedded_target_file, tmp_path_factory):
    """A folder with a target document of that name; its Milvus has a collection ``articles``."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(embedded_target_file, folder / "my-milvus.yaml")
    client = MilvusClient(targets.load(embedded_target_file).milvus.uri)
    client.create_collection("articles", dimension=16, metric_type="L2")
    vectors = np.random.default_rng(3).normal(size=(500, 16))
    rows = [{"id": at, "vector": vector.tolist()} for at, vector in enumerate(vectors)]
    client.insert("articles", rows)
    client.flush("articles")
    yield folder
    client.drop_collection("articles")
    client.close()


@pytest.mark.parametrize("line", list(lines()))
def test_a_documented_command_does_on_a_real_server_what_it_says(site, line):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=site,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    # Whether a verdict is a pass depends on how busy this host is; an error does not.
    judged = {ExitCode.PASS, ExitCode.FAIL, ExitCode.INCONCLUSIVE}
    assert done.returncode in judged, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "milvus-kit: " not in done.stderr, line
