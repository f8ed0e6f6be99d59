"""The cluster contract: refused for a reason, no secret in the clear, the same for each kind."""

from __future__ import annotations

import threading
from http.server import HTTPServer

import pytest
import yaml

from infra.kubernetes import check, kind
from tests.infra.api_server import KnowsNobody, kubeconfig
from tests.infra.declaring import DEV, Hidden, changed, declare
from validation.errors import ConfigurationError, CredentialsError, UnreachableError

KUBEADM = changed(
    DEV,
    kubernetes={
        "provider": "kubeadm",
        "hosts": [{"name": "one", "address": "10.0.0.1", "role": "control-plane"}],
    },
)
OVER_SSH = changed(
    KUBEADM,
    kubernetes={
        "hosts": [
            {
                "name": "one",
                "address": "10.0.0.1",
                "role": "control-plane",
                "ssh": {"privateKey": "rootPassword", "hostKey": "ssh-ed25519 AAAA"},
            }
        ]
    },
)


def test_a_cluster_that_does_not_answer_is_named():
    props = {"kubeconfig": kubeconfig("http://127.0.0.1:9"), "needs": {}}
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9") as caught:
        check.look(props)
    assert "planted-token" not in str(caught.value)


def test_a_cluster_that_does_not_let_us_in_is_told_from_one_that_is_away():
    server = HTTPServer(("127.0.0.1", 0), KnowsNobody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        props = {"kubeconfig": kubeconfig(f"http://127.0.0.1:{server.server_port}"), "needs": {}}
        with pytest.raises(CredentialsError, match="401"):
            check.look(props)
    finally:
        server.shutdown()
        server.server_close()


def test_a_kubeconfig_that_is_none_is_a_mistake_of_the_users():
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        check.look({"kubeconfig": "not: a kubeconfig", "needs": {}})


def test_a_preview_before_the_cluster_exists_is_no_failure():
    provider = check.ClusterCheckProvider()
    assert provider.check({}, {"kubeconfig": object(), "needs": {}}).failures == []


def test_the_kubeconfig_of_a_made_cluster_is_a_secret():
    made = declare(KUBEADM)
    inputs = made.one("Provider", "kubernetes") if made.of("Provider") else None
    provider = inputs or next(
        item.inputs for item in made.resources if item.type == "pulumi:providers:kubernetes"
    )
    assert isinstance(provider["kubeconfig"], Hidden)


def test_an_ssh_key_reaches_the_node_as_a_secret_only():
    made = declare(OVER_SSH)
    node = next(item for item in made.resources if item.name == "node-one")
    assert isinstance(node.inputs["plan"], Hidden)


def test_a_made_cluster_gets_a_default_storage_class_and_an_adopted_one_does_not():
    assert "StorageClass" in {one["kind"] for one in declare(KUBEADM).kubernetes()}
    assert "StorageClass" not in {one["kind"] for one in declare(DEV).kubernetes()}


def test_kind_gets_a_control_plane_and_as_many_workers_as_asked_for():
    roles = [node["role"] for node in yaml.safe_load(kind.cluster_config(2))["nodes"]]
    assert roles == ["control-plane", "worker", "worker"]


def test_a_kubeconfig_file_that_is_not_there_stops_the_program_before_it_declares_anything():
    document = changed(DEV, kubernetes={"kubeconfigFile": "/none/config"})
    with pytest.raises(ConfigurationError, match=r"kubernetes\.kubeconfigFile.*/none/config"):
        declare(document)
