"""The stacks that come with the kit: dev, dev-cluster and prod."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import declaring
import kubernetes_validate
import pytest
import yaml
from declaring import Declared, run, shown
from pulumi.runtime import mocks
from test_storage import PROVISION
from typer.testing import CliRunner

from infra import images, program
from infra.settings.parse import from_file
from validation import target
from validation.cli.config import app
from validation.errors import ConfigurationError, UsageError
from validation.verdicts import rules

ROOT = Path(__file__).resolve().parents[2]
STACKS = ROOT / "stacks"
NAMES = ("dev", "dev-cluster", "prod")
KUBERNETES = "1.36"


REAL_ANSWER = declaring._Remembers.new_resource


def _with_site_secrets(self, args):
    """Answer for a Secret that a site has made before."""
    id_, outputs = REAL_ANSWER(self, args)
    if args.resource_id and args.typ == "kubernetes:core/v1:Secret":
        text = base64.b64encode(b"planted-by-the-site").decode()
        outputs["data"] = dict.fromkeys(("accesskey", "secretkey", "ca.crt"), text)
    return id_, outputs


def built(name: str) -> tuple[Declared, dict[str, Any], list[Any]]:
    """What a stack declares, its target, and the raw requests of its resources."""
    settings = from_file(STACKS / f"Pulumi.{name}.yaml")
    documents: list[dict[str, Any]] = []
    requests: list[Any] = []
    real = mocks.MockMonitor.RegisterResource

    def kept(self, request):
        requests.append(request)
        return real(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mocks.MockMonitor, "RegisterResource", kept)
        patch.setattr(declaring._Remembers, "new_resource", _with_site_secrets)
        declared = run(lambda: program.build(settings, name).apply(documents.append), stack=name)
    return declared, documents[0], requests


@pytest.fixture(scope="module", params=NAMES)
def stack(request):
    return request.param, *built(request.param)


def test_target_parses_in_validation(stack):
    name, _, document, _ = stack
    parsed = target.parse(document, source=name)
    assert parsed.name == name
    assert parsed.storage is not None
    assert parsed.storage.secret_key is not None
    assert parsed.storage.secret_key.reveal()
    assert parsed.milvus.version == "3.0.5"
    assert (parsed.milvus.auth is None) == (name == "dev")


def test_target_is_a_secret(stack):
    name, *_ = stack
    seen = []
    settings = from_file(STACKS / f"Pulumi.{name}.yaml")

    def secrecy():
        output = program.build(settings, name)
        seen.append(asyncio.ensure_future(output.is_secret()))
        return output

    run(secrecy, stack=name)
    assert seen[0].result() is True


def test_every_object_is_valid_for_kubernetes(stack):
    _, declared, _, _ = stack
    objects = declared.kubernetes()
    assert len(objects) > 15
    for document in objects:
        if document["kind"] in {"PodMonitor", "PrometheusRule", "Milvus"}:
            continue  # custom resources have schemas of their own
        kubernetes_validate.validate(_clean(document), KUBERNETES, strict=True)


def _clean(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _clean(value) for key, value in document.items() if value is not None}
    if isinstance(document, list):
        return [_clean(item) for item in document]
    return document


def test_same_settings_give_the_same_bytes(stack):
    name, declared, document, _ = stack
    again, document_again, _ = built(name)
    order = [(one.type, one.name) for one in declared.resources]
    assert sorted(order) == sorted((one.type, one.name) for one in again.resources)
    texts = [
        yaml.safe_dump(sorted((one.type, one.name, repr(shown(one.inputs))) for one in found))
        for found in (declared.resources, again.resources)
    ]
    assert texts[0] == texts[1]
    assert document == document_again


def test_every_image_is_from_the_lock(stack):
    name, declared, _, _ = stack
    known = set(images.used(from_file(STACKS / f"Pulumi.{name}.yaml")).values())
    used = {
        container["image"]
        for template in declared.workloads().values()
        for key in ("containers", "initContainers")
        for container in template["spec"].get(key) or []
    }
    assert used
    assert used <= known


@pytest.mark.parametrize("name", NAMES)
def test_stack_and_rules_stand_side_by_side(name):
    assert len(rules.load(STACKS / f"{name}.slo.yaml")) > 20


@pytest.mark.parametrize("path", sorted(STACKS.glob("*.yaml")), ids=lambda path: path.name)
def test_no_secret_and_no_real_host_in_any_stack(path):
    text = path.read_text(encoding="utf-8")
    assert "secure:" not in text
    assert "PRIVATE KEY" not in text
    for address in re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text):
        assert ipaddress.ip_address(address).is_private, address
    values = "\n".join(line.partition(" # ")[0] for line in text.splitlines())
    values = "\n".join(line for line in values.splitlines() if not line.lstrip().startswith("#"))
    for host in re.findall(r"\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|net|org|io|local)\b", values):
        assert host.endswith("example.com") or host in {"docker.io", "quay.io"}, host


@pytest.mark.parametrize("name", NAMES)
def test_command_finds_no_mistake_in_any_stack(name):
    result = CliRunner().invoke(app, ["check", "--file", str(STACKS / f"Pulumi.{name}.yaml")])
    assert result.exit_code == 0, result.output
    assert "no mistake found" in result.output


@pytest.mark.parametrize("arguments", [[], ["-s", "dev", "-f", "x"], ["-s", "no-such-stack"]])
def test_command_says_what_it_wants(arguments):
    result = CliRunner().invoke(app, ["check", *arguments])
    assert isinstance(result.exception, UsageError)
    assert "dev" in str(result.exception)


def test_command_names_every_mistake(tmp_path):
    path = tmp_path / "Pulumi.broken.yaml"
    path.write_text("config: {milvus-kit:environment: dve, milvus-kit:log: {type: kafka}}\n")
    result = CliRunner().invoke(app, ["check", "--file", str(path)])
    assert isinstance(result.exception, ConfigurationError)
    assert "did you mean dev?" in str(result.exception)
    assert "log.mode: this key is missing" in str(result.exception)


def test_command_shows_defaults_that_nobody_wrote():
    result = CliRunner().invoke(app, ["show", "--file", str(STACKS / "Pulumi.prod.yaml")])
    shown_settings = yaml.safe_load(result.output)
    assert shown_settings["etcd"]["tls"] is True
    assert shown_settings["storage"]["retainOnDelete"] is True


# Claims of production


def flags(requests, name, kind):
    (found,) = [one for one in requests if one.name == name and one.type.endswith(":" + kind)]
    return found


def test_prod_protects_and_keeps_what_holds_data():
    requests: list[Any] = []
    real = mocks.MockMonitor.RegisterResource
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            mocks.MockMonitor,
            "RegisterResource",
            lambda self, request: (requests.append(request), real(self, request))[1],
        )
        declaring.forget()
        declaring.declare(PROVISION)
    for name, kind in (("namespace", "Namespace"), ("milvus-bucket", "GreenLakeBucket")):
        found = flags(requests, name, kind)
        assert found.protect
        assert found.retainOnDelete
    assert flags(requests, "milvus-user", "GreenLakeUser").protect


def test_prod_leaves_a_namespace_that_is_there_alone():
    declared, _, _ = built("prod")
    assert declared.of("Namespace") == {}


def test_dev_can_be_destroyed():
    _, _, requests = built("dev")
    assert not [one.name for one in requests if one.protect or one.retainOnDelete]


def test_generated_secrets_are_secret_outputs_for_the_engine(stack):
    _, _, _, requests = stack
    for request in requests:
        kind = request.type.rsplit(":", 1)[-1]
        expected = {
            "Password": {"value"},
            "Certificate": {"key", "ca_key"},
            "CertificateAuthority": {"key"},
            "MinioUser": {"kubeconfig", "root_secret_key", "access_key", "secret_key"},
            "MinioBucket": {"kubeconfig", "root_secret_key"},
        }.get(kind, set())
        assert expected <= set(request.additionalSecretOutputs), request.name


def test_no_generated_secret_is_in_plain_sight(stack):
    _, declared, _, _ = stack
    for one in declared.resources:
        text = repr(one.inputs)  # Hidden values show as Hidden(...)
        visible = re.sub(r"Hidden\(value=.*?\)(?=[,}\]])", "", text)
        if one.kind in {"Password", "CertificateAuthority", "Certificate"}:
            continue
        assert "generated-value-of" not in visible, (one.type, one.name)
        assert "generated-key-of" not in visible, (one.type, one.name)


def test_minio_bucket_and_user_go_with_their_server():
    _, _, requests = built("dev")
    for name, kind in (("milvus-bucket", "MinioBucket"), ("milvus-user", "MinioUser")):
        assert flags(requests, name, kind).deletedWith.endswith("StatefulSet::minio")


STABLE = {
    "milvus-bucket": "pulumi-python:dynamic:MinioBucket",
    "milvus-user": "pulumi-python:dynamic:MinioUser",
    "minio": "kubernetes:apps/v1:StatefulSet",
    "milvus-s3": "kubernetes:core/v1:Secret",
    "storage-ca": "kubernetes:core/v1:Secret",
    "day-zero": "pulumi-python:dynamic:DayZero",
    "milvus-kit-dev": "pulumi-python:dynamic:CertificateAuthority",
}


def test_names_are_those_of_state_that_exists():
    # A resource that is renamed here is deleted and made anew there, with its data.
    declared, _, _ = built("dev")
    found = {(one.name, one.type) for one in declared.resources}
    assert set(STABLE.items()) <= found


_RENDERED = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
import declaring
objects = declaring.declare(declaring.PROD).kubernetes()
lines = sorted(json.dumps(one, sort_keys=True) for one in objects)
print(hashlib.sha256("\\n".join(lines).encode()).hexdigest())
"""


def test_another_process_renders_the_same_bytes():
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _RENDERED, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1")
    ]
    hashes = {one.communicate(timeout=120)[0] for one in running}
    assert [one.returncode for one in running] == [0, 0]
    assert len(hashes) == 1


def test_target_says_when_clients_need_a_certificate():
    found: list[dict[str, Any]] = []
    document = declaring.changed(declaring.DEV, milvus={"tls": {"mode": "mutual"}})
    settings = declaring.settings_of(document)
    run(lambda: program.build(settings, "test").apply(found.append))
    assert any("certificate" in note for note in target.parse(found[0], source="test").notes)
