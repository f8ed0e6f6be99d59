"""How MinIO's admin API expects a request body that holds a secret to be encrypted.

The layout is salt (32 bytes) | algorithm (1) | nonce (8) | sealed data, with a key derived from
the caller's own secret key by Argon2id (one pass, 64 MiB, four lanes) and AES-256-GCM in the
framing of secure-io/sio: chunk n has the nonce ``nonce | n`` and, as associated data, a byte that
marks the last chunk and the tag of an empty chunk 0. Source: madmin-go v3, encrypt.go.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_ARGON2ID_AES_GCM = b"\x00"
_LAST = b"\x80"
_CHUNK = 1 << 14


def encrypted(secret_key: str, data: bytes) -> bytes:
    """Return data as the admin API wants it.

    Args:
        secret_key: Secret key of whoever signs the request.
        data: At most one chunk (16 KiB): a user's entry is far smaller.
    """
    if len(data) > _CHUNK:
        raise ValueError("more than one chunk of data")
    salt, nonce = os.urandom(32), os.urandom(8)
    derive = Argon2id(salt=salt, length=32, iterations=1, lanes=4, memory_cost=64 * 1024)
    cipher = AESGCM(derive.derive(secret_key.encode()))
    tag = cipher.encrypt(nonce + (0).to_bytes(4, "little"), b"", None)
    sealed = cipher.encrypt(nonce + (1).to_bytes(4, "little"), data, _LAST + tag)
    return salt + _ARGON2ID_AES_GCM + nonce + sealed
