"""Which certificates end a chain, for every client of the kit."""

from __future__ import annotations

import ssl


def accept_issuers(context: ssl.SSLContext) -> None:
    """Let a CA that is trusted end a chain, whoever signed it.

    Milvus's clients do, the one in Go by itself and the one in C++ by libcurl, and so does gRPC;
    Python only from 3.13 on.
    """
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
