from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

import pytest

from validation.common.progress import Progress
from validation.errors import MissingToolError, UsageError
from validation.local import minio, minio_build

QUIET = Progress(quiet=True)


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """An empty PATH and an empty cache."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("MILVUS_KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(minio.IMAGE_VARIABLE, raising=False)
    return folder


def tool(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


MINIO = "echo 'minio version RELEASE.1 (commit-id=2)'"
DOCKER = "exit 0"
GO = 'printf "#!/bin/sh\\n" > "$GOBIN/minio"; /bin/chmod +x "$GOBIN/minio"'


def put_in_cache() -> Path:
    binary = minio._binary()
    binary.parent.mkdir(parents=True)
    return tool(binary.parent, "minio", MINIO)


def test_minio_on_path_comes_first(tools, tmp_path):
    wanted = tool(tools, "minio", MINIO)
    tool(tools, "docker", DOCKER)
    put_in_cache()
    server = minio.choose(QUIET, tmp_path)
    assert (server.source, server.program, server.rejected) == ("path", str(wanted), ())
    assert server.description == "MinIO RELEASE.1"


def test_a_container_comes_before_the_cache_and_says_why_not_path(tools, tmp_path):
    tool(tools, "docker", DOCKER)
    put_in_cache()
    server = minio.choose(QUIET, tmp_path)
    assert (server.source, server.image) == ("container", minio.DEFAULT_IMAGE)
    assert server.rejected == ("path: no minio on PATH",)


def test_podman_serves_where_docker_is_missing(tools, tmp_path):
    tool(tools, "podman", DOCKER)
    assert Path(minio.choose(QUIET, tmp_path).program).name == "podman"


def test_the_image_is_a_parameter(tools, tmp_path, monkeypatch):
    tool(tools, "docker", DOCKER)
    monkeypatch.setenv(minio.IMAGE_VARIABLE, "mine:1")
    assert minio.choose(QUIET, tmp_path).image == "mine:1"
    assert minio.choose(QUIET, tmp_path, image="other:2").image == "other:2"


def test_docker_without_a_daemon_falls_away_with_its_own_words(tools, tmp_path):
    tool(tools, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    put_in_cache()
    server = minio.choose(QUIET, tmp_path)
    assert server.source == "cache"
    assert "Cannot connect to the Docker daemon" in server.rejected[1]
    assert "no podman on PATH" in server.rejected[1]


NO_IMAGE = 'case "$1" in info) exit 0;; *) echo "manifest unknown: $1" >&2; exit 1;; esac'
PULLS = 'case "$1" in info|pull) exit 0;; *) exit 1;; esac'


def test_an_image_that_cannot_be_pulled_falls_away(tools, tmp_path):
    tool(tools, "docker", NO_IMAGE)
    server = minio.choose(QUIET, tmp_path)
    assert server.source == "emulator"
    assert "manifest unknown: pull" in server.rejected[1]


def test_an_image_is_pulled_where_nothing_else_is_at_hand(tools, tmp_path):
    tool(tools, "docker", PULLS)
    assert minio.choose(QUIET, tmp_path).source == "container"


def test_an_image_is_not_pulled_where_a_built_minio_is_at_hand(tools, tmp_path):
    tool(tools, "docker", PULLS)
    put_in_cache()
    server = minio.choose(QUIET, tmp_path)
    assert server.source == "cache"
    assert "is not here, and another MinIO is" in server.rejected[1]
    assert minio.choose(QUIET, tmp_path, only="container").source == "container"


def test_a_stranger_called_minio_is_not_run(tools, tmp_path):
    tool(tools, "minio", "echo 'midnight commander'")
    put_in_cache()
    server = minio.choose(QUIET, tmp_path)
    assert server.source == "cache"
    assert "does not answer" in server.rejected[0]


def test_without_any_binary_it_is_built_once_and_then_found_in_the_cache(tools, tmp_path):
    tool(tools, "go", GO)
    assert minio.choose(QUIET, tmp_path).source == "build"
    assert minio.choose(QUIET, tmp_path).source == "cache"


def test_the_build_is_pinned_and_static(tools, tmp_path):
    tool(tools, "go", f'echo "$@ CGO=$CGO_ENABLED FLAGS=$GOFLAGS"; {GO}')
    minio.choose(QUIET, tmp_path)
    said = (tmp_path / "logs" / "go-install.log").read_text()
    assert f"install -trimpath -ldflags -s -w {minio_build.MODULE}@{minio_build.VERSION}" in said
    assert "CGO=0 FLAGS=-mod=mod" in said


def test_a_failed_build_leaves_nothing_and_the_emulator_says_so(tools, tmp_path):
    tool(tools, "go", "echo 'go: module lookup disabled' >&2; exit 1")
    server = minio.choose(QUIET, tmp_path)
    assert server.provider == "emulator"
    assert [reason.partition(":")[0] for reason in server.rejected] == [
        *("path", "container", "cache", "build")
    ]
    assert "module lookup disabled" in server.rejected[-1]
    assert not minio._binary().parent.parent.exists()


@pytest.mark.usefixtures("tools")
def test_the_emulator_is_the_last_resort_and_labelled(tmp_path):
    server = minio.choose(QUIET, tmp_path)
    assert (server.source, server.provider) == ("emulator", "emulator")
    assert "emulator" in server.description


@pytest.mark.usefixtures("tools")
def test_with_nothing_at_all_every_choice_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingToolError) as caught:
        minio.choose(QUIET, tmp_path)
    for name in minio.ORDER:
        assert f"\n    {name}: " in str(caught.value)
    assert "install MinIO, Docker or Go" in str(caught.value)


@pytest.mark.usefixtures("tools")
def test_a_choice_asked_for_is_taken_or_fails(tmp_path):
    put_in_cache()
    assert minio.choose(QUIET, tmp_path, only="cache").source == "cache"
    with pytest.raises(MissingToolError, match="no minio on PATH"):
        minio.choose(QUIET, tmp_path, only="path")


def test_an_unknown_choice_is_a_usage_error_that_lists_the_known(tmp_path):
    with pytest.raises(UsageError, match="path, container, cache, build, emulator"):
        minio.choose(QUIET, tmp_path, only="ceph")


@pytest.mark.parametrize("image", ["", "mine:1"])
def test_keys_are_in_no_command_line(tmp_path, image):
    server = minio.S3Server("any", "minio", "program", image=image)
    words = [*server.command(tmp_path, 1), *itertools.chain(*server.off(1))]
    environment = server.environment("the-access-key", "the-secret-key")
    assert not any("the-" in word for word in words)
    assert "the-secret-key" in environment.values()


def test_a_container_is_published_on_loopback_alone_and_removed_by_name(tmp_path):
    server = minio.S3Server("container", "minio", "docker", image="mine:1")
    command = server.command(tmp_path, 4711)
    assert "127.0.0.1:4711:9000" in command
    name = command[command.index("--name") + 1]
    assert server.off(4711) == [
        ["docker", "stop", "-t", "5", name],
        ["docker", "rm", "--force", name],
    ]
    assert f"{os.getuid()}:{os.getgid()}" in command
