from __future__ import annotations

import pytest

from infra.milvus.roles import topology
from validation.errors import ConfigurationError


def names(version: str, mode: str = "cluster") -> list[str]:
    return [role.name for role in topology.roles(version, mode)]


def test_before_26_indexes_have_nodes_of_their_own():
    assert names("2.3.5") == [
        "indexnode",
        "rootcoord",
        "datacoord",
        "querycoord",
        "querynode",
        "datanode",
        "proxy",
    ]
    assert names("2.5.27") == ["indexnode", "mixcoord", "querynode", "datanode", "proxy"]


@pytest.mark.parametrize("version", ["2.6.0", "2.6.20", "3.0.5"])
def test_from_26_on_the_log_has_nodes_and_indexes_have_none(version):
    assert names(version) == ["mixcoord", "streamingnode", "querynode", "datanode", "proxy"]


@pytest.mark.parametrize("version", ["2.3.5", "2.5.27", "2.6.20", "3.0.5"])
def test_coordinators_come_before_query_nodes_and_the_proxy_comes_last(version):
    order = topology.roles(version, "cluster")
    coordinators = [place for place, role in enumerate(order) if role.coordinator]
    assert max(coordinators) < [role.name for role in order].index("querynode")
    assert order[-1].name == "proxy"


def test_a_standalone_is_one_role_in_every_version():
    assert names("2.3.5", "standalone") == names("3.0.5", "standalone") == ["standalone"]


def test_mixcoord_runs_all_coordinators_in_one_process():
    mixcoord = topology.roles("3.0.5", "cluster")[0]
    assert mixcoord.command == (
        "run",
        "mixture",
        "-rootcoord",
        "-querycoord",
        "-datacoord",
        "-indexcoord",
    )
    assert topology.role_ports(mixcoord) == {"metrics": 9091, "rootcoord": 53100}


def test_until_25_each_coordinator_in_mixcoord_listens_for_itself():
    mixcoord = next(role for role in topology.roles("2.5.27", "cluster") if role.coordinator)
    assert topology.role_ports(mixcoord) == {
        "metrics": 9091,
        "rootcoord": 53100,
        "querycoord": 19531,
        "datacoord": 13333,
    }


def test_a_patch_release_changes_roles_in_the_tables_order():
    assert topology.change("3.0.0", "3.0.1").order == (
        "mixcoord",
        "streamingnode",
        "querynode",
        "datanode",
        "proxy",
    )
    assert topology.change("2.5.27", "2.5.28").order == (
        "indexnode",
        "mixcoord",
        "querynode",
        "datanode",
        "proxy",
    )


def test_a_downgrade_goes_in_reverse():
    up, down = topology.change("3.0.0", "3.0.1"), topology.change("3.0.1", "3.0.0")
    assert down.order == tuple(reversed(up.order))


def test_from_25_to_26_streaming_comes_first_and_index_nodes_leave_last():
    step = topology.change("2.5.27", "2.6.20")
    assert step.add == ("streamingnode",)
    assert step.order == ("mixcoord", "querynode", "datanode", "proxy")
    assert step.remove == ("indexnode",)


def test_going_back_from_3_to_26_is_refused():
    with pytest.raises(ConfigurationError, match="validated by nobody"):
        topology.change("3.0.0", "2.6.20")


def test_26_is_reached_through_a_late_25():
    with pytest.raises(ConfigurationError, match=r"go to 2\.5\.16 or later") as caught:
        topology.change("2.5.3", "2.6.20")
    assert "in one step" in str(caught.value)


@pytest.mark.parametrize("current", ["2.5.16", "2.5.27", "2.6.0", "2.6.19"])
def test_3_is_reached_through_a_late_26(current):
    with pytest.raises(ConfigurationError, match=r"go to 2\.6\.20 or later") as caught:
        topology.change(current, "3.0.5")
    assert "in one step" in str(caught.value)


def test_from_26_to_3_no_role_comes_or_goes():
    step = topology.change("2.6.20", "3.0.5")
    assert (step.add, step.remove) == ((), ())


@pytest.mark.parametrize("version", ["latest", "2", "2.2.16", "1.1.0", ""])
def test_what_is_no_supported_version_is_refused(version):
    with pytest.raises(ConfigurationError):
        topology.generation(version)


@pytest.mark.parametrize(
    ("version", "mode", "expected"),
    [
        ("2.3.5", "standalone", {"rocksmq", "kafka", "pulsar"}),
        ("2.5.27", "cluster", {"kafka", "pulsar"}),
        ("2.6.20", "standalone", {"rocksmq", "kafka", "pulsar", "woodpecker-embedded"}),
        ("2.6.20", "cluster", {"kafka", "pulsar", "woodpecker-embedded"}),
        ("3.0.0", "cluster", {"kafka", "pulsar", "woodpecker-embedded"}),
        ("3.0.1", "cluster", {"kafka", "pulsar", "woodpecker-embedded", "woodpecker-service"}),
        ("3.0.5", "cluster", {"kafka", "pulsar", "woodpecker-embedded", "woodpecker-service"}),
    ],
)
def test_each_version_and_mode_has_its_logs(version, mode, expected):
    assert topology.logs(version, mode) == expected


@pytest.mark.parametrize(
    ("version", "server"), [("3.0.1", "0.1.40"), ("3.0.2", "0.1.42"), ("3.0.5", "0.1.42")]
)
def test_woodpeckers_servers_are_of_the_version_that_the_client_in_milvus_is(version, server):
    assert topology.woodpecker_server(version) == server


def test_no_server_of_woodpecker_is_older_than_the_one_that_keeps_acknowledgements():
    for _, server in topology.WOODPECKER_SERVERS:
        assert tuple(map(int, server.split("."))) >= (0, 1, 37)
