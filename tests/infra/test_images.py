from __future__ import annotations

import pytest
import yaml
from declaring import DEV, settings_of
from typer.testing import CliRunner

from infra import images
from infra.images import lock, lock_file, resolve
from infra.settings.services import Images
from tests.e2e.toolchain import parts
from validation.cli.config import app
from validation.errors import ConfigurationError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def locked(tmp_path, monkeypatch):
    def write(document):
        (tmp_path / "images.yaml").write_text(
            yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
        )
        monkeypatch.setenv("MILVUS_KIT_STACKS", str(tmp_path))
        lock.cache_clear()

    write(
        {
            "schema": images.SCHEMA,
            "images": {
                "milvus": {
                    "repository": "docker.io/milvusdb/milvus",
                    "versions": {
                        "3.0.5": {"tag": "v3.0.5", "digest": DIGEST},
                        "2.6.20": {"tag": "v2.6.20"},
                    },
                }
            },
        }
    )
    yield write
    lock.cache_clear()


def given(**values):
    return Images.model_validate(values)


@pytest.mark.usefixtures("locked")
def test_image_is_named_by_tag_and_digest():
    assert resolve("milvus", given()) == f"docker.io/milvusdb/milvus:v3.0.5@{DIGEST}"


@pytest.mark.usefixtures("locked")
def test_first_version_is_the_default_and_another_can_be_asked_for():
    assert resolve("milvus", given(), version="2.6.20") == "docker.io/milvusdb/milvus:v2.6.20"


@pytest.mark.usefixtures("locked")
def test_missing_digest_is_refused_where_digests_are_required():
    with pytest.raises(ConfigurationError, match=r"digest of milvus 2\.6\.20") as caught:
        resolve("milvus", given(requireDigest=True), version="2.6.20")
    assert "images.requireDigest: false" in str(caught.value)
    assert resolve("milvus", given(requireDigest=True)).endswith(DIGEST)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("docker.io", "mirror.example.com/hub/milvusdb/milvus"),
        ("docker.io/milvusdb", "mirror.example.com/hub/milvus"),
        ("docker.io/milvus", "docker.io/milvusdb/milvus"),
        ("quay.io", "docker.io/milvusdb/milvus"),
    ],
)
@pytest.mark.usefixtures("locked")
def test_mirror_replaces_whole_parts_of_a_repository(source, expected):
    mirrors = [{"source": source, "mirror": "mirror.example.com/hub"}]
    assert resolve("milvus", given(mirrors=mirrors)) == f"{expected}:v3.0.5@{DIGEST}"


@pytest.mark.usefixtures("locked")
def test_override_wins_over_lock_and_mirrors():
    ours = given(overrides={"milvus": "site.example.com/milvus:1"})
    assert resolve("milvus", ours) == "site.example.com/milvus:1"
    assert resolve("milvus", ours, override="a.example.com/b:2") == "a.example.com/b:2"


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize(("name", "version"), [("milvos", None), ("milvus", "9.9.9")])
def test_unknown_image_or_version_is_named_with_what_there_is(name, version):
    with pytest.raises(ConfigurationError, match="use one of"):
        resolve(name, given(), version=version)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"schema": "other/1", "images": {}},
        {"schema": images.SCHEMA, "images": {"a": {"repository": "x", "versions": {}}}},
        {
            "schema": images.SCHEMA,
            "images": {
                "a": {"repository": "x.io/y", "versions": {"1": {"tag": "1", "digest": "sha256:0"}}}
            },
        },
    ],
)
def test_lock_that_is_wrong_is_refused(locked, document):
    locked(document)
    with pytest.raises(ConfigurationError, match="not a lock of images"):
        resolve("a", given())


def test_kits_own_lock_is_right_and_pins_every_version():
    lock.cache_clear()
    found = lock().images
    assert {"milvus", "milvus-gpu", "etcd", "minio", "kafka", "milvus-kit"} <= set(found)
    for image in found.values():
        assert "latest" not in {pin.tag for pin in image.versions.values()}


def test_the_etcd_that_the_end_to_end_tests_run_is_the_one_that_stacks_ship():
    lock.cache_clear()
    assert next(iter(lock().images["etcd"].versions)) == parts.STACKS_ETCD_VERSION


def test_override_of_an_image_that_nobody_uses_is_refused():
    settings = settings_of(DEV | {"images": {"overrides": {"mino": "quay.io/minio/minio:1"}}})
    with pytest.raises(ConfigurationError, match=r"images\.overrides\.mino"):
        images.used(settings)


def test_images_of_a_made_cluster_are_known_before_it_is_made():
    hosts = [{"name": "a", "address": "192.0.2.1", "role": "control-plane"}]
    settings = settings_of(DEV | {"kubernetes": {"provider": "kubeadm", "hosts": hosts}})
    assert {"local-path-provisioner", "busybox"} <= set(images.used(settings))


def test_a_site_with_mirrors_is_told_what_to_copy_and_where_to(tmp_path):
    path = tmp_path / "Pulumi.site.yaml"
    text = (lock_file().parent / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    mirrors = "{mirrors: [{source: docker.io, mirror: site.example.com/hub}]}"
    path.write_text(text + f"  milvus-kit:images: {mirrors}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["images", "--file", str(path)])
    lines = result.output.splitlines()
    copied = "docker.io/milvusdb/milvus:v3.0.5 site.example.com/hub/milvusdb/milvus:v3.0.5"
    assert copied in lines
    assert any(line.startswith("quay.io/minio/minio:") and " " not in line for line in lines)
