"""Replace Milvus's well-known root password; runs in a Job, in the kit's image.

The new password comes from the environment and appears in no argument, message or log.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc
from pymilvus import MilvusClient, MilvusException

from validation.common.proxies import GRPC_OPTIONS

WELL_KNOWN = "Milvus"
VARIABLE = "MILVUS_ROOT_PASSWORD"
TIMEOUT_SECONDS = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 once root has the new password, and the well-known one is refused.

    A server that does not answer yet is no mistake: the Job is tried again.
    """
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs what it also raises
    options = _options(arguments)
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return _say(f"{VARIABLE} is not set", code=2)
    address = urlsplit(options.uri)
    try:
        # pymilvus waits for minutes where nobody listens; the Job tries again by itself.
        socket.create_connection((address.hostname or "", address.port or 19530), 10).close()
        return _change(options, wanted)
    except (MilvusException, grpc.RpcError, OSError) as error:
        return _say(f"{options.uri}: {type(error).__name__}: {error}", code=1)


def _change(options: argparse.Namespace, wanted: str) -> int:
    if _works(options, wanted):
        return _say("root has its own password already")
    if not _works(options, WELL_KNOWN):
        return _say("root has neither the wanted password nor the well-known one", code=1)
    client = _client(options, WELL_KNOWN)
    client.update_password("root", WELL_KNOWN, wanted)
    if not _works(options, wanted) or _works(options, WELL_KNOWN):
        return _say("the password was changed, and the change has no effect yet", code=1)
    return _say("root has its own password now")


def _works(options: argparse.Namespace, password: str) -> bool:
    """Tell whether root may list users with this password.

    Raises:
        MilvusException: Milvus refuses for another reason, or does not answer.
    """
    try:
        _client(options, password).list_users()
    except (MilvusException, grpc.RpcError) as error:
        if _refused(error):
            return False
        raise
    return True


def _refused(error: BaseException | None) -> bool:
    """Tell whether the server refused the password, which pymilvus reports as "fail connecting"."""
    while error is not None:
        code = error.code() if isinstance(error, grpc.Call) else None
        if code == grpc.StatusCode.UNAUTHENTICATED or "auth check failure" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _client(options: argparse.Namespace, password: str) -> Any:
    tls: dict[str, Any] = {}
    if options.ca and not options.certificate:
        tls["server_pem_path"] = options.ca
    elif options.ca:
        tls |= {
            "ca_pem_path": options.ca,
            "client_pem_path": options.certificate,
            "client_key_path": options.key,
        }
    return MilvusClient(
        uri=options.uri,
        user="root",
        password=password,
        timeout=TIMEOUT_SECONDS,
        secure=options.uri.startswith("https://"),
        grpc_options=GRPC_OPTIONS,
        **tls,
    )


def _say(text: str, *, code: int = 0) -> int:
    print(text, file=sys.stderr if code else sys.stdout)
    return code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="root_password_change", description=__doc__)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--ca", help="file with the private CA")
    parser.add_argument("--certificate", help="client certificate, for mutual TLS")
    parser.add_argument("--key", help="its key")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
