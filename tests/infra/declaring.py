"""Run the program, or a part of it, through the real SDK against a monitor that remembers."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks

from infra import program
from infra.settings import Settings
from infra.settings.parse import parse

SECRET = "4dabf18193072939515e22adb298388d"
GENERATED = {
    "Password": ("value",),
    "Certificate": ("certificate", "key"),
    "CertificateAuthority": ("certificate", "key"),
}
CONFIG = {
    "s3AccessKey": "AKIAPLANTEDACCESSKEY",
    "s3SecretKey": "plantedS3SecretKeyplantedS3SecretKey",
    "logPassword": "plantedLogPassword",
    "rootPassword": "plantedRootPassword",
    "registryLogin": "plantedRegistryLogin",
}
DEV: dict[str, Any] = {
    "environment": "dev",
    "kubernetes": {"provider": "existing", "namespace": "ns"},
    "storage": {"type": "minio"},
    "milvus": {"version": "3.0.5", "mode": "cluster"},
    "log": {"type": "woodpecker", "mode": "embedded"},
    "images": {"pullLogin": "registryLogin"},
}
STANDALONE = DEV | {
    "milvus": {"version": "2.3.5", "mode": "standalone", "dataVolume": {"size": "10Gi"}},
    "log": {"type": "rocksmq"},
}
CLUSTER_23 = DEV | {
    "milvus": {"version": "2.3.5", "mode": "cluster"},
    "log": {"type": "kafka", "mode": "create"},
}
PROD: dict[str, Any] = {
    "environment": "prod",
    "kubernetes": {"provider": "existing", "namespace": "ns"},
    "storage": {
        "type": "x10000",
        "endpoint": "https://s3.example.com",
        "ca": {"pem": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"},
        "credentials": {"config": {"accessKey": "s3AccessKey", "secretKey": "s3SecretKey"}},
    },
    "milvus": {"version": "3.0.5", "mode": "cluster"},
    "log": {"type": "woodpecker", "mode": "service"},
    "images": {"requireDigest": False},
}


def changed(document: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """Return a document with some keys of its sections replaced."""
    result = copy.deepcopy(dict(document))
    for name, value in sections.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = result[name] | value
        else:
            result[name] = value
    return result


def settings_of(document: Mapping[str, Any]) -> Settings:
    """Return the settings that a document describes; secrets that it names are there."""
    named = {name for name in CONFIG if repr(name) in repr(document)}
    return parse(dict(document), secrets=named, source="test")


@dataclass
class Resource:
    """One declared resource. Numbers are whole where they are; secrets are `Hidden`."""

    type: str
    name: str
    inputs: dict[str, Any]
    depends_on: tuple[str, ...]
    protect: bool = False
    retain: bool = False

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]


@dataclass(frozen=True)
class Hidden:
    """A value that the SDK passed as a secret."""

    value: Any


@dataclass
class Declared:
    """What a program declared."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Resource]:
        return {item.name: item for item in self.resources if item.kind == kind}

    def one(self, kind: str, name: str) -> dict[str, Any]:
        return self.of(kind)[name].inputs

    def workloads(self) -> dict[str, dict[str, Any]]:
        """Every object with a pod template, and the template."""
        found = {}
        for item in self.resources:
            spec = item.inputs.get("spec", {}) if isinstance(item.inputs, dict) else {}
            if item.kind in {"Deployment", "StatefulSet", "Job"}:
                found[f"{item.kind}/{item.name}"] = spec["template"]
            elif item.kind == "CronJob":
                found[f"{item.kind}/{item.name}"] = spec["jobTemplate"]["spec"]["template"]
        return found

    def kubernetes(self) -> list[dict[str, Any]]:
        """Every Kubernetes object, as the API server would get it."""
        return [
            shown(item.inputs)
            for item in self.resources
            if item.type.startswith("kubernetes:") and "kind" in item.inputs
        ]


def shown(value: Any) -> Any:
    """Return a value with its secrets in plain sight."""
    if isinstance(value, Hidden):
        return shown(value.value)
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value


class _Remembers(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        outputs = dict(args.inputs)
        for key in GENERATED.get(args.typ.rsplit(":", 1)[-1], ()):
            outputs[key] = f"generated-{key}-of-{args.name}"
        return args.resource_id or f"{args.name}-id", outputs

    def call(self, args: Any) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"no function is called: {args.token}")


class _Monitor(MockMonitor):
    def __init__(self, mocks: Mocks, declared: Declared) -> None:
        super().__init__(mocks)
        self._declared = declared

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (the SDK's own name)
        answer = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            inputs = pulumi.runtime.rpc.deserialize_properties(request.object, True)
            self._declared.resources.append(
                Resource(
                    request.type,
                    request.name,
                    _plain(inputs),
                    tuple(urn.rsplit("::", 1)[-1] for urn in request.dependencies),
                    request.protect,
                    request.retainOnDelete,
                )
            )
        return answer


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if SECRET in value:
            return Hidden(_plain(value.get("value")))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


_KNOWN: dict[Any, Declared] = {}


def declare(document: Mapping[str, Any], stack: str = "test") -> Declared:
    """Return what the whole program declares for a document; the same is declared only once."""
    # What tests plant elsewhere decides too. A file that a document names may have changed.
    named = {name: value for name, value in os.environ.items() if name.startswith("MILVUS_KIT_")}
    planted = (CONFIG, _Remembers.new_resource, _Monitor.RegisterResource, named)
    key = (repr(document), stack, repr(planted))
    if "rules" in repr(document) or key not in _KNOWN:
        settings = settings_of(document)
        _KNOWN[key] = run(lambda: program.build(settings, stack), stack)
    return copy.deepcopy(_KNOWN[key])


def forget() -> None:
    """Declare everything anew from now on: something that `declare` cannot see has changed."""
    _KNOWN.clear()


def run(build: Callable[[], Any], stack: str = "test") -> Declared:
    """Return what a function declares; a fresh monitor each time, and no unknown outputs."""
    declared = Declared()
    mocks = _Remembers()
    with _event_loop():
        pulumi.runtime.settings.reset_options()  # the stack that the program before stood on
        pulumi.runtime.set_mocks(
            mocks,
            project="milvus-kit",
            stack=stack,
            preview=False,
            monitor=_Monitor(mocks, declared),
        )
        for name, value in CONFIG.items():
            pulumi.runtime.set_config(f"milvus-kit:{name}", value)

        @pulumi.runtime.test
        def body() -> Any:
            return build()

        body()
    return declared


_LOOP = asyncio.new_event_loop()
"""Of all programs: the SDK's mocks leave loops of their own in its threads, which live as long."""


@contextlib.contextmanager
def _event_loop() -> Iterator[None]:
    """End with a program what it left undone, which the SDK leaves to the next one on the loop.

    A program that fails would go on to declare its resources in the middle of another.
    """
    asyncio.set_event_loop(_LOOP)
    try:
        yield
    finally:
        undone = asyncio.all_tasks(_LOOP)
        for task in undone:
            task.cancel()
        _LOOP.run_until_complete(asyncio.gather(*undone, return_exceptions=True))
