"""The wire proxy with nothing armed: a client sees what it sees without the proxy.

Each test asks a server directly and through the proxy, and compares. The server is a scripted one,
so that it fails, waits and streams as it is told; a real Milvus is asked in `tests/local`.
"""

import contextlib
import socket
import threading
from concurrent import futures

import grpc
import pytest

from tests.waiting import eventually
from validation.errors import MeasurementError
from validation.selftest.wire.proxy import WireProxy

SEARCH = "/milvus.proto.milvus.MilvusService/Search"
SERVICE = "/milvus.proto.milvus.MilvusService/"
SECONDS = 20
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Scripted(grpc.GenericRpcHandler):
    """Answers every unary method with its request, and does what the request's first word says."""

    def __init__(self):
        self.seen = []
        self.ended = threading.Event()

    def service(self, handler_call_details):
        method = handler_call_details.method
        if method.endswith("Missing"):
            return None
        if method.endswith(("DumpMessages", "Watch")):
            return grpc.unary_stream_rpc_method_handler(self.several)
        if method.endswith("CreateReplicateStream"):
            return grpc.stream_stream_rpc_method_handler(self.echoes)
        return grpc.unary_unary_rpc_method_handler(self.one)

    def note(self, context):
        self.seen.append((context.invocation_metadata(), context.time_remaining()))

    def one(self, request, context):
        self.note(context)
        context.send_initial_metadata([("greeting", "hello"), ("bits-bin", b"\x00\xff")])
        context.set_trailing_metadata([("farewell", "bye"), ("more-bin", b"\xff\x00")])
        word, _, rest = request.partition(b" ")
        if word == b"fail":
            context.abort(getattr(grpc.StatusCode, rest.decode()), f"told to: {rest.decode()} é")
        if word == b"wait":
            context.add_callback(self.ended.set)
            self.ended.wait(SECONDS)
        return request

    def several(self, request, context):
        self.note(context)
        for number in range(3):
            yield request + b"%d" % number
        if request == b"break":
            context.abort(grpc.StatusCode.DATA_LOSS, "broke off")

    def echoes(self, requests, context):
        self.note(context)
        yield from requests


@contextlib.contextmanager
def serving(address="127.0.0.1:0"):
    scripted = Scripted()
    server = grpc.server(futures.ThreadPoolExecutor(16), options=UNLIMITED)
    server.add_generic_rpc_handlers([scripted])
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield scripted, f"127.0.0.1:{port}"
    finally:
        scripted.ended.set()
        server.stop(0).wait(SECONDS)


@pytest.fixture(scope="module")
def both():
    """The scripted server, and a channel to it: directly, and through the proxy."""
    with contextlib.ExitStack() as stack:
        scripted, address = stack.enter_context(serving())
        proxy = stack.enter_context(WireProxy(address))
        channels = [
            stack.enter_context(grpc.insecure_channel(one, UNLIMITED))
            for one in (address, proxy.address)
        ]
        yield scripted, channels


def outcome(channel, request, *, path=SEARCH, timeout: float = SECONDS, metadata=()):
    """Everything that a client can see of a unary call."""
    call = channel.unary_unary(path).future(request, timeout=timeout, metadata=metadata)
    try:
        reply = call.result()
    except grpc.RpcError:
        reply = None
    return {
        "reply": reply,
        "code": call.code(),
        "details": call.details(),
        "headers": list(call.initial_metadata()),
        "trailers": list(call.trailing_metadata()),
    }


def test_replies_headers_and_trailers_are_the_same(both):
    direct, proxied = (outcome(channel, b"anything") for channel in both[1])
    assert direct == proxied
    assert ("greeting", "hello") in direct["headers"]
    assert ("more-bin", b"\xff\x00") in direct["trailers"]


def test_an_empty_message_stays_one(both):
    direct, proxied = (outcome(channel, b"") for channel in both[1])
    assert direct == proxied
    assert direct["reply"] == b""


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode if code.value[0]])
def test_every_status_comes_through_with_its_details_and_trailers(both, code):
    direct, proxied = (outcome(channel, f"fail {code}".encode()) for channel in both[1])
    assert direct == proxied
    assert direct["code"] is grpc.StatusCode[code]
    assert ("farewell", "bye") in direct["trailers"]


@pytest.mark.parametrize("path", [SERVICE + "Missing", "/grpc.health.v1.Health/Missing"])
def test_a_method_that_the_server_lacks_is_lacking_behind_the_proxy(both, path):
    direct, proxied = (outcome(channel, b"x", path=path) for channel in both[1])
    assert direct == proxied
    assert direct["code"] is grpc.StatusCode.UNIMPLEMENTED


def test_a_service_that_is_not_milvus_s_is_passed_on(both):
    direct, proxied = (
        outcome(channel, b"x", path="/grpc.health.v1.Health/Check") for channel in both[1]
    )
    assert direct == proxied
    assert direct["reply"] == b"x"


def test_messages_beyond_every_default_limit_come_through(both):
    big = bytes(range(256)) * (1 << 16)  # 16 MiB, four times gRPC's own limit
    direct, proxied = (outcome(channel, big) for channel in both[1])
    assert direct == proxied
    assert proxied["reply"] == big


def test_the_server_sees_the_client_s_metadata_and_deadline(both):
    scripted, channels = both
    sent = [("dbname", "other"), ("authorization", "cm9vdDpNaWx2dXM="), ("dbname", "twice")]
    sent += [("x-bin", b"\x00\x01\xff")]
    seen = []
    for channel in channels:
        outcome(channel, b"x", metadata=sent, timeout=100)
        metadata, left = scripted.seen[-1]
        given = [tuple(one) for one in metadata if one.key != "user-agent"]
        seen.append(sorted(given, key=lambda one: one[0]))  # of one name, the order counts
        assert 50 < left < 110  # gRPC rounds it up
    assert seen[0] == seen[1]
    assert seen[0] == sorted(sent, key=lambda one: one[0])


def test_a_call_without_a_deadline_has_none_behind_the_proxy(both):
    scripted, channels = both
    left = []
    for channel in channels:
        channel.unary_unary(SEARCH)(b"x")
        left.append(scripted.seen[-1][1])
    assert left[0] == left[1]


def test_a_deadline_ends_a_call_as_it_does_without_the_proxy(both):
    codes = []
    for channel in both[1]:
        both[0].ended.clear()
        codes.append(outcome(channel, b"wait", timeout=0.3)["code"])
        assert both[0].ended.wait(SECONDS)
    assert codes == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2


def test_a_client_that_cancels_ends_the_call_at_the_server(both):
    scripted, channels = both
    for channel in channels:
        scripted.ended.clear()
        before = len(scripted.seen)
        call = channel.unary_unary(SEARCH).future(b"wait", timeout=SECONDS)
        eventually(lambda before=before: len(scripted.seen) > before)
        assert call.cancel()
        assert scripted.ended.wait(SECONDS)


def test_calls_that_wait_hold_up_no_other(both):
    for channel in both[1]:
        both[0].ended.clear()
        waiting = [channel.unary_unary(SEARCH).future(b"wait", timeout=SECONDS) for _ in range(8)]
        assert outcome(channel, b"x")["reply"] == b"x"
        both[0].ended.set()
        assert [call.result() for call in waiting] == [b"wait"] * 8


@pytest.mark.parametrize("request_", [b"go", b"break"])
@pytest.mark.parametrize("path", [SERVICE + "DumpMessages", "/grpc.health.v1.Health/Watch"])
def test_a_stream_of_replies_comes_through_with_how_it_ends(both, path, request_):
    seen = []
    for channel in both[1]:
        call = channel.unary_stream(path)(request_, timeout=SECONDS)
        replies = []
        with contextlib.suppress(grpc.RpcError):
            replies.extend(iter(call))
        seen.append((replies, call.code(), call.details(), list(call.trailing_metadata())))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 3


def test_a_stream_in_both_directions_answers_while_it_is_asked(both):
    for channel in both[1]:
        said = threading.Semaphore(1)

        def requests(said=said):
            for word in (b"one", b"two", b"three"):
                assert said.acquire(timeout=SECONDS)
                yield word

        heard = []
        call = channel.stream_stream(SERVICE + "CreateReplicateStream")(requests(), timeout=SECONDS)
        for word in call:
            heard.append(word)
            said.release()
        assert heard == [b"one", b"two", b"three"]


def test_a_server_that_is_gone_is_unavailable_and_one_that_comes_back_is_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with WireProxy(address) as proxy, grpc.insecure_channel(proxy.address) as channel:
        assert outcome(channel, b"x")["code"] is grpc.StatusCode.UNAVAILABLE
        with serving(address):
            eventually(lambda: outcome(channel, b"x")["reply"] == b"x")
        assert outcome(channel, b"x")["code"] is grpc.StatusCode.UNAVAILABLE
        proxy.close()
        proxy.close()
    with pytest.raises(MeasurementError, match=address):
        proxy.arm()
