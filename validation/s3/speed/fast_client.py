"""The fast client of a store: obstore (Rust), so that Python is not what is measured.

Bodies read are dropped piece by piece, and all requests write the same body, so memory is bounded:
by `PART` for each request that reads, and by that one body for those that write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import S3Store

from validation.errors import UnsupportedError
from validation.s3.client.endpoint import ca_file_of, client_certificate_of, endpoint_of, keys_of
from validation.target import Storage

PART = 8 << 20
"""Bytes of memory that a request may take which reads, however large its object is."""
PIECE = 256 << 10
"""Bytes of a body that are collected before they are dropped.

A connection's buffers bring up to 400 KiB each, so nothing has to be joined for this: a joined
piece is there twice for a moment, and the allocator keeps for each thread what was freed.
"""
_READERS = ThreadPoolExecutor(128, "body")
"""Read the bodies, each in a thread of its own, so that the loop is woken once a body.

Measured for 8 MiB at 16: 4.0 ms of CPU a body, and 45 MiB in all. Where the loop awaits every piece
it is 6.8 ms and 108 MiB, where it awaits bodies as a whole 4.8 ms and 220 MiB.
"""


def fast_store(storage: Storage) -> S3Store:
    """Return an obstore client of a store, which retries nothing by itself.

    It talks to the same place with the same identity as `client.connect` does: of the environment,
    from which obstore would take proxies, endpoints, tokens and more, it sees nothing.

    Raises:
        UnsupportedError: The store wants a client certificate.
    """
    if client_certificate_of(storage) is not None:
        raise UnsupportedError(
            "the fast client cannot show a client certificate",
            where="storage.tls.client_certificate_file",
            remedy="measure through an endpoint of the store that wants none",
        )
    keys = keys_of(storage)
    with _environment(storage):
        return S3Store(
            storage.bucket,
            endpoint=storage.endpoint,
            region=storage.region,
            access_key_id=keys.access,
            secret_access_key=keys.secret,
            virtual_hosted_style_request=storage.addressing == "virtual",
            disable_bulk_delete=True,  # Milvus deletes object by object, too
            client_options={
                "allow_http": not endpoint_of(storage).tls,
                "timeout": "120s",
                "connect_timeout": "5s",
            },
            retry_config={"max_retries": 0},
        )


@contextlib.contextmanager
def _environment(storage: Storage) -> Iterator[None]:
    """Let the Rust client see a private CA and nothing else, in the environment it is made in.

    It reads SSL_CERT_FILE, and would obey AWS_* before what it is told here, and *_PROXY.
    """
    before = dict(os.environ)
    for name in before:
        if name.upper().startswith("AWS_") or name.upper().endswith("_PROXY"):
            del os.environ[name]
    ca_file = ca_file_of(storage)
    if ca_file is not None:
        os.environ["SSL_CERT_FILE"] = str(ca_file)
    try:
        yield
    finally:
        if ca_file is not None:
            del os.environ["SSL_CERT_FILE"]
        os.environ.update(before)


def error_code(error: Exception) -> str:
    """Return a short code of an obstore error: the HTTP status, or the kind."""
    text = str(error)
    found = re.search(r"status(?: code)?:? (\d{3})|HTTP (\d{3})|error (\d{3})", text, re.IGNORECASE)
    if found:
        return next(group for group in found.groups() if group)
    if "timed out" in text.lower():
        return "timeout"
    return type(error).__name__


async def _put(store: S3Store, key: str, body: bytearray, _: int) -> float:
    await obstore.put_async(store, key, body, use_multipart=False)
    return time.perf_counter()


async def _get(store: S3Store, key: str, _: bytearray, size: int) -> float:
    answer = await obstore.get_async(store, key)
    first = time.perf_counter()
    if size <= PIECE:
        read = len(await answer.bytes_async())
    else:
        loop, pieces = asyncio.get_running_loop(), answer.stream(min_chunk_size=PIECE)
        read = await loop.run_in_executor(_READERS, _length, pieces)
    if read != size:
        raise ValueError(f"read {read} bytes instead of {size}")
    return first


def _length(pieces: Iterable[Sized]) -> int:
    return sum(map(len, pieces))


async def compared(store: S3Store, key: str, body: bytearray) -> bool:
    """Read an object and return whether it is a body, byte for byte."""
    answer, at = await obstore.get_async(store, key), 0
    whole = memoryview(body)
    async for piece in answer.stream(min_chunk_size=PIECE):
        if memoryview(piece) != whole[at : at + len(piece)]:
            return False
        at += len(piece)
    return at == len(body)


async def _head(store: S3Store, key: str, _: bytearray, __: int) -> float:
    await obstore.head_async(store, key)
    return time.perf_counter()


async def _list(store: S3Store, prefix: str, _: bytearray, __: int) -> float:
    await obstore.list_with_delimiter_async(store, prefix)
    return time.perf_counter()


async def _delete(store: S3Store, key: str, _: bytearray, __: int) -> float:
    await obstore.delete_async(store, key)
    return time.perf_counter()


Call = Callable[[S3Store, str, bytearray, int], Awaitable[float]]
CALLS: dict[str, Call] = {"PUT": _put, "GET": _get, "HEAD": _head, "LIST": _list, "DELETE": _delete}
"""Each operation: sends it to a store and returns when the answer's head was there.

They take a key (a prefix for LIST), the body that PUT writes, and the size that GET has to find.
"""
