"""Any valid settings build; any invalid ones give a settings error, and no resource."""

from __future__ import annotations

import asyncio
from typing import Any

import declaring
import kubernetes_validate
import pulumi
import pytest
from declaring import CONFIG, DEV, PROD, declare, settings_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pulumi.runtime import mocks

from infra import program
from validation import target
from validation.errors import ConfigurationError
from validation.milvus import vulnerabilities

PEM = PROD["storage"]["ca"]["pem"]
SIZES = st.sampled_from(["1Gi", "20Gi", "1Ti"])
KEY = {"config": {"accessKey": "s3AccessKey", "secretKey": "s3SecretKey"}}
slow = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@st.composite
def accesses(draw, port):
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    if kind == "ClusterIP":
        return {}
    access = {"type": kind, "host": draw(st.sampled_from(["192.0.2.1", "m.example.com"]))}
    return access | ({"nodePort": port} if kind == "NodePort" else {})


@st.composite
def storages(draw, prod):
    kind = draw(st.sampled_from(["x10000", "s3"] if prod else ["minio", "x10000", "s3"]))
    common = {"type": kind, "bucket": draw(st.sampled_from(["milvus", "vectors-1"]))}
    if kind == "minio":
        tls = {"mode": draw(st.sampled_from(["generated", "off"]))}
        volume = {"size": draw(SIZES)}
        return common | {"tls": tls, "volume": volume, "access": draw(accesses(30901))}
    scheme = "https" if prod else draw(st.sampled_from(["https", "http"]))
    common |= {
        "endpoint": f"{scheme}://s3.example.com",
        "addressing": draw(st.sampled_from(["path", "virtual"])),
    }
    if scheme == "https" and draw(st.booleans()):
        common["ca"] = {"pem": PEM}
    if kind == "x10000" and draw(st.booleans()):
        greenlake = {"systemId": "8UW1", "region": "us-west"}
        greenlake |= {"clientId": "s3AccessKey", "clientSecret": "s3SecretKey"}
        return common | {"mode": "provision", "greenlake": greenlake}
    return common | {"credentials": KEY}


@st.composite
def logs(draw, prod, version, mode, storage):
    options = ["kafka", "pulsar"]
    if version >= "2.6" and (mode == "cluster" or storage["type"] == "minio"):
        options.append("woodpecker")
    if mode == "standalone":
        options.append("rocksmq")
    kind = draw(st.sampled_from(options))
    if kind == "kafka":
        if not prod and draw(st.booleans()):
            return {"type": kind, "mode": "create"}
        return {"type": kind, "mode": "adopt", "brokers": ["k.example.com:9093"], "tls": True}
    if kind == "pulsar":
        return {"type": kind, "host": "pulsar.example.com", "tls": prod}
    if kind == "woodpecker":
        embedded = storage["type"] == "minio" and draw(st.booleans())
        embedded = embedded or mode == "standalone"
        return {"type": kind, "mode": "embedded" if embedded else "service"}
    return {"type": kind}


@st.composite
def milvuses(draw, prod, version, mode, log):
    milvus: dict[str, Any] = {"version": version, "mode": mode, "access": draw(accesses(30902))}
    if mode == "standalone":
        milvus["dataVolume"] = {"size": draw(SIZES)}
    elif draw(st.booleans()):
        milvus["roles"] = {"querynode": {"replicas": draw(st.integers(2, 5))}}
    if mode == "cluster" and log.get("mode") != "service" and draw(st.booleans()):
        milvus["installer"] = "operator"
    if version > "2.4" and "installer" not in milvus and draw(st.booleans()):
        milvus["gpu"] = {"enabled": True}
    if draw(st.booleans()):
        milvus["dataset"] = {"vectors": 100_000, "dim": 128}
    if prod and version == "2.3.5":
        ids = [one.id for one in vulnerabilities.of(version)]
        milvus["acceptedRisks"] = dict.fromkeys(ids, "an old version, for this test")
    if not prod:
        milvus["auth"] = {"enabled": draw(st.booleans())}
        milvus["tls"] = {"mode": draw(st.sampled_from(["off", "server"]))}
    return milvus


@st.composite
def documents(draw):
    prod = draw(st.booleans())
    version = draw(st.sampled_from(["2.3.5", "2.5.27", "2.6.20", "3.0.5"]))
    mode = "cluster" if prod else draw(st.sampled_from(["standalone", "cluster"]))
    storage = draw(storages(prod))
    log = draw(logs(prod, version, mode, storage))
    milvus = draw(milvuses(prod, version, mode, log))
    etcd: dict[str, Any] = {"volume": {"size": draw(SIZES)}}
    if not prod:
        etcd |= {"members": draw(st.sampled_from([1, 3])), "tls": draw(st.booleans())}
    if milvus.get("installer") == "operator":
        etcd |= {"auth": False, "tls": False}
    if "dataset" in milvus and storage["type"] == "minio":
        storage["volume"] = {"size": "1Ti"}
    return {
        "environment": "prod" if prod else "dev",
        "kubernetes": {"provider": "existing", "namespace": draw(st.sampled_from(["ns", "a-b"]))},
        "storage": storage,
        "milvus": milvus,
        "log": log,
        "etcd": etcd,
        "observability": {"dashboard": draw(st.booleans())},
        "images": {"requireDigest": False},
    }


@slow
@given(documents())
def test_any_valid_settings_build_objects_that_kubernetes_accepts(document):
    found: list[Any] = []

    def build():
        return program.build(settings_of(document), "test").apply(found.append)

    declared = declaring.run(build)
    target.parse(found[0], source="test")
    for thing in declared.kubernetes():
        if thing["kind"] not in {"PodMonitor", "PrometheusRule", "Milvus"}:
            kubernetes_validate.validate(_clean(thing), "1.36", strict=True)
    visible = repr([one.inputs for one in declared.resources if one.kind == "ConfigMap"])
    assert not [value for value in CONFIG.values() if value in visible]


def _clean(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {key: _clean(value) for key, value in thing.items() if value is not None}
    return [_clean(item) for item in thing] if isinstance(thing, list) else thing


def breakages(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The document with one key wrong, for each way to make it wrong."""
    found = []
    for section, value in document.items():
        found += [document | {section: wrong} for wrong in ("nonsense", None, ["a"], 7)]
        if isinstance(value, dict):
            found.append(document | {section: value | {"noSuchKey": 1}})
            found += [document | {section: value | {key: {"no": "such"}}} for key in value]
    return found


@slow
@given(documents(), st.data())
def test_any_invalid_settings_give_a_settings_error_and_no_resource(document, data):
    broken = data.draw(st.sampled_from(breakages(document)))
    requests = []
    real = declaring._Monitor.RegisterResource
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            declaring._Monitor,
            "RegisterResource",
            lambda self, request: (requests.append(request.type), real(self, request))[1],
        )
        with pytest.raises(ConfigurationError):
            declare(broken)
    assert set(requests) <= {"pulumi:pulumi:Stack"}


TOO_SMALL = {
    **PROD,
    "milvus": {
        "version": "3.0.5",
        "mode": "cluster",
        "dataset": {"vectors": 10**9, "dim": 1024},
        "roles": {"querynode": {"replicas": 1, "resources": {"memory": "8Gi"}}},
    },
}


@pytest.mark.parametrize(
    "document",
    [
        TOO_SMALL,
        {**PROD, "images": {"requireDigest": True}},
        {**DEV, "images": {"overrides": {}}, "milvus": {"version": "2.4.99", "mode": "cluster"}},
    ],
    ids=["too-small", "no-digest", "no-such-image"],
)
def test_what_cannot_be_deployed_is_refused_before_anything_is_declared(document):
    requests = []
    real = declaring._Monitor.RegisterResource
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            declaring._Monitor,
            "RegisterResource",
            lambda self, request: (requests.append(request.type), real(self, request))[1],
        )
        with pytest.raises(ConfigurationError):
            declare(document)
    assert set(requests) <= {"pulumi:pulumi:Stack"}


def test_mistake_reaches_the_engine_as_a_message_without_a_traceback(monkeypatch):
    monkeypatch.setattr(program.config, "get_config_env", lambda: {"milvus-kit:environment": "x"})
    monkeypatch.setattr(program.config, "get_config_secret_keys_env", list)
    with pytest.raises(pulumi.RunError, match="keys are wrong") as caught:
        declaring.run(program.main)
    assert "docs/settings.md" in str(caught.value)


def test_what_ran_its_own_event_loop_before_leaves_programs_declarable():
    asyncio.run(asyncio.sleep(0))
    declaring.forget()
    assert declare(DEV).kubernetes()


@pytest.mark.timeout(60)
def test_a_program_that_failed_declares_nothing_in_the_middle_of_the_next(monkeypatch):
    asked_for: list[str] = []
    real = mocks.MockMonitor.RegisterResource

    def kept(self, request):
        asked_for.append(request.name)
        return real(self, request)

    def resource(name: str, told: Any) -> pulumi.CustomResource:
        return pulumi.CustomResource("test:index:Told", name, {"told": told})

    def late(name: str, seconds: float) -> pulumi.CustomResource:
        return resource(name, pulumi.Output.from_input(asyncio.sleep(seconds, name)))

    def wrong(_: object) -> None:
        raise ConfigurationError("planted")

    def fails() -> None:
        late("left", 0.2)
        resource("wrong", pulumi.Output.from_input(0).apply(wrong))

    with pytest.raises(ConfigurationError, match="planted"):
        declaring.run(fails)
    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", kept)
    declaring.run(lambda: late("own", 0.6).urn)
    assert asked_for == ["milvus-kit-test", "own"]
