"""The keys of a certificate: from a file, an environment variable, or a PKCS#11 token.

``openssl genpkey -algorithm ed25519 -out vendor.pem`` makes one, and
``openssl pkey -in vendor.pem -pubout -out vendor.pub.pem`` what a verifier needs.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from validation.certificate.signing import CryptoSigner, HSMSigner, Key, Signature, Signer, SSlibKey
from validation.errors import ConfigurationError, MissingToolError

PASSPHRASE = "MILVUS_KIT_KEY_PASSPHRASE"  # noqa: S105  (the variable's name)
PIN = "MILVUS_KIT_PKCS11_PIN"
LIBRARY = "PYKCS11LIB"
"""The token's library; securesystemslib reads this variable, whose name is another package's."""
_ENVIRONMENT, _TOKEN = "env:", "hsm:"
_MAKE = "make one with `openssl genpkey -algorithm ed25519 -out vendor.pem`"


def signer(given: str) -> Signer:
    """Return what signs with a key.

    Args:
        given: A PEM file (ed25519, PKCS#8), ``env:NAME`` of a variable that holds the same, or
            ``hsm:KEYID?label=TOKEN`` of a PKCS#11 token, which holds an ECDSA key.

    Raises:
        ConfigurationError: There is no such key, or it is none that signs.
        MissingToolError: PKCS#11 is asked for and not installed.
    """
    if given.startswith(_TOKEN):
        return _on_token(given)
    pem = _from_environment(given) if given.startswith(_ENVIRONMENT) else _read(Path(given))
    passphrase = os.environ.get(PASSPHRASE)
    try:
        key = load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError:  # a passphrase is missing, or is given for a key that has none
        said = "is encrypted" if passphrase is None else "has no passphrase, and one is given"
        raise _refused(given, f"this key {said}", f"set or unset {PASSPHRASE}") from None
    except ValueError:
        raise _refused(given, "this is no private key in PEM, or not its passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _refused(given, f"the key is {type(key).__name__.removesuffix('PrivateKey')}")
    return CryptoSigner(key)


def public(path: Path) -> Key:
    """Return a public key from a PEM file.

    Raises:
        ConfigurationError: There is none in it.
    """
    pem = _read(path)
    try:
        key = load_pem_public_key(pem)
        found = SSlibKey.from_crypto(key)
    except ValueError:
        remedy = f"`openssl pkey -in {path} -pubout` makes one of a private key"
        raise _refused(str(path), "this is no public key in PEM", remedy) from None
    if not isinstance(key, Ed25519PublicKey) and found.keytype != "ecdsa":
        raise _refused(str(path), f"a certificate is not signed with {found.keytype} keys")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _refused(str(path), f"the key cannot be read: {error.strerror}") from None


def _from_environment(given: str) -> bytes:
    variable = given.removeprefix(_ENVIRONMENT)
    found = os.environ.get(variable, "")
    if not found:
        raise _refused(given, f"environment variable {variable} is not set")
    return found.encode()


def _on_token(given: str) -> Signer:
    key_id, _, query = given.removeprefix(_TOKEN).partition("?")
    label = query.removeprefix("label=")
    if not key_id.isdigit() or not query.startswith("label=") or not label:
        remedy = "name it hsm:KEYID?label=TOKEN, such as hsm:2?label=acceptance"
        raise _refused(given, "this names no key on a token", remedy)
    try:
        from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingToolError(
            "PKCS#11 is not installed here",
            where=given,
            remedy="pip install 'milvus-kit[pkcs11]'",
        ) from None
    for variable, what in ((LIBRARY, "library, such as libsofthsm2.so"), (PIN, "PIN")):
        if not os.environ.get(variable):
            raise _refused(given, f"{variable} is not set", f"set it to the token's {what}")
    try:
        _, key = HSMSigner.import_(int(key_id), label, _pin)
        return _OnToken(int(key_id), key, _pin, label)
    except (PKCS11Error, ValueError, RuntimeError) as error:
        raise _not_given(given, error) from None


class _OnToken(HSMSigner):
    """A key on a token, whose refusal is an error of ours."""

    def sign(self, payload: bytes) -> Signature:
        """Return the signature of a key that never leaves its token."""
        from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415  (an extra)

        try:
            return super().sign(payload)
        except (PKCS11Error, ValueError, RuntimeError) as error:
            raise _not_given(f"{_TOKEN}{self.hsm_keyid}?label={self.token_label}", error) from None


def _pin(_: str) -> str:
    return os.environ.get(PIN, "")


def _not_given(given: str, error: Exception) -> ConfigurationError:
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return _refused(
        given,
        f"the token does not give this key ({said})",
        f"check KEYID, label, {LIBRARY} (the token's library) and {PIN}; the key must be an EC key,"
        " P-256 or P-384",
    )


def _refused(where: str, what: str, remedy: str = _MAKE) -> ConfigurationError:
    return ConfigurationError(what, where=where, remedy=remedy)
