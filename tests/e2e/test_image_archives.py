"""Image archives hold what was put into them, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path

import pytest

from tests.e2e.images import bases, recipes
from tests.e2e.images.archive import Entry, Image, write_archive, write_layer
from tests.e2e.project import ROOT


def _layer(folder, name="one"):
    source = folder / f"{name}.sh"
    source.write_text("#!/bin/sh\n", encoding="utf-8")
    source.chmod(0o755)
    return write_layer(folder / f"{name}.tar", [Entry(source, f"/usr/bin/{name}")], ["/tmp"])


def test_a_layer_is_the_same_bytes_for_the_same_content(tmp_path):
    digests = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        digests.add(hashlib.sha256(_layer(folder).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_layer_that_images_share_is_in_the_archive_once(tmp_path):
    layer = _layer(tmp_path)
    images = [Image((f"kit/{n}:1",), (layer,), ("/usr/bin/one",)) for n in ("a", "b")]
    with tarfile.open(write_archive(tmp_path / "all.tar", images)) as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(archive.extractfile(manifest[0]["Config"]))  # type: ignore[arg-type]
    assert len([name for name in names if name.endswith("layer.tar")]) == 1
    assert [entry["RepoTags"] for entry in manifest] == [["kit/a:1"], ["kit/b:1"]]
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]
    assert config["config"]["Entrypoint"] == ["/usr/bin/one"]


def test_runs_that_write_the_same_archive_at_once_do_not_break_each_others(tmp_path):
    layer, path = _layer(tmp_path), tmp_path / "all.tar"

    def images(*, meanwhile: bool):
        yield Image(("kit/a:1",), (layer,))
        if meanwhile:  # another run begins after us, and is done before us
            write_archive(path, images(meanwhile=False))
            assert _names(path) == [["kit/a:1"], ["kit/b:1"]]
        yield Image(("kit/b:1",), (layer,))

    write_archive(path, images(meanwhile=True))
    assert _names(path) == [["kit/a:1"], ["kit/b:1"]]
    assert list(tmp_path.glob(".*.partial")) == []


def test_an_archive_that_breaks_off_leaves_the_one_before_and_nothing_else(tmp_path):
    layer, path = _layer(tmp_path), tmp_path / "all.tar"
    write_archive(path, [Image(("kit/a:1",), (layer,))])
    with pytest.raises(FileNotFoundError):
        write_archive(path, [Image(("kit/b:1",), (tmp_path / "none.tar",))])
    assert _names(path) == [["kit/a:1"]]
    assert list(tmp_path.glob(".*.partial")) == []


def _names(archive: Path) -> list[list[str]]:
    with tarfile.open(archive) as packed:
        manifest = json.load(packed.extractfile("manifest.json"))  # type: ignore[arg-type]
    return [entry["RepoTags"] for entry in manifest]


def test_another_busybox_or_pause_makes_another_layer(monkeypatch, tmp_path):
    monkeypatch.setenv("MILVUS_KIT_CACHE", str(tmp_path / "cache"))
    shell = tmp_path / "busybox"
    monkeypatch.setattr(bases, "_BUSYBOX", shell)
    layers = []
    for content in ("one", "another", "one"):
        shell.write_text(content, encoding="utf-8")
        with tarfile.open(bases.busybox()) as layer:
            assert layer.extractfile("bin/busybox").read() == content.encode()  # type: ignore[union-attr]
        layers.append(bases.busybox())
    assert layers[0] == layers[2] != layers[1]
    first = bases.pause()
    monkeypatch.setattr(bases, "_PAUSE", "int main(void) { return 0; }")
    assert bases.pause() != first


@pytest.mark.parametrize(("version", "owner"), [("2.3.3", 0), ("2.3.5", 999)])
def test_nobody_but_its_owner_and_its_group_may_run_milvus(version, owner):
    image = recipes.milvus(version, "kit/milvus:1")
    assert image.user == f"{owner}:{owner}"
    with tarfile.open(image.layers[-1]) as layer:
        found = {one.name: one for one in layer if one.name.startswith("milvus")}
    assert {"milvus/bin/milvus", "milvus/configs/milvus.yaml"} <= set(found)
    assert {(one.mode, one.uid, one.gid) for one in found.values()} == {(0o774, owner, owner)}


def test_the_kits_own_image_is_made_of_what_the_dockerfile_puts_there(tmp_path):
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    image = recipes.kit(tmp_path, "kit/own:1")
    with tarfile.open(image.layers[-1]) as layer:
        names = set(layer.getnames())
        bill, lock = [
            layer.extractfile(f"opt/milvus-kit/build/{name}").read()  # type: ignore[union-attr]
            for name in ("sbom.cdx.json", "requirements.lock")
        ]
    for folder in re.findall(r"^COPY (\w+) \./\1$", dockerfile, re.MULTILINE):
        assert f"opt/milvus-kit/{folder}" in names
    said = json.loads(bill)
    assert said["bomFormat"] == "CycloneDX"
    assert said["metadata"]["component"]["name"] == "milvus-kit"
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", lock.decode(), re.MULTILINE))
    assert {one["name"] for one in said["components"]} == pinned > {"numpy", "pymilvus", "grpcio"}
    assert not {"pulumi", "ruff", "milvus"} & pinned
    assert "/opt/milvus-kit/build/sbom.cdx.json" in dockerfile
    assert "/opt/milvus-kit/build/requirements.lock" in dockerfile
    assert "usr/local/bin/milvus-kit" in names
    assert "usr/local/bin/python" in names  # what the Jobs' commands begin with
    assert tuple(re.findall(r"--extra (\w+)", dockerfile)) == recipes.KIT_EXTRAS
    said = dict(
        re.findall(r"^(USER|WORKDIR) (\S+)$", dockerfile.rpartition("FROM")[2], re.MULTILINE)
    )
    assert said == {"USER": image.user, "WORKDIR": image.workdir}
    assert re.findall(r'^ENTRYPOINT \["([^"]+)"\]', dockerfile, re.MULTILINE) == ["milvus-kit"]
    assert [Path(command).name for command in image.entrypoint] == ["milvus-kit"]
