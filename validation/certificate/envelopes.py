"""DSSE envelopes: statements with their signatures, one envelope a line.

The field ``keyid`` is a hint that implementations fill differently: securesystemslib hashes a key
one way and its Go twin another, and each passes over a signature whose id is not its own. It is
optional, so it is left empty here, and every verifier tries each key (``findings/dsse-keyid.sh``).
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError

from validation.certificate.signing import Envelope as Encoded
from validation.certificate.signing import Key, Signature, Signer
from validation.certificate.statements import canonical
from validation.common.files import plain_size, write_whole
from validation.errors import CertificateError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST_BYTES = 32 << 20
"""A certificate of a thousand gates takes about one MiB; what is larger is refused unread."""
MOST_LINES = 16
_ASK = "ask whoever sent it for the file that `milvus-kit certify` wrote"


@dataclasses.dataclass(frozen=True)
class Envelope:
    """A statement as it is signed.

    Args:
        payload: The statement's bytes.
        signatures: Over the payload in DSSE's encoding, without the names of keys.
    """

    payload: bytes
    signatures: tuple[bytes, ...] = ()

    def signed(self, signers: Sequence[Signer]) -> Envelope:
        """Return the envelope with a signature more of each signer."""
        made = [bytes.fromhex(one.sign(self._encoded()).signature) for one in signers]
        return dataclasses.replace(self, signatures=(*self.signatures, *made))

    def is_signed_by(self, key: Key) -> bool:
        """Return whether one of the signatures is this key's."""
        return any(self._fits(one, key) for one in self.signatures)

    def line(self) -> str:
        """Return the envelope as a line of JSON."""
        signatures = [{"keyid": "", "sig": _text(one)} for one in self.signatures]
        document = {"payload": _text(self.payload), "payloadType": PAYLOAD_TYPE}
        return json.dumps({**document, "signatures": signatures})

    def _encoded(self) -> bytes:
        return Encoded(self.payload, PAYLOAD_TYPE, {}).pae()

    def _fits(self, signature: bytes, key: Key) -> bool:
        try:
            key.verify_signature(Signature(key.keyid, signature.hex()), self._encoded())
        except UnverifiedSignatureError:
            return False
        return True


def write(envelopes: Sequence[Envelope], path: Path) -> Path:
    """Write a bundle, whole or not at all."""
    return write_whole(path, "".join(f"{envelope.line()}\n" for envelope in envelopes))


def read(path: Path) -> list[Envelope]:
    """Return the envelopes of a bundle; nothing is believed yet.

    Raises:
        CertificateError: It is none.
    """
    try:
        if plain_size(path) > LARGEST_BYTES:
            raise CertificateError(
                f"a certificate is no larger than {LARGEST_BYTES >> 20} MiB", where=str(path)
            )
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CertificateError(
            f"there is no certificate to read: {error.strerror}",
            where=str(path),
            remedy="`milvus-kit certify RUN` writes one",
        ) from None
    if not 0 < len(lines) <= MOST_LINES:
        raise CertificateError(
            f"a certificate has 1 to {MOST_LINES} lines", where=str(path), seen=len(lines)
        )
    return [_envelope(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _envelope(line: bytes, where: str) -> Envelope:
    try:
        found = json.loads(line)
        kind = found["payloadType"]
        signatures = tuple(_bytes(one["sig"]) for one in found["signatures"])
        envelope = Envelope(_bytes(found["payload"]), signatures)
    # Whatever a line may hold in place of an envelope: no JSON, too deep, no mapping, other fields.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CertificateError(
            f"this line is no DSSE envelope ({type(error).__name__})", where=where, remedy=_ASK
        ) from None
    if kind != PAYLOAD_TYPE:
        raise CertificateError("this envelope holds no in-toto statement", where=where, seen=kind)
    return envelope


def opened(envelope: Envelope, keys: Sequence[Key], *, where: str) -> dict[str, Any]:
    """Return the statement in an envelope that each of the keys, if any, has signed.

    Raises:
        CertificateError: A signature is missing or wrong, or it holds no statement.
    """
    for number, key in enumerate(keys, 1):
        if not envelope.is_signed_by(key):
            raise CertificateError(
                f"none of its {len(envelope.signatures)} signatures is that of key {number}",
                where=where,
                remedy="it was changed since, or signed by somebody else: check which public key"
                " is meant (--key, in order), or ask for the certificate again",
            )
    statement: Any = None
    try:
        statement = json.loads(envelope.payload)
        ours = isinstance(statement, dict) and canonical(statement) == envelope.payload
    # No JSON, or such as no statement has: NaN, half a surrogate pair, a depth without end.
    except (ValueError, RecursionError):
        ours = False
    if not ours:
        raise CertificateError("it holds no statement of this kit's", where=where, remedy=_ASK)
    return statement


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
