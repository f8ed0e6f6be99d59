"""One HTTP/2 connection against bytes that a server may send."""

import itertools

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.load.http2 import frames
from validation.load.http2.frames import ProtocolError, frame
from validation.load.http2.headers import Blocks, request_block
from validation.load.http2.protocol import NOT_PROCESSED, Calls, framed

REQUEST = request_block(
    "/milvus.proto.milvus.MilvusService/Search",
    authority="server:19530",
    secure=False,
    deadline=2.5,
    metadata=[("dbname", "default"), ("authorization", "c2VjcmV0")],
)
HEADERS = {":status": "200", "content-type": "application/grpc"}


def block(**fields):
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode([(name.replace("_", "-"), value) for name, value in fields.items()])


def answer(stream, body=b"reply", *, status="0", flags=0):
    """Return what a server sends for one call."""
    return (
        frame(frames.HEADERS, frames.END_HEADERS | flags, stream, block(**HEADERS))
        + frame(frames.DATA, 0, stream, framed(body))
        + frame(
            frames.HEADERS,
            frames.END_HEADERS | frames.END_STREAM,
            stream,
            block(grpc_status=status, grpc_message=""),
        )
    )


def greeted():
    """Return a connection whose server has begun with its settings."""
    calls = Calls(REQUEST)
    assert calls.receive(frames.settings({})) == []
    return calls


def started(count=1, body=b"ask"):
    calls = greeted()
    streams = [calls.call(tag, framed(body)) for tag in range(count)]
    return calls, streams


def sent(data):
    """Return the frames in bytes: kind, flags, stream, payload."""
    data = bytes(data).removeprefix(frames.PREFACE)
    found = []
    while data:
        high, low, kind, flags, stream = frames.HEAD.unpack_from(data)
        size = frames.HEAD_BYTES + (high << 16 | low)
        found.append((kind, flags, stream, data[frames.HEAD_BYTES : size]))
        data = data[size:]
    return found


def test_a_request_carries_its_method_identity_database_and_deadline():
    fields = {str(name): value for name, value in hpack.Decoder().decode(REQUEST)}
    assert fields[":path"] == "/milvus.proto.milvus.MilvusService/Search"
    assert (fields[":scheme"], fields[":authority"]) == ("http", "server:19530")
    assert fields["authorization"] == "c2VjcmV0"
    assert fields["dbname"] == "default"
    assert fields["grpc-timeout"] == "2500m"


def test_the_same_block_means_the_same_however_often_it_is_sent():
    decoder = hpack.Decoder()
    assert decoder.decode(REQUEST) == decoder.decode(REQUEST)
    assert not decoder.header_table.dynamic_entries


def test_a_connection_begins_with_its_settings():
    calls, _ = started()
    assert bytes(calls.out).startswith(frames.PREFACE)
    kinds = [kind for kind, *_ in sent(calls.out)]
    assert kinds[:2] == [frames.SETTINGS, frames.WINDOW_UPDATE]
    assert kinds[-2:] == [frames.HEADERS, frames.DATA]
    said = frames.settings_in(sent(calls.out)[0][3])
    assert said[frames.HEADER_TABLE_SIZE] == 0
    assert said[frames.INITIAL_WINDOW_SIZE] == 2**31 - 1


@given(st.data())
def test_answers_are_whole_wherever_the_network_cuts_them(data):
    calls, streams = started(3)
    arriving = frames.settings({}) + b"".join(answer(one, b"x" * one * 50) for one in streams)
    cuts = data.draw(st.lists(st.integers(0, len(arriving)), max_size=8))
    places = [0, *sorted(cuts), len(arriving)]
    found = []
    for begin, end in itertools.pairwise(places):
        found += calls.receive(arriving[begin:end])
    assert found == [(at, "", b"x" * stream * 50) for at, stream in enumerate(streams)]
    assert calls.under_way == 0


def test_a_long_reply_comes_in_many_frames_with_padding_and_a_continued_header():
    calls, (stream,) = started()
    message = framed(b"y" * 40_000)
    head = block(**HEADERS)
    arriving = frame(frames.HEADERS, 0, stream, head[:3])
    arriving += frame(frames.CONTINUATION, frames.END_HEADERS, stream, head[3:])
    for at in range(0, len(message), 10_000):
        part = message[at : at + 10_000]
        arriving += frame(frames.DATA, frames.PADDED, stream, b"\4" + part + b"\0" * 4)
    arriving += frame(frames.HEADERS, 5, stream, block(grpc_status="0"))
    assert calls.receive(arriving) == [(0, "", b"y" * 40_000)]


@pytest.mark.parametrize(
    ("arriving", "said"),
    [
        (answer(1, status="14"), "gRPC UNAVAILABLE"),
        (answer(1, status="99"), "gRPC status 99"),
        (
            frame(frames.HEADERS, 5, 1, block(**HEADERS, grpc_status="16")),
            "gRPC UNAUTHENTICATED",
        ),
        (frame(frames.HEADERS, 5, 1, block(**{":status": "503"})), "HTTP 503"),
        (
            frame(frames.HEADERS, 4, 1, block(**{":status": "502"})) + frame(0, 1, 1, b"<html>"),
            "HTTP 502",
        ),
        (
            frame(frames.HEADERS, 4, 1, block(**HEADERS)) + frame(0, 1, 1),
            "a reply without a status",
        ),
        (frame(frames.RST_STREAM, 0, 1, b"\0\0\0\2"), "HTTP/2 INTERNAL_ERROR"),
        (frame(frames.RST_STREAM, 0, 1, b"\0\0\0\7"), NOT_PROCESSED),
        (frame(frames.GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0"), NOT_PROCESSED),
        (
            frame(0, 0, 1, b"\0\0\0\0\x09half")
            + frame(frames.HEADERS, 5, 1, block(grpc_status="0")),
            "a reply of another length than it says",
        ),
        (
            frame(0, 0, 1, b"\1\0\0\0\1x") + frame(frames.HEADERS, 5, 1, block(grpc_status="0")),
            "a compressed reply, which was not asked for",
        ),
    ],
)
def test_a_call_that_fails_says_why_by_kind(arriving, said):
    calls, _ = started()
    assert calls.receive(arriving) == [(0, said, b"")]


@pytest.mark.parametrize(
    "arriving",
    [
        frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2"),
        frame(frames.CONTINUATION, 4, 1, b""),
        frame(frames.HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
        frame(frames.HEADERS, 0, 1, b"") + frame(frames.DATA, 0, 1, b"x"),
        frame(frames.DATA, 0, 99, b"x"),
        frame(frames.DATA, frames.PADDED, 1, b"\x09x"),
        frame(frames.SETTINGS, 0, 0, b"\0"),
        frame(frames.RST_STREAM, 0, 1, b""),
    ],
)
def test_a_peer_that_breaks_the_rules_is_refused(arriving):
    calls, _ = started()
    with pytest.raises(ProtocolError):
        calls.receive(arriving)


@pytest.mark.parametrize("arriving", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"<!DOCTYPE HTML>"])
def test_a_server_that_speaks_something_else_is_told_apart(arriving):
    with pytest.raises(ProtocolError, match="does not speak it"):
        Calls(REQUEST).receive(arriving)


def test_what_is_unknown_is_passed_over_and_interim_answers_are_waited_out():
    calls, (stream,) = started()
    interim = frame(frames.HEADERS, 4, stream, block(**{":status": "100"}))
    unknown = frame(0xEE, 0, 0, b"grease")
    assert calls.receive(unknown + interim + answer(stream)) == [(0, "", b"reply")]


def test_settings_and_pings_are_acknowledged():
    calls = greeted()
    calls.out.clear()
    calls.receive(frames.settings({3: 10}) + frame(frames.PING, 0, 0, b"12345678"))
    assert sent(calls.out) == [
        (frames.SETTINGS, frames.ACK, 0, b""),
        (frames.PING, frames.ACK, 0, b"12345678"),
    ]
    calls.out.clear()
    calls.receive(frame(frames.SETTINGS, 1, 0) + frame(frames.PING, 1, 0, b"12345678"))
    assert not calls.out


def test_no_more_calls_are_started_than_the_peer_takes():
    calls, streams = started(2)
    calls.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 2}))
    assert calls.room == 0
    calls.receive(answer(streams[0]))
    assert calls.room == 1


def test_a_request_waits_for_the_peers_window_and_goes_on_when_it_opens():
    calls = Calls(REQUEST)
    calls.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 30_000}))
    calls.out.clear()
    body = bytes(range(256)) * 400
    stream = calls.call(0, framed(body))

    def data():
        return [one for one in sent(calls.out) if one[0] == frames.DATA]

    assert sum(len(payload) for *_, payload in data()) == 30_000
    calls.receive(frames.window_update(stream, 80_000))
    assert sum(len(payload) for *_, payload in data()) == frames.FIRST_WINDOW
    calls.receive(frames.window_update(0, 80_000))
    assert b"".join(payload for *_, payload in data()) == framed(body)
    assert [flags for _, flags, *_ in data()][-1] == frames.END_STREAM
    assert max(len(payload) for *_, payload in data()) <= frames.LARGEST_FRAME


def test_a_window_that_the_peer_narrows_counts_for_calls_under_way():
    calls = Calls(REQUEST)
    calls.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
    stream = calls.call(0, framed(b"z" * 100))
    calls.out.clear()
    calls.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}))
    calls.receive(frames.window_update(stream, 5))
    assert [kind for kind, *_ in sent(calls.out)] == [frames.SETTINGS]
    calls.receive(frames.window_update(stream, 3))
    assert sent(calls.out)[-1] == (frames.DATA, 0, stream, b"zzz")


def test_a_call_that_was_given_up_is_reset_and_its_late_answer_is_nothing():
    calls, (stream,) = started()
    calls.out.clear()
    calls.cancel(stream)
    assert sent(calls.out) == [(frames.RST_STREAM, 0, stream, b"\0\0\0\x08")]
    assert calls.receive(answer(stream)) == []


def test_a_peer_that_goes_away_answers_what_it_has_taken():
    calls, streams = started(2)
    leave = frame(frames.GOAWAY, 0, 0, streams[0].to_bytes(4, "big") + b"\0\0\0\0")
    assert calls.receive(leave) == [(1, NOT_PROCESSED, b"")]
    assert (calls.room, calls.closing) == (0, "HTTP/2 GOAWAY NO_ERROR")
    assert calls.receive(answer(streams[0])) == [(0, "", b"reply")]


def test_calls_under_way_fail_when_the_connection_is_lost():
    calls, _ = started(2)
    assert calls.lost("connection lost") == [
        (0, "connection lost", b""),
        (1, "connection lost", b""),
    ]


def test_a_block_that_was_seen_is_looked_up():
    blocks = Blocks()
    trailers = block(grpc_status="0", grpc_message="")
    assert blocks.read(trailers) is blocks.read(trailers)
    assert blocks.read(trailers).failure == ""
