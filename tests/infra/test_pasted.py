"""What `preflight` and `size` print can be pasted into a stack, and passes `config check`."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.milvus.capacity.indexes import SINCE, Index, VectorType, Workload
from infra.milvus.capacity.pasted import text
from infra.milvus.capacity.sizing import size
from infra.milvus.roles.topology import parse_version
from validation.cli import app
from validation.cli.config import _checked
from validation.errors import MilvusKitError
from validation.s3.conformance.model import Need
from validation.s3.conformance.runner import Finding
from validation.s3.conformance.table import CHECKS
from validation.s3.preflight.profile import compose, save
from validation.s3.preflight.reach import Reached
from validation.target import Storage, Wal
from validation.verdicts.verdict import Outcome

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
STACK = """
milvus-kit:environment: {environment}
milvus-kit:kubernetes: {{provider: existing, createNamespace: false}}
milvus-kit:milvus: {{version: {version}, mode: {mode}}}
milvus-kit:images: {{requireDigest: false}}
"""
STORE = """
milvus-kit:storage:
  type: s3
  endpoint: https://s3.example.com
  credentials: {existingSecret: {name: milvus-s3}}
milvus-kit:log: {type: pulsar, host: pulsar.example.com, tls: true}
"""
places = st.sampled_from([("dev", "standalone"), ("dev", "cluster"), ("prod", "cluster")])
MANY = settings(
    max_examples=40,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in more.items():
        inside = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if inside else value
    return found


def refused(folder, document: dict[str, Any]) -> str:
    """Return what `config check` says of a stack; empty if it passes."""
    path = folder / "Pulumi.site.yaml"
    path.write_text(yaml.safe_dump({"config": document}), encoding="utf-8")
    try:
        _checked(path, "site")  # all that the command does, without its start
    except MilvusKitError as error:
        return str(error)
    return ""


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{1,20}[a-z0-9])", fullmatch=True)
hosts = st.one_of(
    st.builds(lambda a, b: f"{a}.{b}.example.com", names, names),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
ports = st.one_of(st.just(""), st.integers(1, 65_535).map(lambda port: f":{port}"))
endpoints = st.builds(
    lambda scheme, host, port, end: f"{scheme}://{host}{port}{end}",
    st.sampled_from(["http", "https"]),
    hosts,
    ports,
    st.sampled_from(["", "/"]),
)
prefixes = st.lists(
    st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True), min_size=1, max_size=3
).map("/".join)


@st.composite
def stores(draw) -> Storage:
    endpoint = draw(endpoints)
    tls = {}
    if endpoint.startswith("https") and draw(st.booleans()):
        tls = {"mode": "server", "ca_pem": PEM}
    return Storage.model_validate(
        {
            "provider": draw(st.sampled_from(["s3", "x10000", "minio"])),
            "endpoint": endpoint,
            "bucket": draw(st.one_of(names, st.just("old.bucket"))),
            "root_path": draw(st.one_of(st.none(), prefixes, prefixes.map(lambda one: f"/{one}/"))),
            "region": draw(st.sampled_from(["us-east-1", "RegionOne", "eu_west.2", "default"])),
            "addressing": draw(st.sampled_from(["path", "virtual"])),
            "encryption": draw(st.sampled_from([None, "AES256", "aws:kms"])),
            "tls": tls,
        }
    )


def found(check, outcome: Outcome, storage: Storage) -> Finding:
    trusted = check.id == "tls.trusted" and storage.tls.ca_pem is None
    return Finding(
        id=check.id,
        title="",
        by="",
        breaks="",
        need=check.need,
        outcome=outcome,
        reason="seen",
        evidence={"system_store": True} if trusted else {},
    )


@MANY
@given(
    storage=stores(),
    broken=st.sets(st.sampled_from([one.id for one in CHECKS if one.need is not Need.MILVUS])),
    wal=st.sampled_from([None, *Wal]),
    where=places,
)
def test_what_preflight_prints_passes_config_check(tmp_path, storage, broken, wal, where):
    environment, mode = where
    findings = [
        found(one, Outcome.FAIL if one.id in broken else Outcome.PASS, storage) for one in CHECKS
    ]
    profile = compose(storage, Reached("", ()), findings, seconds=0.0, wal=wal)
    service = yaml.safe_load(profile.decisions.yaml())["config"].get("milvus-kit:log", {})
    if mode == "standalone" and service.get("mode") == "service":
        return  # as its line says: it is for clusters
    if profile.verdict is not Outcome.PASS:
        return  # there is nothing to paste, or a stack that names it is refused as it is told
    save(profile, tmp_path / "site.s3.json")
    printed = profile.decisions.yaml(profile=str(tmp_path / "site.s3.json"))
    stack = (
        yaml.safe_load(STACK.format(environment=environment, version="3.0.5", mode=mode))
        | yaml.safe_load(printed)["config"]
    )
    stack.setdefault(
        "milvus-kit:log", {"type": "pulsar", "host": "pulsar.example.com", "tls": True}
    )
    assert refused(tmp_path, stack) == "", printed


@MANY
@given(
    workload=st.builds(
        Workload,
        vectors=st.integers(1, 10**13),
        dim=st.integers(2, 32_768),
        index=st.sampled_from(list(Index)),
        replicas=st.integers(1, 64),
        m=st.integers(2, 2_048),
        nlist=st.integers(1, 65_536),
        max_degree=st.integers(1, 512),
        scalar_bytes=st.integers(0, 100_000),
        segment_mib=st.integers(1, 16_384),
        vector_type=st.sampled_from(list(VectorType)),
        mmap=st.booleans(),
    ),
    version=st.sampled_from(["2.5.27", "2.6.20", "3.0.5"]),
    where=places,
)
def test_what_size_prints_passes_config_check(tmp_path, workload, version, where):
    environment, mode = where
    assume(parse_version(version)[:2] >= SINCE.get(workload.index, (0, 0)))
    if mode == "standalone":
        workload = Workload(**{**vars(workload), "replicas": 1})
    printed = text(size(workload, mode=mode, version=version))
    stack = STACK.format(environment=environment, version=version, mode=mode) + STORE
    stack = merged(yaml.safe_load(stack), yaml.safe_load(printed)["config"])
    assert refused(tmp_path, stack) == "", printed


@pytest.mark.parametrize("output", ["table", "stack"])
def test_size_shows_what_to_paste(output):
    command = ["size", "--vectors", "10M", "--dim", "128", "--index", "DISKANN", "--output", output]
    said = CliRunner().invoke(app, command).output
    assert "  milvus-kit:milvus:\n    dataset:\n      vectors: 10000000\n" in said
    assert "storageClass: local-nvme # the class of your local NVMe volumes" in said
    assert "The bucket needs 30Gi" in said
