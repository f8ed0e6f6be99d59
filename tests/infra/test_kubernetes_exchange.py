"""A stack stays on its cluster: what would put another in its place is refused at preview."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from infra.kubernetes import kubeconfig
from infra.kubernetes.check import ClusterCheckProvider
from infra.kubernetes.kind import KindProvider
from infra.kubernetes.node.plan import Host, NodePlan, Ssh
from infra.kubernetes.node.resource import NodeProvider
from tests.infra.api_server import Cluster, running
from tests.infra.declaring import DEV, changed, declare
from validation.errors import ConfigurationError, OwnershipError

ONE, TWO, THREE = (
    Host(name=f"n{at}", address=f"10.0.0.{at}", role="control-plane") for at in (1, 2, 3)
)
PLAN = NodePlan(
    cluster="test",
    host=ONE,
    kubernetes_version="1.36.3",
    pod_subnet="10.244.0.0/16",
    service_subnet="10.96.0.0/16",
)


def refused(old: NodePlan, new: NodePlan) -> list[str]:
    plans = ({"plan": json.dumps(one.document())} for one in (old, new))
    return [one.reason for one in NodeProvider().check(*plans).failures]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kubernetes_version": "1.36.4"}, "kubernetesVersion: {} (was 1.36.3, now 1.36.4)"),
        ({"pod_subnet": "10.9.0.0/16"}, "podSubnet: {} (was 10.244.0.0/16, now 10.9.0.0/16)"),
        ({"service_subnet": "10.9.0.0/16"}, "serviceSubnet: {} (was 10.96.0.0/16, now "),
        ({"cni_manifest": "given"}, "cni.type: {} (was bridge, now manifest)"),
        ({"image_archives": "/images"}, "imageArchives: {} (was none, now /images)"),
        ({"local_volumes": "/data"}, "localVolumes: {} (was /var/lib/milvus-kit/volumes, now /da"),
        ({"host": TWO}, "hosts: {} (was first control plane n1, 10.0.0.1, now first control plane"),
    ],
)
def test_what_would_make_another_cluster_of_one_that_stands_is_refused(change, told):
    (reason,) = refused(PLAN, PLAN.model_copy(update=change))
    why = "another value makes another cluster, and all that is on this one would be lost"
    assert f"kubernetes.{told.format(why)}" in reason
    assert "`pulumi destroy`, then `pulumi up`" in reason


def test_what_replaces_a_first_control_plane_is_what_is_refused():
    """Otherwise a change that is not refused would take the cluster with it."""
    values: dict[str, Any] = {"cluster": "other", "single": False, "leader": TWO}
    for name in NodePlan.model_fields:
        changed_ = PLAN.model_copy(update={name: values.get(name, TWO if name == "host" else "x")})
        if changed_.fingerprint() != PLAN.fingerprint() and name != "cluster":
            assert refused(PLAN, changed_), name


def test_a_host_that_joined_does_not_become_the_first_and_keeps_the_one_it_joined():
    joined = PLAN.model_copy(update={"host": TWO, "leader": ONE})
    for now in (
        joined.model_copy(update={"leader": None}),
        joined.model_copy(update={"leader": THREE}),
    ):
        (reason,) = refused(joined, now)
        assert "first control plane n1, 10.0.0.1" in reason


def test_what_changes_in_a_cluster_as_it_stands_is_not_refused():
    ssh = Ssh(user="admin", private_key="key", host_key="ssh-ed25519 AAAA")  # type: ignore[arg-type]
    given = PLAN.model_copy(update={"cni_manifest": "one"})
    reached = ONE.model_copy(update={"ssh": ssh})
    for now in ({"cni_manifest": "two"}, {"single": False}, {"host": reached}):
        assert refused(given, given.model_copy(update=now)) == []
    worker = PLAN.model_copy(update={"host": TWO, "leader": ONE})
    moved = TWO.model_copy(update={"address": "10.0.0.9"})
    for now in ({"leader": reached}, {"host": moved}):
        assert refused(worker, worker.model_copy(update=now)) == []


def test_a_node_that_is_new_or_whose_key_is_known_later_is_not_refused():
    plan = json.dumps(PLAN.document())
    assert NodeProvider().check({}, {"plan": plan}).failures == []
    assert NodeProvider().check({"plan": plan}, {"plan": object()}).failures == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"workers": 2}, "kubernetes.workers: "),
        ({"version": "1.36.4"}, "(was 1.36.3, now 1.36.4)"),
    ],
)
def test_another_shape_of_a_kind_cluster_is_refused(change, told):
    old = {"name": "k", "version": "1.36.3", "workers": 0.0}
    provider = KindProvider()
    assert provider.check({}, old).failures == []
    assert provider.check(old, {**old, "workers": 0}).failures == []
    (failure,) = provider.check(old, {**old, **change}).failures
    assert told in failure.reason


# The cluster that the kubeconfig leads to


@pytest.fixture
def cluster():
    with running(Cluster()) as started:
        yield started


def props(cluster: Cluster, **more: Any) -> dict[str, Any]:
    return {"kubeconfig": cluster.kubeconfig, "needs": {}, "uid": None, **more}


def test_a_cluster_is_known_again_and_another_is_refused_with_both_named(cluster):
    provider = ClusterCheckProvider()
    first = provider.check({}, props(cluster)).inputs
    assert first["uid"] == "11111111-aaaa"
    assert (provider.create(dict(first)).outs or {})["uid"] == "11111111-aaaa"
    again = provider.check(first, props(cluster))
    assert again.failures == []
    assert not provider.diff("id", first, again.inputs).changes
    cluster.uid = "22222222-bbbb"
    (failure,) = provider.check(first, props(cluster)).failures
    assert "UID 22222222-bbbb, it was 11111111-aaaa" in failure.reason
    assert "kubernetes.kubeconfig" in failure.reason
    assert "pulumi state delete" in failure.reason
    with pytest.raises(OwnershipError, match="it was 11111111-aaaa"):
        provider.read("id", first)


def test_another_cluster_is_told_before_that_the_stack_does_not_fit_on_it(cluster):
    known = ClusterCheckProvider().check({}, props(cluster)).inputs
    cluster.uid, cluster.nodes = "22222222-bbbb", []
    (failure,) = ClusterCheckProvider().check(known, props(cluster)).failures
    assert "this is not the cluster" in failure.reason


def test_where_the_uid_may_not_be_read_or_was_not_known_nothing_is_refused(cluster):
    provider = ClusterCheckProvider()
    known = provider.check({}, props(cluster)).inputs
    cluster.forbidden = {"kube-system"}
    asked = provider.check(known, props(cluster))
    assert (asked.failures, asked.inputs["uid"]) == ([], "11111111-aaaa")
    cluster.uid, cluster.forbidden = "22222222-bbbb", set()
    before = {key: value for key, value in known.items() if key != "uid"}  # an earlier release's
    assert provider.check(before, props(cluster)).failures == []


def test_a_cluster_of_another_origin_is_refused_before_it_is_made(cluster):
    """The one host of a cluster has another name: a new node, and the kubeconfig not known yet."""
    provider = ClusterCheckProvider()
    told = [
        {"kubernetes.provider": "kubeadm", **PLAN.model_copy(update={"host": host}).decides()}
        for host in (ONE, TWO)
    ]
    known = provider.check({}, props(cluster, origin=told[0])).inputs
    (failure,) = provider.check(known, props(cluster, origin=told[1], kubeconfig=object())).failures
    assert "was first control plane n1, 10.0.0.1, now first control plane n2" in failure.reason


@pytest.mark.parametrize("provider", ["kubeadm", "kind", "existing"])
def test_the_check_is_told_of_which_cluster_it_is(provider):
    hosts = [{"name": "one", "address": "10.0.0.1", "role": "control-plane"}]
    more = {"hosts": hosts} if provider == "kubeadm" else {}
    found = declare(changed(DEV, kubernetes={"provider": provider, **more}))
    origin = next(one.inputs["origin"] for one in found.resources if one.name == "cluster")
    assert origin.pop("kubernetes.provider") == provider
    expected = {
        "kubeadm": {"kubernetes.hosts": "first control plane one, 10.0.0.1"},
        "kind": {"kubernetes.clusterName": "milvus-kit"},
        "existing": {},
    }
    assert origin == expected[provider]


# Never the user's own cluster


def test_a_made_cluster_without_a_kubeconfig_does_not_lead_to_the_users_own(
    monkeypatch, tmp_path, cluster
):
    own = tmp_path / "config"
    own.write_text(cluster.kubeconfig, encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(own))
    for empty in ("", None):
        with pytest.raises(ConfigurationError, match="no kubeconfig in the state"):
            kubeconfig.api_client({"kubeconfig": kubeconfig.required(empty)})
    given = kubeconfig.required(cluster.kubeconfig)
    assert yaml.safe_load(given) == yaml.safe_load(cluster.kubeconfig)


@pytest.mark.parametrize("provider", ["kubeadm", "kind"])
def test_every_resource_of_a_made_cluster_gets_a_kubeconfig_that_leads_nowhere_else(provider):
    """The mocks' nodes and clusters have none: each that uses one must not see an empty text."""
    hosts = [{"name": "one", "address": "10.0.0.1", "role": "control-plane"}]
    more = {"hosts": hosts} if provider == "kubeadm" else {}
    found = declare(changed(DEV, kubernetes={"provider": provider, **more}))
    users = [
        one
        for one in found.resources
        if "kubeconfig" in one.inputs and not one.name.startswith(("node-", "kind-"))
    ]
    assert len(users) > 2
    assert [one.name for one in users if one.inputs["kubeconfig"].value != kubeconfig._NONE] == []
