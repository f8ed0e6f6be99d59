"""The fault proxy: transparent until a fault is armed, and then wrong in that one way."""

from __future__ import annotations

import http.client
import threading
import time
from types import SimpleNamespace

import botocore.exceptions as boto
import httpx
import pytest
import s3_servers
import s3_stub
from test_s3_stub import EFFORT, PERMISSIONS

from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys
from validation.s3.client.failures import error_code
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import CHECKS
from validation.s3.conformance.writing.objects import noise
from validation.s3.faults import exchange
from validation.s3.faults.proxy import FaultProxy
from validation.s3.faults.script import Fault, Kind, Script
from validation.s3.workspace import opened
from validation.verdicts.verdict import Outcome

BODY = noise(3_000_000)


@pytest.fixture(scope="module")
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


@pytest.fixture
def proxy(stub):
    stub.reset()
    with FaultProxy(stub.endpoint) as running:
        yield running


@pytest.fixture
def client(proxy):
    found = connect(s3_servers.storage(proxy.endpoint), read_seconds=5)
    found.put_object(Bucket="milvus", Key="files/object", Body=BODY)
    return found


def get(client, key="files/object"):
    return client.get_object(Bucket="milvus", Key=key)["Body"].read()


def test_without_a_fault_every_conformance_check_passes_through_it(proxy):
    storage = s3_servers.storage(proxy.endpoint, encryption="AES256")
    checks = [one for one in CHECKS if one.id != "protection.backup-lock"]
    with opened(storage, PERMISSIONS, EFFORT) as space:
        findings = run(space, checks)
    assert [(one.id, one.reason) for one in findings if one.outcome is Outcome.FAIL] == []
    assert proxy.script.injected == {}


def test_chunked_bodies_pass_both_ways(tmp_path):
    with s3_servers.minio(tmp_path) as endpoint, FaultProxy(endpoint) as proxy:
        client = connect(s3_servers.storage(proxy.endpoint))
        client.create_bucket(Bucket="milvus")
        keys = [f"{number:03d}" for number in range(150)]
        for key in keys:
            client.put_object(Bucket="milvus", Key=key, Body=b"x")
        found = client.list_objects_v2(Bucket="milvus")
        assert [entry["Key"] for entry in found["Contents"]] == keys
        link = client.generate_presigned_url("put_object", Params={"Bucket": "milvus", "Key": "c"})
        pieces = (BODY[at : at + 70_000] for at in range(0, len(BODY), 70_000))
        answer = httpx.put(link, content=pieces)
        assert answer.request.headers["transfer-encoding"] == "chunked"
        direct = httpx.put(link.replace(proxy.endpoint, endpoint), content=iter([b"x"]))
        # Whatever the store makes of a body without a length, it makes of it behind the proxy too.
        assert answer.status_code == direct.status_code


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.SLOW_DOWN, "SlowDown"),
        (Kind.INTERNAL_ERROR, "InternalError"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_an_error_is_answered_in_the_stores_place_as_often_as_asked(
    client, proxy, stub, *, kind, code, method
):
    proxy.script.arm(Fault(kind, methods=frozenset({method}), times=2))
    seen = []
    for _ in range(3):
        try:
            if method == "GET":
                get(client)
            else:
                client.put_object(Bucket="milvus", Key="files/new", Body=b"new")
            seen.append("ok")
        except boto.ClientError as error:
            seen.append(error_code(error))
            assert "files/new" not in stub.buckets["milvus"].objects
    assert seen == [code, code, "ok"]
    assert proxy.script.injected == {kind: 2}


@pytest.mark.parametrize(
    "kind",
    [Kind.RESET, Kind.TRUNCATE, Kind.CORRUPT, Kind.CORRUPT_UPLOAD, Kind.STALLED_UPLOAD],
    ids=str,
)
def test_a_request_without_a_body_to_damage_goes_well_and_counts_as_no_fault(client, proxy, kind):
    proxy.script.arm(Fault(kind))
    client.put_object(Bucket="milvus", Key="files/empty", Body=b"")
    client.head_object(Bucket="milvus", Key="files/object")
    assert get(client, "files/empty") == b""
    assert proxy.script.injected == {}


def test_a_fault_meets_only_its_path_and_each_nth_request():
    script = Script()
    script.arm(Fault(Kind.SLOW_DOWN, path="insert_log", every=3))
    met = [script.choose("GET", "/milvus/insert_log/1") is not None for _ in range(6)]
    assert met == [False, False, True, False, False, True]
    assert script.choose("GET", "/milvus/index_files/1") is None
    script.disarm()
    assert script.choose("GET", "/milvus/insert_log/1") is None


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.TRUNCATE])
def test_a_body_that_breaks_off_is_seen_as_broken(client, proxy, kind):
    proxy.script.arm(Fault(kind, methods=frozenset({"GET"}), times=1))
    with pytest.raises(
        (boto.HTTPClientError, boto.ResponseStreamingError, boto.IncompleteReadError)
    ):
        get(client)
    assert get(client) == BODY


def test_one_bit_of_a_download_is_wrong(client, proxy):
    proxy.script.arm(Fault(Kind.CORRUPT, methods=frozenset({"GET"}), times=1))
    found = get(client)
    wrong = [
        number for number, pair in enumerate(zip(found, BODY, strict=True)) if pair[0] != pair[1]
    ]
    assert wrong == [len(BODY) // 2]
    assert get(client) == BODY


def test_one_bit_of_an_upload_is_wrong_and_a_store_that_checks_refuses_it(client, proxy):
    proxy.script.arm(Fault(Kind.CORRUPT_UPLOAD, times=1))
    with pytest.raises(boto.ClientError, match="XAmzContentSHA256Mismatch"):
        client.put_object(Bucket="milvus", Key="files/new", Body=BODY)


def test_an_upload_stops_in_its_middle_and_arrives_whole_in_the_end(
    client, proxy, stub, monkeypatch
):
    stops = []

    def stop(seconds):
        stops.append((seconds, "files/slow" in stub.buckets["milvus"].objects))

    monkeypatch.setattr(exchange, "time", SimpleNamespace(sleep=stop))
    proxy.script.arm(Fault(Kind.STALLED_UPLOAD, seconds=12.0))
    client.put_object(Bucket="milvus", Key="files/slow", Body=BODY)
    assert stops == [(12.0, False)]
    assert stub.buckets["milvus"].current("files/slow").body == BODY
    assert proxy.script.injected == {Kind.STALLED_UPLOAD: 1}


def test_an_answer_is_lost_after_the_store_did_what_was_asked(client, proxy, stub):
    proxy.script.arm(Fault(Kind.LOST_ANSWER, methods=frozenset({"PUT"}), times=2))
    with pytest.raises(boto.ConnectionClosedError):
        client.put_object(Bucket="milvus", Key="files/new", Body=b"new")
    assert stub.buckets["milvus"].current("files/new").body == b"new"


def test_the_first_byte_is_held_back(client, proxy):
    proxy.script.arm(Fault(Kind.DELAY, methods=frozenset({"GET"}), seconds=0.3))
    started = time.monotonic()
    assert get(client) == BODY
    assert time.monotonic() - started >= 0.3


def test_nothing_passes_while_it_is_stopped_and_all_goes_on_after(client, proxy):
    proxy.script.stop(3_600)
    done = threading.Event()
    found = []

    def ask() -> None:
        found.append(get(client))
        done.set()

    asking = threading.Thread(target=ask)
    asking.start()
    assert not done.wait(0.3)
    proxy.script.disarm()
    asking.join(10)
    assert found == [BODY]


def test_the_other_side_going_away_ends_the_connection(proxy):
    connection = http.client.HTTPConnection(proxy.endpoint.removeprefix("http://"))
    connection.request("GET", "/milvus?location=")
    assert connection.getresponse().read().startswith(b"<?xml")
    proxy.hang_up()
    assert connection.sock.recv(1) == b""
