"""A tool that fails while a container's root is made is named, with its last words."""

from __future__ import annotations

import os

import pytest

from tests.e2e import container_node, container_root
from validation.errors import MilvusKitError, MissingToolError, OwnershipError


@pytest.fixture
def fill(monkeypatch, tmp_path):
    """Make a root with a `mmdebstrap` that does what it is told to, in a cache of its own."""
    monkeypatch.setenv("MILVUS_KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")

    def filled(does: str) -> str:
        script = tools / "mmdebstrap"
        script.write_text(f"#!/bin/sh\nfor tar; do :; done\n{does}\n", encoding="utf-8")
        script.chmod(0o755)
        key = container_root.make_key(tmp_path / "key")
        place = {"name": "one", "address": "10.213.1.11", "gateway": "10.213.1.1"}
        return container_root.fill(tmp_path / "root", key=key, **place)

    return filled


@pytest.mark.parametrize(
    ("does", "tool", "told", "remedy"),
    [
        ("echo 'E: no mirror' >&2; exit 25", "mmdebstrap", "E: no mirror", "source it needs"),
        ('echo junk > "$tar"', "tar", "not look like a tar archive", "if the file is damaged"),
        (
            'mkdir -p d/etc/ssh && cd d && echo kit:x:7:7::/: > etc/passwd && tar -cf "$tar" .',
            "useradd",
            "'kit' already exists",
            "if the system in it is damaged",
        ),
    ],
)
def test_the_tool_is_named_with_its_last_words(fill, does, tool, told, remedy):
    with pytest.raises(MilvusKitError, match=f"{tool} ended with status") as caught:
        fill(does)
    assert told in caught.value.what
    assert remedy in caught.value.remedy
    assert caught.value.where


def test_a_layer_that_was_not_made_whole_is_not_taken_for_one(fill, tmp_path):
    with pytest.raises(MilvusKitError, match="mmdebstrap"):
        fill('echo half > "$tar"; exit 1')
    assert list((tmp_path / "cache/layers").glob("[!.]*")) == []


def test_a_tool_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="there is no ssh-keygen"):
        container_root.make_key(tmp_path / "key")


def test_a_container_of_a_name_that_is_taken_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(container_node, "FOLDER", tmp_path)
    (tmp_path / "worker").mkdir()
    with pytest.raises(OwnershipError, match=r"of that name.*\n.*e2e-clean"):
        container_node.start("worker", 11, commands=tmp_path, archives=tmp_path, key=tmp_path)
