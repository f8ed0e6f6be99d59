"""The family security on a real server with TLS and users: green clean, red for each fault."""

import ssl

import pytest

from validation.common import handshakes
from validation.common.handshakes import Peer
from validation.common.progress import Progress
from validation.common.resources import find
from validation.local.secured import signed
from validation.local.stack import EmbeddedStack
from validation.milvus.connection import connect
from validation.runs.profiles import profile_named
from validation.s3.client import boto as store
from validation.security import leftovers, rights, store_key, tls
from validation.selftest.bench import Bench, proxied
from validation.selftest.fault import Fault
from validation.selftest.faults import FAULTS
from validation.selftest.scene import SECURITY
from validation.selftest.tls_server import serving
from validation.verdicts import rules
from validation.verdicts.verdict import Outcome

PROFILE = profile_named("smoke")
PLANTED = [fault for fault in FAULTS.values() if fault.scene is SECURITY]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secured")
    stack = EmbeddedStack(folder / "stack", progress=Progress(quiet=True), secure=True)
    with stack, proxied(stack.target) as found:
        yield found


def gates(place, folder, *faults: Fault):
    file = find("stacks/default.slo.yaml")
    mine = [rule for rule in rules.load(file) if rule.metric.startswith("security.")]
    results, _ = Bench(folder, PROFILE, mine, file, Progress(quiet=True)).run(
        place, SECURITY, faults
    )
    assert [check.outcome for check in results.checks if check.outcome == "error"] == []
    return results.gates


def test_a_stack_with_tls_and_users_passes(place, tmp_path):
    found = gates(place, tmp_path)
    required = {gate.gate for gate in found if gate.required}
    assert required == {
        *("checks.assertions", "security.certificate", "security.days_left", "security.let_in"),
        *("security.rights", "security.secrets"),
    }
    assert [gate for gate in found if gate.required and gate.outcome is not Outcome.PASS] == []
    (api,) = [gate for gate in found if gate.gate == "security.management.api"]
    assert "/expr" in api.reason  # what 2.3.5 has for good, and its rule is advisory here
    (known,) = [gate for gate in found if gate.gate == "security.vulnerabilities"]
    assert "CVE-2026-26190" in known.reason
    with connect(place.target) as connection:
        assert connection.client.list_users() == ["root"]
        assert sorted(connection.client.list_roles()) == ["admin", "public"]
        assert connection.client.list_collections() == []
        assert connection.client.list_databases() == ["default"]


def test_what_a_killed_run_left_of_its_reader_is_dropped_and_nothing_else(place):
    with connect(place.target) as connection:
        client = connection.client
        left = rights.reader(connection, "killed")
        with left as given:  # as long as it runs, all of it is there
            client.create_user("mk_user_of_mine", "S3cret-of-mine", timeout=20)
            said = [*leftovers.dropped(connection)]
            assert said[:2] == [f"dropped user {given.name}", f"dropped role {given.role}"]
            assert said[2:] == [f"dropped database {given.database}"]
            assert sorted(client.list_users()) == ["mk_user_of_mine", "root"]
            assert sorted(client.list_roles()) == ["admin", "public"]
            assert client.list_databases() == ["default"]
            client.create_database(given.database, timeout=20)
            mine = connection.target.milvus.model_copy(update={"database": given.database})
            with connect(connection.target.model_copy(update={"milvus": mine})) as there:
                there.client.create_collection("mine", dimension=4, timeout=20)
                (said,) = leftovers.dropped(connection)
                assert said.endswith("collections in it that this kit did not make: mine")
                there.client.drop_collection("mine", timeout=20)
        client.drop_user("mk_user_of_mine", timeout=20)


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_each_fault_turns_its_own_gates_red(place, tmp_path, fault):
    found = gates(place, tmp_path, fault)
    red = {gate.gate for gate in found if gate.required and gate.outcome is Outcome.FAIL}
    wanted = {gate.gate for gate in found if gate.required and fault.turns_red(gate.rule)}
    assert wanted
    assert red == wanted, [gate for gate in found if gate.gate in wanted]


def test_a_stack_goes_on_with_tls_and_its_password(tmp_path):
    home = tmp_path / "stack"
    with EmbeddedStack(home, progress=Progress(quiet=True), secure=True) as stack:
        first = stack.target
    with EmbeddedStack(home, progress=Progress(quiet=True)) as stack, connect(stack.target):
        assert stack.target.milvus.tls == first.milvus.tls
        assert stack.target.milvus.auth == first.milvus.auth


def peer(port: int, ca: str) -> Peer:
    return Peer("127.0.0.1", port, "127.0.0.1", tls.trusting(ca), alpn=("h2",))


def test_an_old_protocol_is_found_where_it_is_accepted(tmp_path):
    ca = signed(tmp_path, days=30)
    with serving(tmp_path / "server.pem") as port:
        found, _ = tls.protocol(peer(port, ca))
        assert [one.name for one in found if one.wrong] == []
        assert 29 < handshakes.days_left(peer(port, ca)) < 31
    with serving(tmp_path / "server.pem", oldest=ssl.TLSVersion.TLSv1) as port:
        found, _ = tls.protocol(peer(port, ca))
        assert "TLS 1.1 or older" in [one.name for one in found if one.wrong]


def test_an_administrator_s_key_of_the_store_is_told_and_nothing_is_left(place):
    storage = place.target.storage
    found, unasked = store_key.tried(storage)
    assert unasked == []
    assert [one.name for one in found if one.wrong][:1] == ["create another bucket"]
    buckets = store.connect(storage).list_buckets()["Buckets"]
    assert [one["Name"] for one in buckets] == [storage.bucket]
