"""How a store is asked: by name or path, in its region, neither led astray nor kept waiting."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
import s3_servers
import s3_stub
from test_s3_bad_endpoints import answering, serving
from test_s3_tls import LIGHT

from validation.errors import (
    ConfigurationError,
    CredentialsError,
    ExitCode,
    MilvusKitError,
    UnreachableError,
)
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys
from validation.s3.client.wire import exchange
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import TABLE
from validation.s3.preflight.reach import reach
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Effort, opened
from validation.verdicts.verdict import Outcome

NAME = "s3.kit.test"


@pytest.fixture
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


def said_of(storage, **more) -> MilvusKitError:
    """Return what a preflight says of a store that it cannot use; it always has a next step."""
    with pytest.raises(MilvusKitError) as caught:
        reach(storage, **more)
    assert caught.value.remedy
    assert caught.value.exit_code in {ExitCode.USAGE, ExitCode.UNREACHABLE}
    return caught.value


# --- virtual-host style


@pytest.fixture
def by_name(stub, monkeypatch):
    """Return a store that knows buckets by host name alone, all names below it resolving."""
    original = socket.getaddrinfo

    def answer(host, *args, **more):
        local = str(host).endswith(NAME)
        return original("127.0.0.1" if local else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    serve = s3_stub.Handler._serve

    def only_virtual(self) -> None:
        if self.headers["host"].split(":")[0] != NAME:
            serve(self)
            return
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.lower = {}
        self.fail(s3_stub.S3Error(404, "NoSuchBucket"))

    for method in ("do_GET", "do_PUT", "do_POST", "do_DELETE", "do_HEAD"):
        monkeypatch.setattr(s3_stub.Handler, method, only_virtual)
    return f"http://{NAME}:{stub.server_port}"


def test_a_store_that_knows_virtual_hosts_alone_passes_where_they_are_declared(by_name):
    profile = preflight(s3_servers.storage(by_name, addressing="virtual"), effort=LIGHT)
    assert [one.id for one in profile.findings if one.outcome is Outcome.FAIL] == []
    assert profile.verdict is Outcome.PASS, profile.reason
    assert profile.decisions.addressing.choice == "virtual"
    assert profile.decisions.checksums.choice == "when_supported"
    assert "path style is not used" in profile.finding("addressing.path").reason


def test_such_a_store_is_not_found_by_path(by_name):
    assert "no such bucket" in str(said_of(s3_servers.storage(by_name)))


def test_a_bucket_without_a_name_of_its_own_is_told_with_what_to_do(stub):
    error = said_of(s3_servers.storage("http://no-such-host.invalid:9000", addressing="virtual"))
    assert "milvus.no-such-host.invalid" in str(error)
    assert "--addressing path" in error.remedy
    error = said_of(s3_servers.storage(stub.endpoint, addressing="virtual"))
    assert isinstance(error, ConfigurationError)
    assert "none can stand below an address" in error.what


# --- region and redirects


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("", "--region"),
        ("<Region>eu-central-1</Region>", "--region eu-central-1"),
        ("<Message>the region is wrong; expecting 'eu-x-2'</Message>", "--region eu-x-2"),
    ],
)
def test_a_wrong_region_is_told_with_the_right_one_where_the_store_names_it(
    stub, monkeypatch, more, named
):
    def fail(self, error) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{error.code}</Code>{more}</Error>"
        self.answer(error.status, b"" if self.command == "HEAD" else text.encode())

    monkeypatch.setattr(s3_stub.Handler, "fail", fail)
    error = said_of(s3_servers.storage(stub.endpoint, region="us-west-7"))
    assert isinstance(error, ConfigurationError)
    assert "another region" in error.what
    assert named in error.remedy


def test_a_refusal_of_head_gets_its_reason_from_an_answer_with_a_body(stub):
    nobody = {"value": "nobody"}
    error = said_of(s3_servers.storage(stub.endpoint, access_key=nobody))
    assert isinstance(error, CredentialsError)
    assert "InvalidAccessKeyId" in str(error.seen)


def test_a_session_token_that_is_passed_over_is_told_where_keys_are_refused(stub, monkeypatch):
    storage = s3_servers.storage(stub.endpoint, access_key={"value": "nobody"})
    assert "AWS_SESSION_TOKEN" not in said_of(storage).remedy
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of a session")
    assert "AWS_SESSION_TOKEN is not used" in said_of(storage).remedy


@pytest.mark.parametrize("status", [301, 302, 307])
@pytest.mark.parametrize("to", ["", "http://console.example:9001"])
def test_a_redirect_of_signed_requests_ends_at_once_and_names_where_to(
    stub, monkeypatch, status, to
):
    requests = []

    def redirect(self) -> None:
        requests.append(self.http.command)
        self.http.answer(status, b"", {"Location": f"{to or stub.endpoint}/milvus"})

    monkeypatch.setattr(s3_stub.Operations, "run", redirect)
    error = said_of(s3_servers.storage(stub.endpoint))
    assert ("to console.example:9001" if to else "to itself, in a loop") in error.what
    assert len(requests) <= 3


def test_a_redirect_that_names_a_region_is_one_for_the_region(stub, monkeypatch):
    headers = {"Location": "http://elsewhere.example/", "x-amz-bucket-region": "eu-central-1"}
    monkeypatch.setattr(s3_stub.Operations, "run", lambda self: self.http.answer(307, b"", headers))
    assert "--region eu-central-1" in said_of(s3_servers.storage(stub.endpoint)).remedy


@pytest.mark.parametrize(("status", "said"), [(500, "fails to answer"), (400, "refuses")])
def test_an_answer_that_means_nothing_more_has_a_next_step_too(stub, monkeypatch, status, said):
    monkeypatch.setattr(s3_stub.Operations, "run", lambda self: self.http.answer(status))
    error = said_of(s3_servers.storage(stub.endpoint))
    assert said in error.what
    assert isinstance(error, UnreachableError)


# --- answers without an end


def dripping(start: bytes, drop: bytes, every: float):
    """Answer each request with a beginning, and then with drop after drop."""

    def one(connection: socket.socket, over: threading.Event) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(start)
            while not over.wait(every):
                connection.sendall(drop)

    return serving(one)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n"


@pytest.mark.parametrize("start", [b"", HEAD], ids=["head", "body"])
def test_an_answer_that_trickles_is_not_waited_for(start):
    with dripping(start, b" ", 0.05) as endpoint:
        began = time.monotonic()
        error = said_of(s3_servers.storage(endpoint), seconds=0.5)
        assert time.monotonic() - began < 10
    assert "no answer within 0.5 s" in error.what


def test_an_answer_without_an_end_is_not_read_to_it():
    with dripping(HEAD, b" " * 65_536, 0.0) as endpoint:
        error = said_of(s3_servers.storage(endpoint))
    assert "more than 1,048,576 bytes" in error.what


def test_an_answer_that_is_cut_short_is_no_answer():
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf") as endpoint,
        pytest.raises(UnreachableError, match="IncompleteRead"),
    ):
        exchange(s3_servers.storage(endpoint), "GET", "/", {"host": "h"})


# --- what the environment says does not count


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "no-such-profile"),
        ("AWS_SESSION_TOKEN", "of a session"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("AWS_CONFIG_FILE", "config"),
    ],
)
def test_only_the_contract_says_how_the_store_is_reached(stub, monkeypatch, tmp_path, name, value):
    from validation.s3.client import boto  # noqa: PLC0415  (its one session is made anew here)

    (tmp_path / "config").write_text("this is [no configuration")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    boto._session.cache_clear()
    storage = s3_servers.storage(stub.endpoint)
    assert reach(storage).server == "stub"
    connect(storage).put_object(Bucket="milvus", Key="files/one", Body=b"1")
    boto._session.cache_clear()


# --- a store that changes while it is measured

FEW = Effort(listed_keys=12, page=5, large_bytes=300_000, part_bytes=20_000, racers=3, races=2)


def test_a_store_that_fills_up_on_the_way_is_not_called_broken(stub, monkeypatch):
    put, written = s3_stub.Operations.put_object, []

    def until_full(self) -> None:
        written.append(self.key)
        if len(written) > 40:
            raise s3_stub.S3Error(507, "InsufficientStorage")
        put(self)

    monkeypatch.setattr(s3_stub.Operations, "put_object", until_full)
    profile = preflight(s3_servers.storage(stub.endpoint), effort=FEW)
    assert {one.id: one.reason for one in profile.findings if one.outcome is Outcome.FAIL} == {}
    assert profile.verdict is Outcome.INCONCLUSIVE
    assert "the store is full" in profile.reason
    assert stub.buckets["milvus"].objects == {}


def test_a_page_that_tells_of_maintenance_is_a_store_that_went_away(stub, monkeypatch):
    run, requests = s3_stub.Operations.run, []

    def until_maintenance(self) -> None:
        requests.append(self.http.command)
        if len(requests) > 60:
            page = b"<!doctype html><html>maintenance</html>"
            self.http.answer(200, page, {"Content-Type": "text/html"})
            return
        run(self)

    monkeypatch.setattr(s3_stub.Operations, "run", until_maintenance)
    profile = preflight(s3_servers.storage(stub.endpoint), effort=FEW)
    assert {one.id: one.reason for one in profile.findings if one.outcome is Outcome.FAIL} == {}
    assert profile.verdict is Outcome.INCONCLUSIVE
    assert "the store went away: " in profile.reason
    assert " was answered 200 with a web page" in profile.reason


def test_a_page_that_tells_of_a_failure_does_not_hide_its_status(stub, monkeypatch):
    page = b"<!doctype html><html>it failed</html>"
    html = {"Content-Type": "text/html"}
    with opened(s3_servers.storage(stub.endpoint)) as space, monkeypatch.context() as patch:
        failing = lambda self: self.http.answer(500, page, html)  # noqa: E731
        patch.setattr(s3_stub.Operations, "get_object", failing)
        (finding,) = run(space, [TABLE["objects.body"]])
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.startswith("GetObject answered 500")


def test_a_listing_that_cannot_be_read_does_not_keep_objects_from_being_removed(stub, monkeypatch):
    entry, left = s3_stub.Operations._entry, []
    odd = lambda self, key, one: entry(self, key, one).replace("<Size>", "<Size>x")  # noqa: E731
    with opened(s3_servers.storage(stub.endpoint), leftovers=left) as space:
        space.put(b"ours")
        monkeypatch.setattr(s3_stub.Operations, "_entry", odd)
    assert stub.buckets["milvus"].objects == {}
    assert left == [f"milvus/{space.prefix} (it could not be listed)"]
