"""The Dockerfile, built by a real builder: what comes out runs, and names what is in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.images import archive, dockerfile, recipes
from tests.e2e.images.dockerfile import Built
from validation.common import image

pytestmark = [
    pytest.mark.skipif(not dockerfile.is_wanted(), reason=f"{dockerfile.WANTED} is not set"),
    pytest.mark.timeout(900),
]
LISTED = """
import importlib.metadata as m, json
from validation.common import image
versions = {one.name.lower().replace("_", "-"): one.version for one in m.distributions()}
print(json.dumps([image.digests(), versions]))
"""


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    with dockerfile.built() as made:
        yield made


def lock_and_bill(built):
    folder = f"{image.ROOT}/{image.FOLDER}"
    return [built.run("cat", f"{folder}/{name}") for name in image.FILES]


def test_the_commands_of_the_jobs_run_in_it_as_nobody_in_particular(built):
    assert "uid=1000 gid=1000" in built.run("id")
    assert built.run("pwd").strip() == recipes.KIT_WORKDIR
    assert built.run("milvus-kit", "--version").startswith("milvus-kit ")
    assert "--prefix" in built.run("python", "-m", "validation.runs.in_cluster", "--help")
    assert built.run("sh", "-c", "touch /opt/milvus-kit/x 2>&1 || true").count("denied") == 1
    assert built.run("sh", "-c", "ls -d /src /opt/tools 2>&1 || true").count("cannot") == 2


def test_it_holds_what_its_lock_and_its_bill_name_and_nothing_else(built):
    lock, bill = lock_and_bill(built)
    digests, versions = json.loads(built.run("python", "-c", LISTED))
    files = dict(zip(image.FILES, (lock, bill), strict=True))
    assert digests == {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()
    }
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, re.MULTILINE))
    del versions["milvus-kit"]
    assert versions == pinned
    assert {one["name"]: one["version"] for one in json.loads(bill)["components"]} == pinned


def test_the_image_that_the_other_tests_assemble_is_this_one(built, tmp_path):
    assembled = recipes.kit(tmp_path, "kit/own:1")
    path = archive.write_archive(tmp_path / "kit.tar", [assembled])
    inside = f"{image.ROOT}/{image.FOLDER}/{image.FILES[0]}"
    locks = lock_and_bill(built)[0], archive.read_file(path, inside).decode()
    pins = [dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", one, re.MULTILINE)) for one in locks]
    assert pins[0] == pins[1]
    config = built.config()
    assert (config["User"], config["WorkingDir"]) == (assembled.user, assembled.workdir)
    assert [one.rpartition("/")[2] for one in assembled.entrypoint] == config["Entrypoint"]


def test_a_file_of_it_is_found_in_the_archive_that_a_node_imports(built, tmp_path):
    built.write(tmp_path / "kit.tar", "kit/own:1")
    inside = f"{image.ROOT}/{image.FOLDER}/{image.FILES[1]}"
    assert archive.read_file(tmp_path / "kit.tar", inside).decode() == lock_and_bill(built)[1]
