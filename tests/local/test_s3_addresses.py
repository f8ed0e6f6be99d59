"""One name with several addresses: each has to show the same store, or is named.

The name exists in this process alone: ``socket.getaddrinfo``, which every client here resolves
with, is told of it.
"""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
import s3_servers
import s3_stub
from test_s3_tls import LIGHT, certificate

from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys, addresses_of, endpoint_of
from validation.s3.conformance.access.addresses import _pairs
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import TABLE
from validation.s3.faults.proxy import Certificate, FaultProxy
from validation.s3.faults.script import Fault, Kind
from validation.s3.preflight.run import preflight
from validation.s3.workspace import opened
from validation.target import Tls
from validation.verdicts.verdict import Outcome

NAME = "s3.kit.test"
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@pytest.fixture
def named(monkeypatch):
    """Give the name addresses; they may be given out one at a time, as balancing DNS does."""
    original = socket.getaddrinfo

    def give(addresses, *, at_a_time=99):
        asked = []

        def answer(host, *args, **more):
            if host != NAME:
                return original(host, *args, **more)
            asked.append(host)
            turn = [addresses[(len(asked) + n) % len(addresses)] for n in range(len(addresses))]
            return [found for one in turn[:at_a_time] for found in original(one, *args, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return give


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with s3_servers.minio(tmp_path_factory.mktemp("one")) as endpoint:
        connect(s3_servers.storage(endpoint)).create_bucket(Bucket="milvus")
        yield endpoint


@pytest.fixture
def balanced(store):
    """The store behind several addresses, each through a proxy that may be told to misbehave."""
    with contextlib.ExitStack() as stack:
        proxies, port = {}, 0
        for address in ADDRESSES:
            proxies[address] = stack.enter_context(FaultProxy(store, host=address, port=port))
            port = endpoint_of(s3_servers.storage(proxies[address].endpoint)).port
        yield s3_servers.storage(f"http://{NAME}:{port}"), proxies


def found_at(storage):
    with opened(storage) as space:
        (finding,) = run(space, [TABLE["consistency.addresses"]])
    return finding


@pytest.mark.parametrize("at_a_time", [1, 2, 3])
def test_every_address_of_a_name_is_found_however_many_dns_gives_at_once(
    named, balanced, at_a_time
):
    named(ADDRESSES, at_a_time=at_a_time)
    storage, _ = balanced
    assert addresses_of(endpoint_of(storage)) == ADDRESSES


def test_one_store_behind_several_addresses_passes_and_each_pair_was_tried(named, balanced):
    named(ADDRESSES)
    storage, proxies = balanced
    before = {address: proxy.script.answered.total() for address, proxy in proxies.items()}
    finding = found_at(storage)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.evidence == {
        "addresses": list(ADDRESSES),
        "pairs": 6,
        "conditional_writes_compared": True,
    }
    assert all(proxies[one].script.answered.total() > before[one] + 6 for one in ADDRESSES)


def test_another_store_behind_the_same_name_is_red_and_both_addresses_are_named(
    named, balanced, tmp_path
):
    storage, _ = balanced
    port = endpoint_of(storage).port
    with s3_servers.minio(tmp_path, host="127.0.0.5", port=port) as other:
        connect(s3_servers.storage(other)).create_bucket(Bucket="milvus")
        named(("127.0.0.2", "127.0.0.5"))
        profile = preflight(
            storage,
            effort=LIGHT,
            checks=(TABLE["objects.zero-byte"], TABLE["consistency.addresses"]),
        )
        left = connect(s3_servers.storage(other)).list_objects_v2(Bucket="milvus")["KeyCount"]
    finding = profile.finding("consistency.addresses")
    assert finding.outcome is Outcome.FAIL
    assert "127.0.0.2" in finding.reason
    assert "127.0.0.5" in finding.reason
    assert "404" in finding.reason
    assert profile.verdict is Outcome.FAIL
    assert left == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(Kind.CORRUPT, methods=frozenset({"GET"}), path="shared$"), "other content"),
        (Fault(Kind.INTERNAL_ERROR, methods=frozenset({"GET"}), path="shared$"), "500"),
        (
            Fault(
                Kind.INTERNAL_ERROR, methods=frozenset({"GET"}), path=r"\?list-type=2&prefix=[^&]*$"
            ),
            "not listed",
        ),
        (Fault(Kind.INTERNAL_ERROR, methods=frozenset({"DELETE"})), "after a DELETE"),
    ],
)
def test_an_address_that_answers_otherwise_is_named(named, balanced, fault, said):
    named(ADDRESSES)
    storage, proxies = balanced
    proxies["127.0.0.3"].script.arm(fault)
    finding = found_at(storage)
    assert finding.outcome is Outcome.FAIL
    assert said in finding.reason
    assert "127.0.0.3" in finding.reason


@contextlib.contextmanager
def deaf_to_conditions(upstream, host, port):
    """Forward connections with every If-None-Match header turned into one that nobody knows."""
    listener = socket.create_server((host, port))

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data.replace(b"if-none-match", b"xx-none-match"))
            target.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                store = socket.create_connection((upstream.host, upstream.port))
                for pair in ((client, store), (store, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("deaf", "outcome"), [(ADDRESSES[1:2], Outcome.FAIL), (ADDRESSES[:2], Outcome.PASS)]
)
def test_an_address_with_its_own_idea_of_conditions_is_red_unless_the_store_has_none(
    named, deaf, outcome
):
    named(ADDRESSES[:2])
    port = s3_servers.free_port()
    with (
        s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as stub,
        contextlib.ExitStack() as stack,
    ):
        stub.no_hosts = True
        stub.faults = {"access.wrong-secret"}  # a changed header breaks the signature
        upstream = endpoint_of(s3_servers.storage(stub.endpoint))
        for address in ADDRESSES[:2]:
            stack.enter_context(
                deaf_to_conditions(upstream, address, port)
                if address in deaf
                else FaultProxy(stub.endpoint, host=address, port=port)
            )
        finding = found_at(s3_servers.storage(f"http://{NAME}:{port}"))
    assert finding.outcome is outcome, finding.reason
    if outcome is Outcome.PASS:
        assert finding.evidence["conditional_writes_compared"] is False
    else:
        assert "a conditional PUT made it a second time through 127.0.0.3" in finding.reason


def test_an_address_that_does_not_answer_is_named(named, balanced):
    named((*ADDRESSES, "127.0.0.9"))
    storage, _ = balanced
    finding = found_at(storage)
    assert finding.outcome is Outcome.FAIL
    assert "['127.0.0.9']" in finding.reason


def test_a_family_that_the_store_does_not_serve_is_passed_over(named, balanced):
    named((*ADDRESSES, "::1"))
    storage, _ = balanced
    finding = found_at(storage)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert "::1" not in finding.evidence["addresses"]


def test_where_one_address_of_a_served_family_answers_nothing_was_compared(named, balanced):
    named(("127.0.0.2", "::1"))
    finding = found_at(balanced[0])
    assert finding.outcome is Outcome.NOT_MEASURED
    assert not finding.applies
    assert "one address of the endpoint answers, 127.0.0.2" in finding.reason
    assert "['::1']" in finding.reason


def test_a_name_of_which_no_address_answers_any_more_is_no_pass_and_no_crash(named, balanced):
    storage, _ = balanced
    with opened(storage.model_copy(update={"endpoint": _at(storage, "127.0.0.2")})) as space:
        space.storage = storage
        named(("127.0.0.8", "127.0.0.9"))
        (finding,) = run(space, [TABLE["consistency.addresses"]])
    assert finding.outcome is Outcome.FAIL
    assert "none of the endpoint's addresses answers" in finding.reason


def _at(storage, address):
    return storage.endpoint.replace(NAME, address)


@pytest.mark.parametrize("count", [2, 8, 9, 100])
def test_however_many_the_addresses_each_is_written_to_and_read(count):
    used = [f"10.0.0.{number}" for number in range(count)]
    pairs = _pairs(used)
    assert {writer for writer, _ in pairs} == {reader for _, reader in pairs} == set(used)
    assert len(set(pairs)) == len(pairs) == min(count * (count - 1), max(64, count))
    assert all(writer != reader for writer, reader in pairs)


def test_a_name_with_one_address_has_nothing_to_compare(named, balanced):
    named(("127.0.0.2",))
    finding = found_at(balanced[0])
    assert finding.outcome is Outcome.NOT_MEASURED
    assert not finding.applies
    assert finding.reason == "the endpoint has one address: 127.0.0.2"


def test_host_and_server_name_are_kept_whichever_address_is_asked(named, store, tmp_path):
    issuer = certificate(tmp_path / "ca")
    certificate(tmp_path / "leaf", names=(NAME,), issuer=issuer)
    pem = Certificate(tmp_path / "leaf" / "public.crt", tmp_path / "leaf" / "private.key")
    with (
        FaultProxy(store, host="127.0.0.2", certificate=pem) as first,
        FaultProxy(
            store,
            host="127.0.0.3",
            port=endpoint_of(s3_servers.storage(first.endpoint)).port,
            certificate=pem,
        ),
    ):
        named(ADDRESSES[:2])
        storage = s3_servers.storage(
            first.endpoint.replace("127.0.0.2", NAME),
            tls=Tls(mode="server", ca_file=tmp_path / "ca" / "public.crt").model_dump(),
        )
        finding = found_at(storage)
    assert finding.outcome is Outcome.PASS, finding.reason
