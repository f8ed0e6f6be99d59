"""Every setting changes something: of each field of each model another value is tried.

What a program declares, and the target that it exports, is compared with that of the same settings
with one field changed. A field that changes nothing is one that somebody forgot to hand on, even
if something reads it, which is all that test_settings_used.py sees in its shorter time.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, run, settings_of

from infra import program
from infra.kubernetes import cluster
from infra.servers import pods
from infra.settings import Settings
from infra.settings.hints import options
from infra.settings.model import ConfigSecret, Section

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]

DECIDE_ONLY_WHAT_IS_REFUSED = {
    ("X10000", "allow_insecure"),
    ("S3", "allow_insecure"),
    ("X10000", "capacity"),
    ("S3", "capacity"),
    ("X10000", "conformance_profile"),
    ("S3", "conformance_profile"),
    ("X10000", "mode"),
    ("Milvus", "accepted_risks"),
    ("Images", "require_digest"),
    ("Migration", "accept"),
}
PLACED = {
    "nodeSelector": {"pool": "a"},
    "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}],
}
FULL = {"cpu": "100m", "cpuLimit": "2", "memory": "1Gi", "ephemeralStorage": "2Gi"}
OUTSIDE = {
    "type": "NodePort",
    "host": "10.0.0.5",
    "nodePort": 30500,
    "annotations": {"a": "b"},
    "sourceRanges": ["10.0.0.0/8"],
}
KEY = {"existingSecret": {"name": "s3-1", "accessKey": "a", "secretKey": "b"}}
CA = {"existingSecret": {"name": "ca-1", "key": "ca.pem"}}
PEM = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
THERE = {"provider": "existing", "namespace": "ns", "createNamespace": False}
HOSTS = [
    {"name": "a", "address": "192.0.2.1", "role": "control-plane"},
    {
        "name": "b",
        "address": "192.0.2.2",
        "role": "worker",
        "ssh": {"user": "ops", "port": 22, "privateKey": "logPassword", "hostKey": "ssh-rsa AA"},
    },
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> list[dict[str, Any]]:
    """Documents in which every field has a value, and a bearing."""
    site = tmp_path_factory.mktemp("site")
    (site / "kubeconfig-1").write_text("", encoding="utf-8")
    network = site / "network.yaml"
    network.write_text("apiVersion: v1\nkind: List\nitems: []\n", encoding="utf-8")
    dev = changed(
        DEV,
        kubernetes={
            "storageClass": "fast",
            "kubeconfigFile": str(site / "kubeconfig-1"),
            "context": "one",
            "placement": PLACED,
            "jobs": {"resources": FULL, "placement": PLACED},
        },
        storage={
            "volume": {"size": "20Gi", "storageClass": "s1"},
            "resources": FULL,
            "placement": PLACED,
            "access": OUTSIDE | {"nodePort": 30501},
        },
        milvus={
            "roles": {
                "querynode": {"replicas": 2, "localStorage": "9Gi", "env": {"GOMEMLIMIT": "1"}},
                "datanode": {
                    "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "cpuPercent": 50},
                    "placement": PLACED,
                    "resources": FULL,
                    "terminationGraceSeconds": 30,
                },
            },
            "upgradeFrom": "3.0.4",
            "image": "docker.io/milvusdb/milvus:v3.0.5",
            "configuration": {"quotaAndLimits": {"enabled": "x"}},
            "access": OUTSIDE,
            "clientsFrom": ["apps"],
            "auth": {"enabled": True, "rootPassword": {"config": "rootPassword"}},
            "gpu": {"enabled": True, "runtimeClass": "nvidia", "roles": ["querynode"]},
        },
        etcd={
            "volume": {"size": "20Gi"},
            "quota": "2Gi",
            "resources": FULL,
            "placement": PLACED,
            "snapshots": {},
        },
        network={
            "dns": [
                {"ports": [53], "networks": ["10.0.0.0/8"], "namespace": "a", "pods": {"b": "c"}}
            ],
            "egress": [{"ports": [443]}],
        },
        observability={
            "podMonitors": True,
            "podMonitorLabels": {"a": "b"},
            "alerts": True,
            "alertLabels": {"a": "b"},
            "runbooks": "https://site.example.com/alerts",
            "dashboard": True,
            "scrapeFrom": [{"namespace": "monitoring"}],
        },
        validation={
            "enabled": True,
            "image": "registry.example.com/kit:1",
            "resources": FULL,
            "placement": PLACED,
            "rules": "ci.slo.yaml",
        },
        images={
            "mirrors": [{"source": "quay.io", "mirror": "site.example.com/1"}],
            "overrides": {"minio": "quay.io/minio/minio:1"},
        },
    )
    data = {"vectors": 10**6, "dim": 768, "scalarBytes": 100, "replicas": 2}
    sized = changed(PROD, milvus={"dataset": data | {"index": "HNSW"}})
    disk = {"enabled": True, "volume": {"size": "9Gi", "storageClass": "nvme"}}
    ivf = changed(
        PROD, milvus={"dataset": data | {"index": "IVF_FLAT", "nlist": 60_000, "dim": 30_000}}
    )
    diskann = changed(PROD, milvus={"dataset": data | {"index": "DISKANN"}, "diskann": disk})
    served = changed(
        PROD,
        log={
            "volume": {"size": "50Gi", "storageClass": "s3"},
            "resources": FULL,
            "placement": PLACED,
        },
        storage={"encryption": "AES256"},
        network={"store": [{"ports": [9000]}]},
    )
    adopted = PROD | {
        "kubernetes": THERE,
        "storage": PROD["storage"] | {"type": "s3", "ca": CA, "credentials": KEY},
        "log": {
            "type": "kafka",
            "mode": "adopt",
            "brokers": ["k.example.com:9093"],
            "tls": True,
            "ca": CA,
            "sasl": {"user": "u", "password": {"existingSecret": {"name": "p-1", "key": "k"}}},
            "existingClientSecret": "client-1",
        },
        "network": {"log": [{"ports": [9093]}]},
        "images": {"requireDigest": False, "pullSecrets": ["registry-1"]},
    }
    adopted = changed(
        adopted,
        milvus={
            "tls": {
                "mode": "mutual",
                "existingSecret": "tls-1",
                "existingClientSecret": "tls-2",
            }
        },
    )
    greenlake = {
        "systemId": "8UW0000001",
        "region": "us-west",
        "clientId": "s3AccessKey",
        "clientSecret": "s3SecretKey",
        "tags": [{"key": "a", "value": "b"}],
    }
    provisioned = PROD | {
        "storage": {
            "type": "x10000",
            "mode": "provision",
            "endpoint": "https://s3.example.com",
            "ca": {"pem": PEM},
            "greenlake": greenlake,
        }
    }
    elsewhere = changed(
        provisioned,
        storage={
            "greenlake": {**greenlake, "region": None, "baseUrl": "https://api-1.example.com"}
        },
    )
    pulsar = PROD | {
        "log": {
            "type": "pulsar",
            "host": "p.example.com",
            "tls": True,
            "token": {"config": "logPassword"},
        }
    }
    operated = changed(
        adopted,
        milvus={
            "installer": "operator",
            "operator": {"chart": "/charts/operator-1.tgz"},
            "tls": {"mode": "server"},
        },
        etcd={"auth": False, "tls": False},
        storage={"ca": {"existingSecret": {"name": "ca-1", "key": "ca.crt"}}},
    )
    operated["storage"]["credentials"] = {"existingSecret": {"name": "s3-1"}}
    kubeadm = DEV | {
        "kubernetes": {
            "provider": "kubeadm",
            "hosts": HOSTS,
            "cni": {"type": "manifest", "manifest": str(network)},
            "imageArchives": "/images-1",
        }
    }
    kind = DEV | {"kubernetes": {"provider": "kind"}}
    kept = changed(DEV, kubernetes={"kubeconfig": "logPassword"})
    own_tls = changed(DEV, storage={"tls": {"mode": "existing", "existingSecret": "minio-1"}})
    own_tls |= {"kubernetes": THERE, "images": {}}
    small = changed(
        CLUSTER_23,
        log={"volume": {"size": "9Gi"}, "resources": FULL, "placement": PLACED},
        storage={"tls": {"mode": "off"}},
    )
    found = [dev, STANDALONE, small, PROD, served, sized, ivf, diskann, adopted, provisioned]
    return [*found, elsewhere, pulsar, operated, kubeadm, kind, kept, own_tls]


def signature(settings: Settings) -> str:
    """Return all that a program declares and exports, as text."""
    exported: list[Any] = []
    declared = run(lambda: program.build(settings, "test").apply(exported.append))
    # In what order something waits for others is a matter of chance.
    rows = sorted(repr(dataclasses.replace(one, depends_on=())) for one in declared.resources)
    return json.dumps([rows, repr(exported)])


def fields(
    part: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[type, str, tuple[Any, ...], Any]]:
    """Yield every field below: its model, its name, its path and its value."""
    if isinstance(part, (tuple, list)):
        for index, item in enumerate(part):
            yield from fields(item, (*path, index))
    elif isinstance(part, Mapping):
        for key, item in part.items():
            yield from fields(item, (*path, key))
    elif isinstance(part, Section):
        for name in type(part).model_fields:
            value = getattr(part, name)
            yield type(part), name, (*path, name), value
            yield from fields(value, (*path, name))


def put(part: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy in which what a path leads to has another value."""
    if not path:
        return value
    first, *rest = path
    if isinstance(part, Section):
        return part.model_copy(update={first: put(getattr(part, first), tuple(rest), value)})
    if isinstance(part, tuple):
        return (*part[:first], put(part[first], tuple(rest), value), *part[first + 1 :])
    return dict(part) | {first: put(part[first], tuple(rest), value)}


def others(value: Any, hint: Any) -> Iterator[Any]:
    """Yield other values of the same kind."""
    for one in options(hint):
        if typing.get_origin(one) is typing.Literal:
            yield from (word for word in typing.get_args(one) if word != value)
        elif one is type(None) and value is not None:
            yield None
        elif one is str and value is None:
            yield "x-1"
    if isinstance(value, enum.Enum):
        yield from (one for one in type(value) if one != value)
    else:
        yield from next((more(value) for kind, more in OTHERS if isinstance(value, kind)), ())


def reworded(text: str) -> str:
    """Return another text: with another number, if it holds one."""
    changed_number = re.sub(r"\d", lambda one: str((int(one[0]) + 1) % 10), text, count=1)
    return changed_number if changed_number != text else f"{text}x"


OTHERS: tuple[tuple[type, Callable[[Any], tuple[Any, ...]]], ...] = (
    (bool, lambda value: (not value,)),
    (int, lambda value: (value + 1, value * 50 + 7)),  # sizing rounds up
    (ConfigSecret, lambda _: (ConfigSecret("registryLogin"),)),
    (Path, lambda value: (value.with_name(f"x{value.name}"),)),
    (str, lambda value: (reworded(value),)),
    (dict, lambda value: ({f"{key}x": item for key, item in value.items()},)),
    (tuple, lambda _: ((),)),
)


def decides(settings: Settings, before: str, path: tuple[Any, ...], values: Iterator[Any]) -> bool:
    """Tell whether one of these values makes a difference; one that is refused does."""
    for value in values:
        try:
            if signature(put(settings, path, value)) != before:
                return True
        except Exception:  # noqa: BLE001  (whatever it is that another value breaks)
            return True
    return False


def models(of: type[Section] = Section) -> Iterator[type[Section]]:
    for one in of.__subclasses__():
        yield one
        yield from models(one)


def test_every_field_of_every_model_changes_something(documents):
    wanted = {
        (one.__name__, name)
        for one in models()
        if one.__module__.startswith("infra.settings") and not one.__name__.startswith("_")
        for name in one.model_fields
        if name not in {"type", "provider"}
    } - DECIDE_ONLY_WHAT_IS_REFUSED
    missing = set(wanted)
    for document in documents:
        settings = settings_of(document)
        before = signature(settings)
        assert signature(settings) == before
        for model, name, path, value in fields(settings):
            key = (model.__name__, name)
            if key not in missing:
                continue
            hint = typing.get_type_hints(model, include_extras=True)[name]
            if isinstance(value, Section) or any(isinstance(one, Section) for one in _in(value)):
                missing.discard(key)  # its own fields are asked
            elif decides(settings, before, path, others(value, hint)):
                missing.discard(key)
    assert missing == set()


def _in(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return list(value)
    return list(value.values()) if isinstance(value, dict) else []


def test_a_field_that_is_forgotten_on_its_way_is_found(documents, monkeypatch):
    settings = settings_of(documents[3])
    path, values = ("images", "pull_policy"), ["Always"]
    assert decides(settings, signature(settings), path, iter(values))
    monkeypatch.setattr(cluster, "common", lambda _: pods.Common())
    assert not decides(settings, signature(settings), path, iter(values))
