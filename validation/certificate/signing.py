"""What of securesystemslib a certificate needs, without the clouds' clients that it loads beside.

It loads every one that is installed, which takes as long as all the rest of `milvus-kit verify`;
what it does not find it leaves out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLOUDS = ("boto3",)


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let modules that are not loaded yet count as not installed, for as long as the block runs."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:  # None stands for no such module
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _without(_CLOUDS):
    from securesystemslib import dsse as _dsse
    from securesystemslib import signer as _signer

Envelope = _dsse.Envelope
# The library re-exports these on purpose, without the marker that pyright looks for.
CryptoSigner = _signer.CryptoSigner  # pyright: ignore[reportPrivateImportUsage]
HSMSigner = _signer.HSMSigner  # pyright: ignore[reportPrivateImportUsage]
Key = _signer.Key  # pyright: ignore[reportPrivateImportUsage]
SSlibKey = _signer.SSlibKey  # pyright: ignore[reportPrivateImportUsage]
Signature = _signer.Signature  # pyright: ignore[reportPrivateImportUsage]
Signer = _signer.Signer  # pyright: ignore[reportPrivateImportUsage]
