"""What the store's key is told to be good for, by a store of this test."""

import contextlib
import http.server
import threading

import botocore.exceptions as boto
import pytest

from validation.security import store_key
from validation.target import Storage

REFUSED = (403, "<Error><Code>AccessDenied</Code></Error>")
UNTOLD = (400, "<Error><Code>IllegalLocationConstraintException</Code></Error>")
DONE = (200, "")
CREATE, REMOVE, POLICY = ("PUT", ""), ("DELETE", ""), ("GET", "policy")


class Handler(http.server.BaseHTTPRequestHandler):
    """A store; None as an answer closes the connection."""

    answers: dict[tuple[str, str], tuple[int, str] | None] = {}  # noqa: RUF012  (replaced whole)
    region = "us-east-1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = self.command, self.path.partition("?")[2].rstrip("=")
        answer = self.answers.get(asked, REFUSED)
        if answer == DONE and asked == CREATE:
            told = f"<LocationConstraint>{self.region}<".encode() in body
            answer = DONE if told != (self.region == "us-east-1") else UNTOLD
        if answer is None:
            self.close_connection = True
            return
        status, said = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    do_PUT = do_DELETE = do_GET  # noqa: N815  (the names that the server looks for)

    def log_message(self, format, *args):  # noqa: A002  (its name in the base class)
        pass


@contextlib.contextmanager
def store(answers, region="us-east-1"):
    handler = type("Store", (Handler,), {"answers": answers, "region": region})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    described = {
        "provider": "s3",
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "bucket": "milvus",
        "region": region,
        "access_key": {"value": "a-name"},
        "secret_key": {"value": "a-secret"},
    }
    try:
        yield Storage.model_validate(described)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def wrong(storage):
    found, unasked = store_key.tried(storage)
    return {one.name: one.said for one in found if one.wrong}, unasked


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_key_that_may_create_buckets_is_found_in_every_region(region):
    with store({CREATE: DONE, REMOVE: (204, "")}, region) as storage:
        assert wrong(storage) == ({"create another bucket": "allowed"}, [])


@pytest.mark.parametrize("answer", [REFUSED, None])
def test_a_bucket_that_cannot_be_removed_was_created_all_the_same(answer):
    with store({CREATE: DONE, REMOVE: answer}) as storage:
        found, _ = wrong(storage)
    assert found["create another bucket"].startswith("allowed; bucket milvus-kit-")
    assert found["create another bucket"].endswith("; remove it")


def test_what_was_allowed_is_told_though_the_store_falls_silent():
    with store({CREATE: DONE, REMOVE: (204, ""), POLICY: None}) as storage:
        found, unasked = wrong(storage)
    assert found == {"create another bucket": "allowed"}
    assert [one.partition(":")[0] for one in unasked] == ["read the policy of its bucket"]


def test_a_store_that_falls_silent_has_refused_nothing():
    with store({POLICY: None}) as storage, pytest.raises(boto.BotoCoreError):
        store_key.tried(storage)


def test_a_key_of_no_use_elsewhere_is_found_to_be_so():
    with store({}) as storage:
        found, unasked = store_key.tried(storage)
    assert ([one.name for one in found if one.wrong], unasked, len(found)) == ([], [], 3)
