"""What the target says of the machines that a stack runs on, and how a pod of it is found."""

import pytest
from api_server import running
from declaring import CONFIG, DEV, changed, run, settings_of
from test_drift import Objects, any_of, declared
from test_kubernetes_cluster import KUBEADM, OVER_SSH

from infra import program
from validation import target as targets
from validation.hosts import looking
from validation.hosts.fitness import Use


def target_of(document):
    found = []
    run(lambda: program.build(settings_of(document), "test").apply(found.append))
    return targets.parse(found[0], source="test")


def test_hosts_that_became_nodes_are_named_with_how_they_are_reached():
    (here,) = target_of(KUBEADM).hosts
    assert (here.name, here.address, here.node) == ("one", None, "control-plane")
    (away,) = target_of(OVER_SSH).hosts
    assert (away.address, away.user, away.port) == ("10.0.0.1", "root", 22)
    assert away.host_key == "ssh-ed25519 AAAA"
    assert away.private_key is not None
    assert away.private_key.reveal() == CONFIG["rootPassword"]
    assert looking.places(target_of(KUBEADM).model_copy(update={"kubernetes": None}))[0].use == Use(
        "node", leads=True
    )


def test_a_cluster_that_was_there_names_no_hosts():
    assert target_of(DEV).hosts == ()


def test_a_target_with_a_key_in_it_is_not_written_down(tmp_path):
    hidden = {"value": "a key"}
    host = targets.Host.model_validate({"name": "one", "private_key": hidden})
    target = target_of(DEV).model_copy(update={"hosts": (host,), "kubernetes": None})
    assert target.document(reveal=True)["hosts"][0]["private_key"] == hidden
    bare = target.milvus.model_copy(update={"auth": None})
    alone = target.model_copy(update={"milvus": bare, "storage": None})
    with pytest.raises(targets.ConfigurationError, match="holds a secret itself"):
        targets.save(alone, tmp_path / "target.yaml")


@pytest.fixture
def cluster():
    volume = {"size": "1Ti", "storageClass": "nvme"}
    return Objects(changed(DEV, milvus={"diskann": {"enabled": True, "volume": volume}}))


def test_one_pod_of_each_workload_is_looked_at_for_what_it_was_declared_for(cluster):
    name, _ = any_of(cluster)
    with running(cluster):
        kubernetes = declared(cluster, cluster.url)
        cluster.pods[name][0]["status"]["phase"] = "Pending"
        places = looking.places(cluster.target.model_copy(update={"kubernetes": kubernetes}))
    assert len(places) == len(kubernetes.workloads)
    nvme = {place.name.rsplit("-", 1)[0]: place.use.nvme for place in places}
    assert nvme["milvus-querynode"] == "/var/lib/milvus"
    assert nvme["milvus-proxy"] is None
    stores = {place.store for place in places if place.store}
    assert stores == {("object-store.ns.svc", 9000)}
    short = name.partition("/")[2]
    silent = [place for place in places if place.name == short]
    assert silent or len(cluster.pods[name]) > 1
    for seen in looking.looked_at(silent):
        assert seen.why == f"{short}: no pod of it runs"
