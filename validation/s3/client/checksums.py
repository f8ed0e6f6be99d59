"""The checksums S3 knows, as the base64 text of their header.

CRC-32C and CRC-64/NVME are computed here from their polynomials (reflected, as in the CRC
catalogue's CRC-32/ISCSI and CRC-64/NVME): bodies of checks are small, so a table is fast enough.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from collections.abc import Callable

_CRC32C = (0x82F63B78, 32)
_CRC64NVME = (0x9A6C9329AC4BC9B5, 64)


@functools.cache
def _table(polynomial: int) -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        return value

    return tuple(entry(value) for value in range(256))


def _crc(data: bytes, polynomial: int, bits: int) -> bytes:
    table, mask = _table(polynomial), (1 << bits) - 1
    value = mask
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return (value ^ mask).to_bytes(bits // 8, "big")


_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: _crc(data, *_CRC32C),
    "crc64nvme": lambda data: _crc(data, *_CRC64NVME),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}

ALGORITHMS = tuple(_DIGESTS)


def checksum(algorithm: str, data: bytes) -> str:
    """Return the value of ``x-amz-checksum-ALGORITHM`` for a body."""
    return base64.b64encode(_DIGESTS[algorithm](data)).decode()


def content_md5(data: bytes) -> str:
    """Return the value of ``Content-MD5`` for a body."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
