"""Image archives: the control plane starts as soon as its own images are there."""

from __future__ import annotations

import pytest
from test_kubernetes_node import HOST

from infra.kubernetes.node import bootstrap
from infra.kubernetes.node.connection import connected
from validation.errors import MilvusKitError

# An archive is a text file here, with an image in each line.
_CTR = """#!/bin/sh
for last; do :; done
case "$*" in
*import*)
    grep -q . "$last" || {{ echo "not a tar file" >&2; exit 1; }}
    cat "$last" >> {folder}/there ;;
*list*) cat {folder}/there ;;
esac
"""
ARCHIVES = {"a.tar": "pause:3\n", "b c.tar": "etcd:3\n", "d.tar": "milvus:2\n"}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    script = tmp_path / "ctr"
    script.write_text(_CTR.format(folder=tmp_path), encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    for name, text in ARCHIVES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (["pause:3"], ["b c.tar", "d.tar"]),
        (["pause:3", "etcd:3"], ["d.tar"]),
        (["pause:3", "in-no-archive:1"], []),
        ([], []),
    ],
)
def test_archives_are_imported_until_all_wanted_images_are_there(folder, wanted, left):
    with connected(HOST) as connection:
        archives = bootstrap._archives(connection, str(folder))
        assert archives == [str(folder / name) for name in ARCHIVES]
        later = bootstrap._import_images(connection, archives, wanted=wanted)
        assert later == [str(folder / name) for name in left]
        assert bootstrap._import_images(connection, later) == []
    assert (folder / "there").read_text(encoding="utf-8") == "".join(ARCHIVES.values())


def test_a_folder_without_archives_and_an_archive_that_is_none_are_named(folder):
    with connected(HOST) as connection:
        (folder / "empty").mkdir()
        with pytest.raises(MilvusKitError, match=r"no \*.tar in .*/empty"):
            bootstrap._archives(connection, str(folder / "empty"))
        (folder / "d.tar").write_text("", encoding="utf-8")
        with pytest.raises(MilvusKitError, match=r"(?s)d\.tar failed.*not a tar file"):
            bootstrap._import_images(connection, bootstrap._archives(connection, str(folder)))
