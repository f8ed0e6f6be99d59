"""The status in a Milvus reply, read from its bytes while the clock runs.

Every reply to a search, a query or a change of rows begins with it (field 1). Parsing the whole of
it belongs behind the clock; only "wait, and ask again" cannot wait that long.
"""

from __future__ import annotations

from validation.milvus.failures import RATE_LIMITED

_OLD_RATE_LIMITED = 49  # ``error_code``, which servers before 2.3 fill in
_STATUS_TAG, _OLD_CODE_TAG, _CODE_TAG = 0x0A, 0x08, 0x18
_VARINT, _BYTES = 0, 2


def rate_limited(reply: bytes) -> bool:
    """Whether a reply says that the server limits the rate: the request may be sent again."""
    if len(reply) < 2 or reply[0] != _STATUS_TAG or not reply[1]:  # noqa: PLR2004
        return False  # an empty status is success, which nearly all of them are
    size, at = _varint(reply, 1)
    end = min(at + size, len(reply))
    while at < end:
        tag, at = _varint(reply, at)
        if tag & 7 not in {_VARINT, _BYTES}:
            return False
        value, at = _varint(reply, at)
        if (tag, value) in {(_CODE_TAG, RATE_LIMITED), (_OLD_CODE_TAG, _OLD_RATE_LIMITED)}:
            return True
        if tag & 7 == _BYTES:
            at += value
    return False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            break
        shift += 7
    return value, at
