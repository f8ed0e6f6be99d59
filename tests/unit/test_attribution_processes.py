"""Every process that may have read is watched, or nothing is said: several query nodes add up."""

import contextlib
import http.server
import socket
import threading
from types import SimpleNamespace

import pytest

from validation.attribution.watch import Watch, declared, missing
from validation.errors import MeasurementError, UnreachableError, UnsupportedError
from validation.milvus import metrics, processes
from validation.milvus.processes import Process
from validation.target import Milvus, Role, Target

NAME = "milvus-metrics.ns.svc"
SERVED = "milvus_querynode_sq_req_count"


def text(node, *, role="querynode", started=1.7e9, reads=0, searches=0, more=""):
    """Return what a process of a role serves as metrics after some reads and searches."""
    count = f'{SERVED}{{node_id="{node}",scope="OnLeader"}} {searches}\n' if searches else ""
    return (
        f"process_start_time_seconds {started + node}\n"
        f'milvus_num_node{{node_id="{node}",role_name="{role}"}} 1\n'
        f'internal_storage_request_latency_sum{{persistent_data_op_type="get"}} {10 * reads}\n'
        f'internal_storage_request_latency_count{{persistent_data_op_type="get"}} {reads}\n'
        f'internal_storage_kv_size_sum{{persistent_data_op_type="get"}} {100 * reads}\n'
        f"{count}{more}"
    )


class Pods:
    """Processes that serve metrics, each at an address of its own and all at one port."""

    def __init__(self, stack):
        self.texts, self.hosts, self._stack = {}, set(), stack
        with socket.create_server(("127.0.0.2", 0)) as free:
            self.port = free.getsockname()[1]

    def serve(self, address, said):
        if address not in self.texts:
            self._stack.enter_context(self._serving(address))
        self.texts[address] = said

    @contextlib.contextmanager
    def _serving(self, address):
        pods = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                pods.hosts.add(self.headers["Host"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(pods.texts[address].encode())

            def log_message(self, format, *args):  # noqa: A002  (the base class's name)
                pass

        with http.server.HTTPServer((address, self.port), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield
            server.shutdown()

    @property
    def milvus(self):
        return Milvus(
            uri="http://127.0.0.1:1",
            metrics_uri=f"http://{NAME}:{self.port}",
            deployment="cluster",
            roles=(Role(name="querynode", replicas=2), Role(name="proxy")),
        )


@pytest.fixture
def pods(monkeypatch):
    """Pods behind one name, as behind a headless Service."""
    with contextlib.ExitStack() as stack:
        found = Pods(stack)
        resolve = socket.getaddrinfo

        def named(host, *args, **more):
            if host != NAME:
                return resolve(host, *args, **more)
            if not found.texts:
                raise socket.gaierror("no such name")
            return [one for at in found.texts for one in resolve(at, *args, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", named)
        yield found


def watch(pods, *, holders=("1", "2"), version=(2, 3, 5), **changes):
    """Return a watch of a collection whose segments these query nodes hold."""
    infos = [
        SimpleNamespace(segmentID=7, num_rows=1, state=3, nodeIds=[int(one)], indexID=0)
        for one in holders
    ]
    target = Target(name="prod", milvus=pods.milvus.model_copy(update=changes))
    connection = SimpleNamespace(
        target=target,
        version=version,
        endpoint=SimpleNamespace(database="default"),
        timeout=1,
        wire=SimpleNamespace(call=lambda *_, **__: SimpleNamespace(infos=infos)),
    )
    return Watch(connection, "collection")  # pyright: ignore[reportArgumentType]


def two(pods, reads=0, searches=0):
    pods.serve("127.0.0.2", text(1, reads=reads, searches=searches))
    pods.serve("127.0.0.3", text(2, reads=2 * reads))
    pods.serve("127.0.0.4", text(3, role="proxy"))


def test_each_query_node_behind_a_name_is_read_and_what_they_gained_is_added_up(pods):
    two(pods)
    watched = watch(pods)
    with watched.watching():
        two(pods, reads=10, searches=5)
    found, unknown = watched.reads()
    assert not unknown
    assert found is not None
    assert (found.requests, found.bytes) == (30, 3_000)
    assert found.seconds_low == pytest.approx(0.3)
    assert watched.gain(SERVED, scope="OnLeader") == 5
    assert watched.gain("milvus_no_such_counter") is None
    assert watched.addresses == ["127.0.0.2", "127.0.0.3"]
    assert pods.hosts == {f"{NAME}:{pods.port}"}


def test_a_process_that_answers_at_two_addresses_counts_once(pods):
    two(pods)
    pods.serve("127.0.0.5", text(1))
    assert len(processes.scrape(pods.milvus)) == 3


def test_a_query_node_that_does_not_answer_is_missed(pods):
    pods.serve("127.0.0.2", text(1))
    pods.serve("127.0.0.4", text(3, role="proxy"))
    watched = watch(pods)
    with watched.watching():
        pass
    assert watched.reads() == (None, "milvus.metrics_uri shows 1 of 2 query nodes")


def test_a_query_node_more_than_declared_is_missed_too_unless_a_coordinator_counts_it(pods):
    two(pods)
    pods.serve("127.0.0.5", text(4))
    found = processes.scrape(pods.milvus)
    assert missing(found, 2) == "milvus.metrics_uri shows 3 query nodes where 2 are declared"
    pods.serve("127.0.0.4", text(3, role="mixcoord", more="milvus_querycoord_querynode_num 3\n"))
    assert not missing(processes.scrape(pods.milvus), 2)


def test_a_query_node_that_only_the_coordinator_knows_is_missed(pods):
    two(pods)
    pods.serve("127.0.0.4", text(3, role="mixcoord", more="milvus_querycoord_querynode_num 3\n"))
    assert missing(processes.scrape(pods.milvus), 2) == (
        "milvus.metrics_uri shows 2 of 3 query nodes"
    )


@pytest.mark.parametrize(
    ("holders", "reason"),
    [
        (("1", "7"), "query node 7 holds segments"),
        ((), "does not say which query nodes hold"),
    ],
)
def test_nodes_that_hold_segments_must_all_be_watched(pods, holders, reason):
    two(pods)
    watched = watch(pods, holders=holders)
    with watched.watching():
        pass
    found, unknown = watched.reads()
    assert found is None
    assert reason in unknown


def test_a_cluster_that_does_not_declare_its_query_nodes_is_undecided(pods):
    two(pods)
    watched = watch(pods, roles=())
    with watched.watching():
        pass
    found, unknown = watched.reads()
    assert found is None
    assert "milvus.roles" in unknown


@pytest.mark.parametrize(
    ("roles", "version", "expected"),
    [
        ({"querynode": 3, "proxy": 2}, (2, 5, 27), 3),
        ({"querynode": 3, "streamingnode": 2}, (2, 6, 20), 5),
        ({"querynode": 3, "streamingnode": 2}, (2, 5, 27), 3),
        ({"querynode": 3}, (2, 6, 20), None),
        ({"proxy": 2}, (2, 5, 27), None),
        ({}, (3, 0, 5), None),
    ],
)
def test_streaming_nodes_lead_searches_from_26_on_and_have_to_be_declared(roles, version, expected):
    named = tuple(Role(name=name, replicas=count) for name, count in roles.items())
    cluster = Milvus(uri="http://h:1", deployment="cluster", roles=named)
    assert declared(Target(name="prod", milvus=cluster), version) == expected
    single = Target(name="one", milvus=Milvus(uri="http://h:1"))
    assert declared(single, version) == 1


def test_a_streaming_node_is_watched_as_the_query_node_that_it_holds():
    said = text(5, role="streamingnode", more='milvus_querynode_disk_used_size{node_id="5"} 0\n')
    assert Process("", metrics.parse(said)).query_nodes == {"5"}
    assert not Process("", metrics.parse(text(5, role="streamingnode"))).query_nodes


def test_a_proxy_alone_is_no_query_node(pods):
    pods.serve("127.0.0.4", text(3, role="proxy"))
    watched = watch(pods)
    with watched.watching():
        pass
    assert watched.reads() == (None, "what answers at milvus.metrics_uri is no query node")


def test_a_query_node_that_counts_no_reads_at_all_is_unknown_and_not_idle(pods):
    two(pods)
    silent = (
        "process_start_time_seconds 5\n" + 'milvus_num_node{node_id="2",role_name="querynode"} 1'
    )
    pods.serve("127.0.0.3", silent)
    watched = watch(pods)
    with watched.watching():
        pass
    found, unknown = watched.reads()
    assert found is None
    assert "does not count its requests" in unknown


@pytest.mark.parametrize("change", ["restarted", "gone", "another"])
def test_processes_that_change_meanwhile_are_noticed(pods, change):
    two(pods)
    watched = watch(pods)

    def happens():
        if change == "gone":
            del pods.texts["127.0.0.3"]
        else:
            node, started = (2, 1.8e9) if change == "restarted" else (9, 1.7e9)
            pods.serve("127.0.0.3", text(node, started=started))

    with pytest.raises(MeasurementError, match="other Milvus processes"), watched.watching():
        happens()


def test_a_name_that_is_not_known_says_where_it_is(pods):
    with pytest.raises(UnreachableError, match="not known here") as raised:
        processes.scrape(pods.milvus)
    assert "cluster" in raised.value.remedy


def test_nobody_behind_a_name_is_unreachable(pods):
    pods.texts = {"127.0.0.2": "", "127.0.0.3": ""}
    with pytest.raises(UnreachableError, match="cannot be read"):
        processes.scrape(pods.milvus)


def test_without_an_address_for_metrics_the_reason_says_to_run_inside():
    target = Target.model_validate(
        {
            "schema": "milvus-kit/target/1",
            "name": "prod",
            "milvus": {"uri": "http://h:1", "deployment": "cluster"},
        }
    )
    connection = SimpleNamespace(target=target, version=(2, 6, 20))
    with pytest.raises(UnsupportedError, match="outside their cluster") as raised:
        Watch(connection, "collection")  # pyright: ignore[reportArgumentType]
    assert "validation.enabled" in raised.value.remedy
