"""What is not a usable S3 store is named for what it is, with the right exit code."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
import s3_servers
import s3_stub

from validation.errors import ConfigurationError, CredentialsError, ExitCode, UnreachableError
from validation.s3.client.boto import connect
from validation.s3.client.endpoint import Keys, endpoint_of
from validation.s3.client.failures import translated
from validation.s3.client.wire import Reply
from validation.s3.conformance.runner import run
from validation.s3.conformance.table import TABLE
from validation.s3.preflight import console
from validation.s3.preflight.contract import Options, chosen
from validation.s3.preflight.reach import _ask, reach
from validation.s3.preflight.run import preflight
from validation.s3.workspace import Effort, Permissions, opened
from validation.target import SecretRef
from validation.verdicts.verdict import Outcome

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hi</html>"
LOOP = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
ELSEWHERE = b"HTTP/1.1 301 Moved\r\nLocation: https://console.example/\r\nContent-Length: 0\r\n\r\n"
FULL = b"<Error><Code>XMinioStorageFull</Code></Error>"


@contextlib.contextmanager
def serving(one):
    """Call ``one`` with each connection and an event that is set when all is over."""
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection, over), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


def answering(reply: bytes | None):
    """Serve one fixed answer to every request; None never answers."""

    def one(connection: socket.socket, over: threading.Event) -> None:
        with connection:
            if connection.recv(65_536) and reply is not None:
                connection.sendall(reply)
                return
            over.wait(120)

    return serving(one)


@pytest.fixture(scope="module")
def stub():
    with s3_stub.serving(Keys(s3_servers.ACCESS, s3_servers.SECRET)) as server:
        yield server


def refused(storage, **more) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        reach(storage, **more)
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert caught.value.remedy
    assert s3_servers.SECRET not in str(caught.value)
    return caught.value


def test_an_endpoint_that_is_down_is_named():
    assert "nothing listens there" in str(refused(s3_servers.storage("http://127.0.0.1:1")))


def test_a_host_name_that_does_not_resolve_is_named():
    error = refused(s3_servers.storage("http://no-such-host.invalid:9000"))
    assert "does not resolve" in str(error)


def test_an_endpoint_that_never_answers_is_given_up_on():
    with answering(None) as endpoint:
        error = refused(s3_servers.storage(endpoint), seconds=0.3)
    assert "no answer within 0.3 s" in str(error)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (HTML, "a web page answers, not S3"),
        (LOOP, "redirects in a loop"),
        (ELSEWHERE, "sends us elsewhere (seen: 'https://console.example/')"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer as HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not S3's XML"),
    ],
)
def test_what_answers_and_is_not_s3_is_named(reply, said):
    with answering(reply) as endpoint:
        assert said in str(refused(s3_servers.storage(endpoint)))


def test_tls_on_a_plain_port_is_named(stub):
    error = refused(s3_servers.storage(stub.endpoint.replace("http", "https")))
    assert "does not speak TLS" in str(error)


def test_wrong_keys_are_named_and_not_shown(stub):
    wrong = SecretRef.model_validate({"value": "not-the-secret"})
    with pytest.raises(CredentialsError) as caught:
        reach(s3_servers.storage(stub.endpoint, secret_key=wrong))
    assert "not-the-secret" not in str(caught.value)


def test_a_missing_bucket_is_a_mistake_in_the_configuration(stub):
    with pytest.raises(ConfigurationError, match="no such bucket") as caught:
        reach(s3_servers.storage(stub.endpoint, bucket="absent"))
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:9000", "ftp://x", "http://h/b", "http://h:0", "http://h:70000", "http://h?x"],
)
def test_an_endpoint_must_be_a_url_without_path(endpoint):
    with pytest.raises(ConfigurationError, match=r"endpoint: .*write http\(s\)://HOST:PORT"):
        chosen(target=None, stack=None, endpoint=endpoint, options=Options(bucket="b"))


@pytest.mark.parametrize("name", ["", "a bucket", "b/c"])
def test_what_is_no_bucket_s_name_is_a_mistake_in_the_configuration(stub, name):
    storage = s3_servers.storage(stub.endpoint)
    with pytest.raises(ConfigurationError, match="no bucket can have this name") as caught:
        reach(storage.model_copy(update={"bucket": name}))
    assert caught.value.where == "storage.bucket"
    with pytest.raises(ConfigurationError, match="no bucket can have this name") as caught:
        preflight(storage, permissions=Permissions(other_bucket=name))
    assert caught.value.where == "--other-bucket"


def test_a_redirect_to_a_port_that_only_begins_as_ours_leads_elsewhere(monkeypatch):
    endpoint = "http://127.0.0.1:808"
    storage = s3_servers.storage(endpoint)
    reply = Reply(301, {"location": f"{endpoint}0/milvus"}, b"")
    monkeypatch.setattr("validation.s3.preflight.reach.exchange", lambda *_, **__: reply)
    with pytest.raises(UnreachableError, match="elsewhere"):
        _ask(storage, endpoint_of(storage), 1.0)


@pytest.mark.parametrize("path", ["", "file/profile.json"])
def test_a_profile_that_cannot_be_written_is_told_before_the_store_is_asked(tmp_path, path):
    (tmp_path / "file").touch()
    nowhere = s3_servers.storage(f"http://127.0.0.1:{s3_servers.free_port()}")
    with pytest.raises(ConfigurationError, match="profile cannot be written"):
        console.run(nowhere, Permissions(), path=tmp_path / path)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_full_store_is_named():
    head = f"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: {len(FULL)}\r\n\r\n".encode()
    with answering(head + FULL) as endpoint:
        storage = s3_servers.storage(endpoint)
        with pytest.raises(UnreachableError, match="the store is full"), translated(storage):
            connect(storage).put_object(Bucket="milvus", Key="k", Body=b"x")


def test_a_store_that_goes_away_leaves_the_rest_unmeasured_and_never_passes():
    keys = Keys(s3_servers.ACCESS, s3_servers.SECRET)
    with s3_stub.serving(keys) as server:
        storage = s3_servers.storage(server.endpoint)

        def stop(finding) -> None:
            if finding.id == "bucket.location":
                server.shutdown()
                server.server_close()
                server.hang_up()

        profile = preflight(storage, effort=Effort(large_bytes=1_000), tell=stop)
    assert profile.verdict is Outcome.INCONCLUSIVE
    assert "went away" in profile.finding("objects.body").reason
    assert profile.decisions.woodpecker == "unknown"


def test_objects_of_others_are_never_deleted_even_if_the_listing_shows_them(stub):
    stub.reset()
    storage = s3_servers.storage(stub.endpoint)
    client = connect(storage)
    client.put_object(Bucket="milvus", Key="files/insert_log/1", Body=b"a row")
    with opened(storage, Permissions()) as space:
        space.put(b"ours")
        client.put_object(Bucket="milvus", Key=f"{space.prefix}theirs", Body=b"not named by us")
    assert set(stub.buckets["milvus"].objects) == {
        "files/insert_log/1",
        f"{space.prefix}theirs",
    }


def test_virtual_host_style_turns_red_where_it_is_declared_and_does_not_work(stub):
    storage = s3_servers.storage(stub.endpoint)
    outcomes = {}
    for addressing in ("path", "virtual"):
        with opened(storage, Permissions()) as space:
            space.storage = storage.model_copy(update={"addressing": addressing})
            for stub.no_hosts in (False, True):
                (found,) = run(space, [TABLE["addressing.virtual-host"]])
                outcomes[addressing, "broken" if stub.no_hosts else "working"] = found.outcome
        stub.no_hosts = False
    assert outcomes == {
        ("path", "working"): Outcome.PASS,
        ("path", "broken"): Outcome.NOT_MEASURED,
        ("virtual", "working"): Outcome.PASS,
        ("virtual", "broken"): Outcome.FAIL,
    }
