"""Frames of HTTP/2 (RFC 9113) as bytes."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">BHBBL")
"""Of a frame: its length in 8 + 16 bits, type, flags, stream."""
HEAD_BYTES = 9
LARGEST_FRAME = 16_384
"""What every peer takes, and what we take (section 4.2)."""
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
"""Of a connection, and of a stream whose peer says nothing else (section 6.9.2)."""
LAST_STREAM = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9

END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITISED = 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5

REFUSED_STREAM, CANCEL = 7, 8
_ERRORS = dict(
    enumerate(
        (
            *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR"),
            *("SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL"),
            *("COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY"),
            "HTTP_1_1_REQUIRED",
        )
    )
)

_SETTING = struct.Struct(">HL")
_WORD = struct.Struct(">L")


class ProtocolError(Exception):
    """The peer broke a rule of HTTP/2, or does something that no answer to a unary call needs."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def settings_in(payload: bytes) -> dict[int, int]:
    """Return the settings of a SETTINGS frame's payload."""
    if len(payload) % _SETTING.size:
        raise ProtocolError("a SETTINGS frame is cut short")
    return dict(_SETTING.iter_unpack(payload))


def window_update(stream: int, more: int) -> bytes:
    """Return a WINDOW_UPDATE frame: the peer may send that many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(more))


def reset(stream: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def word(payload: bytes, at: int = 0) -> int:
    """Return the 32-bit number at a place of a payload."""
    if len(payload) < at + _WORD.size:
        raise ProtocolError("a frame is cut short")
    return _WORD.unpack_from(payload, at)[0]


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return the payload of a DATA or HEADERS frame without padding and priority."""
    end = len(payload)
    at = 0
    if flags & PADDED:
        if not payload:
            raise ProtocolError("a padded frame is empty")
        at, end = 1, end - payload[0]
    if flags & PRIORITISED:
        at += 5
    if at > end:
        raise ProtocolError("a frame's padding is longer than the frame")
    return payload[at:end]


def error_name(code: int) -> str:
    """Return an error code as HTTP/2 calls it, e.g. ``HTTP/2 REFUSED_STREAM``."""
    return f"HTTP/2 {_ERRORS.get(code, f'error {code}')}"
