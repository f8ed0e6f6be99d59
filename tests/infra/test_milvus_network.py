from __future__ import annotations

import pytest
from declaring import CLUSTER_23, DEV, PROD, STANDALONE, changed, declare

OURS = {
    "milvus",
    "etcd",
    "kafka",
    "woodpecker",
    "etcd-snapshot",
    "milvus-root-password",
    "milvus-validation",
}
NAME, ROLE = "app.kubernetes.io/name", "app.kubernetes.io/component"


def policies(document) -> dict[str, dict]:
    return {
        name.removeprefix("milvus-kit-"): item.inputs["spec"]
        for name, item in declare(document).of("NetworkPolicy").items()
        if name.startswith("milvus-kit-")
    }


def peer(rule: dict) -> str:
    if "ipBlock" in rule:
        return rule["ipBlock"]["cidr"]
    if "namespaceSelector" in rule:
        space = rule["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        labels = rule.get("podSelector", {}).get("matchLabels", {})
        return f"{space}/{','.join(labels.values()) or '*'}"
    return rule["podSelector"]["matchLabels"][NAME]


def who(spec: dict) -> str:
    labels = spec["podSelector"].get("matchLabels")
    if labels is None:
        return "ours"
    return labels[NAME] + (f"/{labels[ROLE]}" if ROLE in labels else "")


def flows(document) -> set[tuple[str, str, str, str]]:
    """Every allowed flow: who, direction, peer (anyone, if none is named), protocol and port."""
    found = set()
    for spec in policies(document).values():
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                for port in rule["ports"]:
                    number = f"{port['protocol']} {port['port']}"
                    for end in rule.get(side) or [None]:
                        name = peer(end) if end else "anyone"
                        found.add((who(spec), direction, name, number))
    return found


DNS = {
    ("ours", "egress", "kube-system/kube-dns", "UDP 53"),
    ("ours", "egress", "kube-system/kube-dns", "TCP 53"),
}


def both(ports) -> set[tuple[str, str, str, str]]:
    return {
        ("milvus", direction, "milvus", f"TCP {port}")
        for direction in ("ingress", "egress")
        for port in ports
    }


def test_everything_of_ours_is_denied_first_and_nothing_of_others():
    for document in (DEV, STANDALONE, CLUSTER_23, PROD):
        deny = policies(document)["default-deny"]
        assert deny["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in deny
        assert "egress" not in deny
        (expression,) = deny["podSelector"]["matchExpressions"]
        assert (expression["key"], set(expression["values"])) == (NAME, OURS)


def test_a_standalone_reaches_dns_etcd_and_its_store_and_nothing_else():
    assert flows(STANDALONE) == DNS | {
        ("milvus/standalone", "ingress", "anyone", "TCP 19530"),
        ("milvus", "egress", "etcd", "TCP 2379"),
        ("milvus", "egress", "minio", "TCP 9000"),
        ("etcd", "ingress", "milvus", "TCP 2379"),
    }


def test_a_cluster_of_23_has_exactly_the_flows_it_needs():
    internal = (53100, 19531, 13333, 21121, 21123, 21124, 19529)
    assert flows(CLUSTER_23) == DNS | both(internal) | {
        ("milvus/proxy", "ingress", "anyone", "TCP 19530"),
        ("milvus", "egress", "etcd", "TCP 2379"),
        ("milvus", "egress", "kafka", "TCP 9092"),
        ("milvus", "egress", "minio", "TCP 9000"),
        ("etcd", "ingress", "milvus", "TCP 2379"),
        ("kafka", "ingress", "milvus", "TCP 9092"),
        ("kafka", "ingress", "kafka", "TCP 9092"),
        ("kafka", "egress", "kafka", "TCP 9092"),
    }


def test_production_has_exactly_the_flows_it_needs():
    internal = (53100, 22222, 21123, 21124, 19529)
    gossip = ("TCP 18080", "TCP 17946", "UDP 17946")
    assert flows(changed(PROD, observability={"scrapeFrom": [{"namespace": "monitoring"}]})) == (
        DNS
        | both(internal)
        | {
            ("milvus/proxy", "ingress", "anyone", "TCP 19530"),
            ("milvus", "egress", "etcd", "TCP 2379"),
            ("milvus", "egress", "woodpecker", "TCP 18080"),
            ("milvus", "egress", "anyone", "TCP 443"),
            ("etcd", "ingress", "milvus", "TCP 2379"),
            ("etcd", "ingress", "etcd-snapshot", "TCP 2379"),
            ("etcd", "ingress", "etcd", "TCP 2380"),
            ("etcd", "egress", "etcd", "TCP 2380"),
            ("woodpecker", "ingress", "milvus", "TCP 18080"),
            ("woodpecker", "egress", "anyone", "TCP 443"),
            ("etcd-snapshot", "egress", "etcd", "TCP 2379"),
            ("etcd-snapshot", "egress", "anyone", "TCP 443"),
            ("ours", "ingress", "monitoring/prometheus", "TCP 9091"),
            ("ours", "ingress", "monitoring/prometheus", "TCP 2381"),
        }
        | {
            ("woodpecker", way, "woodpecker", port)
            for way in ("ingress", "egress")
            for port in gossip
        }
    )


def test_a_store_with_an_address_is_the_only_address_that_is_reached():
    storage = {"endpoint": "https://10.1.2.3:8443"}
    found = flows(changed(PROD, storage=storage))
    assert ("milvus", "egress", "10.1.2.3/32", "TCP 8443") in found
    assert not {flow for flow in found if flow[:3] == ("milvus", "egress", "anyone")}


def test_clients_can_be_limited_to_namespaces_and_networks():
    access = {"type": "LoadBalancer", "host": "m.example.com", "sourceRanges": ["10.0.0.0/8"]}
    limited = {"clientsFrom": ["apps"], "access": access}

    def clients(document):
        document = changed(document, milvus=limited)
        return {flow[2] for flow in flows(document) if flow[0] == "milvus/proxy"}

    assert clients(PROD) == {"apps/*", "10.0.0.0/8"}
    with_jobs = changed(
        CLUSTER_23, milvus={"auth": {"enabled": True}}, validation={"enabled": True}
    )
    ours = {"milvus-root-password", "milvus-validation"}
    assert clients(with_jobs) == {"apps/*", "10.0.0.0/8"} | ours


def test_the_job_that_sets_the_password_reaches_milvus_alone():
    found = flows(changed(CLUSTER_23, milvus={"auth": {"enabled": True}}))
    mine = {flow for flow in found if flow[0] == "milvus-root-password"}
    assert mine == {("milvus-root-password", "egress", "milvus", "TCP 19530")}


def test_the_suite_reaches_milvus_and_the_store_and_is_let_in():
    found = flows(changed(DEV, validation={"enabled": True}))
    assert ("milvus-validation", "egress", "milvus", "TCP 19530") in found
    assert ("milvus-validation", "egress", "minio", "TCP 9000") in found
    assert ("milvus-validation", "egress", "milvus", "TCP 9091") in found
    # Of every pod: each query node counts only its own reads of the store.
    assert ("milvus", "ingress", "milvus-validation", "TCP 9091") in found
    assert not {flow for flow in flows(DEV) if flow[2] == "milvus-validation"}


@pytest.mark.parametrize("document", [DEV, STANDALONE, CLUSTER_23, PROD])
def test_every_port_that_a_policy_names_is_one_that_a_pod_opens(document):
    declared = declare(document)
    opened = {
        port["containerPort"]
        for template in declared.workloads().values()
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    }
    inside = {int(flow[3].split()[1]) for flow in flows(document) if flow[1] == "ingress"}
    assert inside <= opened


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_networks_that_may_connect_are_compared_with_the_clients_own_address(kind):
    access = {"type": kind, "host": "m.example.com", "sourceRanges": ["10.0.0.0/8"]}
    port = {"nodePort": 30500} if kind == "NodePort" else {}
    store = {"access": access | ({"nodePort": 30501} if port else {})}
    declared = declare(changed(DEV, milvus={"access": access | port}, storage=store))
    for name in ("milvus", "minio"):
        assert declared.one("Service", name)["spec"]["externalTrafficPolicy"] == "Local"
    inside = declare(DEV).one("Service", "milvus")["spec"]
    assert "externalTrafficPolicy" not in inside
