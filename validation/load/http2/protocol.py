"""One HTTP/2 connection that carries unary gRPC calls: bytes in, answers out, no socket.

The caller sends what gathers in `Calls.out` and hands over what arrives; it keeps the clock too.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from validation.load.http2 import frames
from validation.load.http2.frames import HEAD, HEAD_BYTES, LARGEST_FRAME, LARGEST_WINDOW
from validation.load.http2.headers import Blocks, Fields

MESSAGE_HEAD = 5
"""Bytes before a gRPC message: whether it is compressed, and its length in 32 bits."""
NOT_PROCESSED = "HTTP/2 REFUSED_STREAM"
"""The failure of a call that the peer says it did not look at: it may be made again."""
_BEFORE_STREAM = 5
_GIVE_WINDOW_AT = 2**30
_LONGEST_BLOCK = 2**20


class Answer(NamedTuple):
    """How one call ended: its tag, why it failed (empty if it did not), and the message."""

    tag: int
    failure: str
    message: bytes


@dataclasses.dataclass(slots=True)
class _Stream:
    tag: int
    window: int
    body: bytes | bytearray = b""
    fields: Fields | None = None
    unsent: memoryview | None = None


class Calls:
    """The calls of one connection.

    Args:
        blocks: The header blocks there are; see `request_block`. Each call has one of them.

    Attributes:
        out: What has to be sent; the caller takes from it.
        closing: Why the peer takes no further calls; empty if it does.
    """

    def __init__(self, *blocks: bytes) -> None:
        self.closing = ""
        mine = {
            frames.HEADER_TABLE_SIZE: 0,
            frames.ENABLE_PUSH: 0,
            frames.INITIAL_WINDOW_SIZE: LARGEST_WINDOW,
        }
        self.out = bytearray(frames.PREFACE + frames.settings(mine))
        self.out += frames.window_update(0, LARGEST_WINDOW - frames.FIRST_WINDOW)
        whole = [frames.frame(frames.HEADERS, frames.END_HEADERS, 0, one) for one in blocks]
        self._heads = [(one[:_BEFORE_STREAM], one[HEAD_BYTES:]) for one in whole]
        self._blocks = Blocks()
        self._streams: dict[int, _Stream] = {}
        self._next = 1
        self._rest = b""
        self._greeted = False
        self._partial: tuple[int, int, bytearray] | None = None
        self._window = frames.FIRST_WINDOW
        self._stream_window = frames.FIRST_WINDOW
        self._most = frames.LAST_STREAM
        self._taken = 0
        self._waiting: deque[int] = deque()
        self._ended: list[Answer] = []
        self._control: dict[int, Callable[[int, int, bytes], None]] = {
            frames.RST_STREAM: self._reset,
            frames.SETTINGS: self._settings,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.PUSH_PROMISE: self._refused,
            frames.CONTINUATION: self._refused,
        }

    @property
    def room(self) -> int:
        """How many more calls may be started now."""
        if self.closing or self._next > frames.LAST_STREAM:
            return 0
        return self._most - len(self._streams)

    @property
    def under_way(self) -> int:
        """How many calls have not ended."""
        return len(self._streams)

    def call(self, tag: int, message: bytes, block: int = 0) -> int:
        """Start a call, which there must be `room` for, and return its stream.

        Args:
            tag: Comes back with the answer.
            message: The request with its gRPC head; see `framed`.
            block: Which of the header blocks it has.
        """
        number = self._next
        self._next += 2
        stream = self._streams[number] = _Stream(tag, self._stream_window)
        name = number.to_bytes(4, "big")
        out, size = self.out, len(message)
        before, after = self._heads[block]
        out += before + name + after
        if size <= min(LARGEST_FRAME, self._window, stream.window) and not self._waiting:
            self._window -= size
            out += HEAD.pack(0, size, frames.DATA, frames.END_STREAM, number) + message
            return number
        stream.unsent = memoryview(message)
        self._waiting.append(number)
        self._send_what_fits()
        return number

    def cancel(self, number: int) -> None:
        """Give a call up; nothing more is heard of it."""
        if self._streams.pop(number, None) is not None:
            self.out += frames.reset(number, frames.CANCEL)

    def lost(self, why: str) -> list[Answer]:
        """Return the calls that end, failed, because the connection is gone."""
        ended = [*self._ended, *(Answer(one.tag, why, b"") for one in self._streams.values())]
        self.closing = why
        self._streams.clear()
        self._ended = []
        return ended

    def receive(self, data: bytes) -> list[Answer]:
        """Take what arrived and return the calls that ended with it.

        Raises:
            ProtocolError: The peer broke a rule; the connection is of no more use.
        """
        if self._rest:
            data = self._rest + data
        if not self._greeted:
            self._greet(data)
        at, end = 0, len(data)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, number = HEAD.unpack_from(data, at)
            size = high << 16 | low
            if size > LARGEST_FRAME:
                raise frames.ProtocolError(f"a frame of {size} bytes")
            if end - at < HEAD_BYTES + size:
                break
            at += HEAD_BYTES
            payload = data[at : at + size]
            at += size
            if self._partial is not None:
                self._continued(kind, flags, number, payload)
            elif kind == frames.DATA:
                self._data(flags, number, payload)
            elif kind == frames.HEADERS:
                self._headers_frame(flags, number, payload)
            elif kind in self._control:
                self._control[kind](flags, number, payload)
        self._rest = data[at:]
        ended, self._ended = self._ended, []
        return ended

    def _greet(self, data: bytes) -> None:
        """Whoever speaks HTTP/2 begins with its settings (section 3.4)."""
        if len(data) >= HEAD_BYTES:
            self._greeted = HEAD.unpack_from(data)[2] == frames.SETTINGS
            if not self._greeted:
                raise frames.ProtocolError("the server does not speak it")

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        self._taken += len(payload)
        if self._taken > _GIVE_WINDOW_AT:
            self.out += frames.window_update(0, self._taken)
            self._taken = 0
        stream = self._streams.get(number)
        if stream is None:
            self._require_known(number)
            return
        if flags & frames.PADDED:
            payload = frames.unpadded(payload, flags & frames.PADDED)
        if not stream.body:
            stream.body = payload
        else:
            if isinstance(stream.body, bytes):
                stream.body = bytearray(stream.body)
            stream.body += payload
        if flags & frames.END_STREAM:
            self._end(number, (stream.fields or Fields()).failure)

    def _headers_frame(self, flags: int, number: int, payload: bytes) -> None:
        if flags & (frames.PADDED | frames.PRIORITISED):
            payload = frames.unpadded(payload, flags)
        if flags & frames.END_HEADERS:
            self._fields(flags, number, payload)
        else:
            self._partial = (number, flags, bytearray(payload))

    def _continued(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        assert self._partial is not None  # noqa: S101  (the caller looked)
        first, first_flags, block = self._partial
        block += payload
        if kind != frames.CONTINUATION or number != first or len(block) > _LONGEST_BLOCK:
            raise frames.ProtocolError("a header block is not continued as it must be")
        if flags & frames.END_HEADERS:
            self._partial = None
            self._fields(first_flags, number, bytes(block))

    def _fields(self, flags: int, number: int, block: bytes) -> None:
        fields = self._blocks.read(block)
        stream = self._streams.get(number)
        if stream is None:
            self._require_known(number)
        elif flags & frames.END_STREAM:
            if not fields.grpc and stream.fields is not None and stream.fields.failure:
                fields = stream.fields  # an HTTP error with trailers of its own
            self._end(number, fields.failure)
        elif not fields.http.startswith("1"):  # 1xx: the answer is still to come
            stream.fields = fields

    def _end(self, number: int, failure: str) -> None:
        stream = self._streams.pop(number)
        if stream.unsent is not None:
            self.out += frames.reset(number, frames.CANCEL)
        message = b""
        if not failure:
            failure, message = _message(bytes(stream.body), stream.fields)
        self._ended.append(Answer(stream.tag, failure, message))

    def _reset(self, _flags: int, number: int, payload: bytes) -> None:
        code = frames.word(payload)
        if number in self._streams:
            self._end(number, frames.error_name(code))

    def _settings(self, flags: int, _number: int, payload: bytes) -> None:
        if flags & frames.ACK:
            return
        said = frames.settings_in(payload)
        self._most = said.get(frames.MAX_CONCURRENT_STREAMS, self._most)
        wider = said.get(frames.INITIAL_WINDOW_SIZE, self._stream_window) - self._stream_window
        self._stream_window += wider
        for stream in self._streams.values():
            stream.window += wider
        self.out += frames.frame(frames.SETTINGS, frames.ACK, 0)
        self._send_what_fits()

    def _ping(self, flags: int, _number: int, payload: bytes) -> None:
        if not flags & frames.ACK:
            self.out += frames.frame(frames.PING, frames.ACK, 0, payload)

    def _goaway(self, _flags: int, _number: int, payload: bytes) -> None:
        last, code = frames.word(payload) & frames.LAST_STREAM, frames.word(payload, 4)
        self.closing = f"HTTP/2 GOAWAY {frames.error_name(code).removeprefix('HTTP/2 ')}"
        for number in [number for number in self._streams if number > last]:
            self._end(number, NOT_PROCESSED)

    def _window_update(self, _flags: int, number: int, payload: bytes) -> None:
        more = frames.word(payload) & LARGEST_WINDOW
        if number == 0:
            self._window += more
        elif number in self._streams:
            self._streams[number].window += more
        self._send_what_fits()

    def _refused(self, _flags: int, _number: int, _payload: bytes) -> None:
        raise frames.ProtocolError("a frame that answers nothing we asked")

    def _require_known(self, number: int) -> None:
        """A call that was given up may still be answered; one that was never made may not."""
        if not number % 2 or number >= self._next:
            raise frames.ProtocolError(f"an answer on stream {number}, which is not open")

    def _send_what_fits(self) -> None:
        """Send of the waiting requests what the peer's windows take."""
        for _ in range(len(self._waiting)):
            number = self._waiting.popleft()
            stream = self._streams.get(number)
            if stream is None or stream.unsent is None:
                continue
            self._send_part(number, stream)
            if stream.unsent is not None:
                self._waiting.append(number)

    def _send_part(self, number: int, stream: _Stream) -> None:
        while stream.unsent is not None and min(self._window, stream.window) > 0:
            part = stream.unsent[: min(LARGEST_FRAME, self._window, stream.window)]
            self._window -= len(part)
            stream.window -= len(part)
            last = len(part) == len(stream.unsent)
            flags = frames.END_STREAM if last else 0
            self.out += frames.frame(frames.DATA, flags, number, bytes(part))
            stream.unsent = None if last else stream.unsent[len(part) :]


def framed(message: bytes) -> bytes:
    """Return a serialised message with its gRPC head, as `Calls.call` takes it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _message(body: bytes, fields: Fields | None) -> tuple[str, bytes]:
    """Return why a body holds no whole message, or nothing and the message."""
    if fields is not None and fields.http not in {"", "200"}:
        return f"HTTP {fields.http}", b""
    size = int.from_bytes(body[1:MESSAGE_HEAD], "big")
    if len(body) != MESSAGE_HEAD + size:
        return "a reply of another length than it says", b""
    if body[0]:
        return "a compressed reply, which was not asked for", b""
    return "", body[MESSAGE_HEAD:]
