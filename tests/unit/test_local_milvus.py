from __future__ import annotations

import lzma
import sys
import threading
from pathlib import Path

import pytest
import yaml

from validation.errors import MissingToolError
from validation.local import milvus

PORTS = {name: 20_000 + number for number, name in enumerate(milvus.PORTS)}
S3 = {"host": "127.0.0.1", "port": 9000, "bucket": "b", "root_path": "files"}
TEMPLATE = """
etcd:
  endpoints: localhost:{{ etcd_port(int): 2379 }}
  rootPath: by-dev # kept
minio:
  accessKeyID: minioadmin
  secretAccessKey: minioadmin
proxy:
  port: {{ proxy_port(int): 19530 }}
  maxTaskNum: 1024
common:
  gracefulStopTimeout: 1800
  storageType: local
"""


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MILVUS_KIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "package"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "milvus.lzma").write_bytes(lzma.compress(b"#!/bin/sh\n" * 300_000))
    (folder / "bin" / "libx.so.lzma").write_bytes(lzma.compress(b"library"))
    (folder / "config.yaml.template").write_text(TEMPLATE)
    return folder


def configured(tmp_path: Path) -> dict:
    return yaml.safe_load(milvus.configuration(TEMPLATE, folder=tmp_path, ports=PORTS, s3=S3))


def test_the_packages_own_defaults_are_kept_where_nothing_is_said(tmp_path):
    document = configured(tmp_path)
    assert document["etcd"]["rootPath"] == "by-dev"
    assert document["proxy"]["maxTaskNum"] == 1024


def test_every_port_is_ours(tmp_path):
    text = milvus.configuration(TEMPLATE, folder=tmp_path, ports=PORTS, s3=S3)
    for name in set(milvus.PORTS) - {"metrics", "etcd_peer"}:  # these two stand elsewhere
        assert str(PORTS[name]) in text, name
    assert milvus.environment(tmp_path, tmp_path, PORTS)["METRICS_PORT"] == str(PORTS["metrics"])


def test_no_well_known_key_is_left_to_fall_back_on(tmp_path):
    assert "minioadmin" not in milvus.configuration(TEMPLATE, folder=tmp_path, ports=PORTS, s3=S3)


def test_segments_go_to_the_bucket_and_not_to_the_disk(tmp_path):
    document = configured(tmp_path)
    assert document["common"]["storageType"] == "minio"
    assert document["minio"]["bucketName"] == "b"


def test_all_other_data_stay_under_the_stacks_folder(tmp_path):
    document = configured(tmp_path)
    for key in (("etcd", "data", "dir"), ("localStorage", "path"), ("rocksmq", "path")):
        value = document
        for part in key:
            value = value[part]
        assert Path(str(value)).is_relative_to(tmp_path), key


def test_the_server_calls_itself_by_loopback(tmp_path):
    document = configured(tmp_path)
    for role in ("rootCoord", "queryCoord", "dataCoord", "indexNode", "queryNode", "dataNode"):
        assert document[role]["ip"] == "127.0.0.1"


def test_the_files_the_server_exits_without_are_written(tmp_path):
    (tmp_path / "config.yaml.template").write_text(TEMPLATE)
    milvus.write_configuration(tmp_path, tmp_path, PORTS, S3)
    etcd = yaml.safe_load((tmp_path / "configs" / "etcd.yaml").read_text())
    assert etcd["listen-client-urls"] == f"http://127.0.0.1:{PORTS['etcd']}"
    assert (tmp_path / "configs" / "glog.conf").exists()


def test_the_server_is_unpacked_once_whole_and_executable(package):
    home = milvus.unpacked(package, "1")
    assert (home / "bin" / "milvus").read_bytes() == b"#!/bin/sh\n" * 300_000
    assert (home / "bin" / "milvus").stat().st_mode & 0o100
    stamp = (home / "bin" / "milvus").stat().st_mtime_ns
    assert milvus.unpacked(package, "1") == home
    assert (home / "bin" / "milvus").stat().st_mtime_ns == stamp


def test_a_cancelled_unpacking_leaves_nothing_half_done(package, tmp_path):
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(InterruptedError):
        milvus.unpacked(package, "1", cancelled)
    assert not (tmp_path / "cache" / "milvus" / "1").exists()
    assert milvus.unpacked(package, "1").exists()


def test_a_damaged_package_leaves_nothing_half_done(package, tmp_path):
    whole = (package / "bin" / "milvus.lzma").read_bytes()
    (package / "bin" / "milvus.lzma").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EOFError):
        milvus.unpacked(package, "1")
    assert not (tmp_path / "cache" / "milvus" / "1").exists()


def test_without_a_server_for_this_platform_it_is_said_plainly(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert milvus.wheel() is None
    with pytest.raises(MissingToolError, match="no Milvus server for this platform"):
        milvus.unpacked()
