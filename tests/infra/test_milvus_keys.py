"""Every key that is written for Milvus, held against a table of what its versions read.

A key that no version reads is passed over in silence, and what it was meant to do is not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, declare, settings_of

from infra.milvus.capacity.planning import plan
from infra.milvus.dependencies import log
from infra.milvus.roles.configuration import Inputs, MetadataStore, ObjectStore, for_role
from infra.milvus.roles.keys import as_read, leaves
from infra.milvus.roles.topology import parse_version
from infra.storage.contract import SecretKeyRef

VERSIONS = ("2.3.5", "2.4.24", "2.5.27", "2.6.20", "3.0.5")
KAFKA = {
    "type": "kafka",
    "mode": "adopt",
    "brokers": ["kafka.example.com:9093"],
    "tls": True,
    "ca": {"pem": PROD["storage"]["ca"]["pem"]},
    "existingClientSecret": "kafka-client",
    "sasl": {"user": "milvus", "password": {"config": "logPassword"}},
}
PULSAR = {"type": "pulsar", "host": "pulsar.example.com", "token": {"config": "logPassword"}}
EMBEDDED = {"type": "woodpecker", "mode": "embedded"}
LOGS: dict[str, list[dict[str, Any]]] = {
    "2.3": [KAFKA, {"type": "kafka", "mode": "create"}, PULSAR, {"type": "rocksmq"}],
    "2.6": [EMBEDDED],
    "3.0": [{"type": "woodpecker", "mode": "service"}],
}
"""By the line that has them first."""
NOT_MILVUS = {"MILVUSCONF", "MALLOC_CONF", "SSL_CERT_FILE", "PULSAR_TOKEN"}
"""Variables that are not keys: the process's own, its libraries', the kubelet's."""


def line(version: str) -> tuple[int, ...]:
    return parse_version(version)[:2]


def _table() -> dict[str, tuple[str, str]]:
    text = (Path(__file__).parent / "milvus_keys.tsv").read_text(encoding="utf-8")
    rows = [one.split("\t") for one in text.splitlines() if not one.startswith("#")]
    return {as_read(key): (first, last) for key, first, last in rows}


READ = _table()


def unread(keys: Iterable[str], version: str) -> set[str]:
    """Return the keys that a version is not known to read."""
    found = set()
    for key in keys:
        first, last = READ.get(as_read(key), ("", ""))
        read = (
            first and line(first) <= line(version) and (last == "-" or line(version) <= line(last))
        )
        if not read:
            found.add(key)
    return found


def variants(version: str) -> Iterator[dict[str, Any]]:
    """Yield settings that ask for everything a version can have, with each log, in both modes."""
    for first, logs in LOGS.items():
        for wal in logs if line(first) <= line(version) else ():
            alone = wal["type"] == "rocksmq"
            for mode in ("standalone",) if alone else ("cluster", "standalone"):
                if mode == "standalone" and wal.get("mode") == "service":
                    continue
                milvus: dict[str, Any] = {
                    "version": version,
                    "mode": mode,
                    "tls": {"mode": "server"},
                    "auth": {"enabled": True},
                    "diskann": {"enabled": True, "volume": {"size": "9Gi", "storageClass": "nvme"}},
                }
                if mode == "standalone":
                    milvus["dataVolume"] = {"size": "10Gi"}
                mapped = line(version) >= (2, 5)
                milvus["dataset"] = {"vectors": 1000, "dim": 8, "mmap": mapped}
                kubernetes = DEV["kubernetes"] | {"createNamespace": False}
                storage = {"type": "minio", "volume": {"size": "99Gi"}}
                more = {"kubernetes": kubernetes, "storage": storage}
                yield DEV | {"milvus": milvus, "log": wal} | more


def written(document: dict[str, Any]) -> set[str]:
    """Return the keys in all files of a deployment with those settings, closed as in production."""
    settings = settings_of(document)
    ref = SecretKeyRef("name", "key")
    capacities = plan(settings)
    inputs = Inputs(
        milvus=settings.milvus,
        store=ObjectStore(host="s3", port=443, secure=True, bucket="b", root_path="files"),
        etcd=MetadataStore(endpoints=("etcd:2379",), tls=True),
        log=log.access(settings, "ns", {"password": ref, "ca": ref}).store,
        production=True,
        standby=frozenset(name for name, one in capacities.items() if one.role.coordinator),
        grace_seconds={name: one.grace_seconds for name, one in capacities.items()},
        dropped_seconds=3600,
    )
    files = (yaml.safe_load(for_role(one.role, inputs)) for one in capacities.values())
    return {key for file in files for key, _ in leaves(file)}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_key_that_is_written_is_one_that_this_version_reads(version):
    found = {key for document in variants(version) for key in written(document)}
    assert len(found) > 50
    assert unread(found, version) == set()


@pytest.mark.parametrize("document", [STANDALONE, CLUSTER_23, DEV | {"log": PULSAR}, PROD])
def test_every_variable_of_a_pod_is_a_key_that_milvus_reads(document):
    version = document["milvus"]["version"]
    names = {
        variable["name"]
        for name, template in declare(document).workloads().items()
        if "/milvus-" in name and not name.startswith("Job/")
        for container in template["spec"]["containers"]
        for variable in container["env"]
    }
    assert len(names) > 3
    assert unread({n for n in names - NOT_MILVUS if not n.startswith("AWS_")}, version) == set()


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("3.0.5", "queryNode.gracefulStopTimeOutSeconds"),
        ("2.6.20", "indexNode.port"),
        ("2.5.27", "indexNode.enableDisk"),
        ("2.5.27", "common.security.managementMetricsOnly"),
        ("2.6.20", "woodpecker.client.quorum.quorumBufferPools"),
    ],
)
def test_a_key_that_this_version_does_not_read_is_found(version, key):
    assert unread({key, "mq.type", "minio.Bucket_Name"}, version) == {key}
