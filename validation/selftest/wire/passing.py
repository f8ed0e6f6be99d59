"""The proxy's process: every call is passed on as it comes, unless a fault is armed for it.

It is a process of its own so that nothing of it counts as the client's: neither its processor time
nor its turns at the interpreter's lock. Protocol: the upstream's address, pickled, on standard
input; the port to connect to on standard output. Then scripts come in, each answered by what was
done of the one before. The end of standard input is the end of the process.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import pickle
import struct
import sys
import types
from typing import IO, Any

import grpc

from validation.selftest.wire.script import Script, Shape, service, shape_of

PORT = struct.Struct("<I")

_SIZES = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
# A client may ask for signs of life as often as the server behind lets it.
_SERVER = [
    *_SIZES,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1),
    ("grpc.http2.max_ping_strikes", 0),
]
# A server that comes back is there at once, as it is for a client that connects anew.
_CHANNEL = [
    *_SIZES,
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 50),
]
_SET_BY_THE_LIBRARY = {"user-agent"}
"""Headers that a gRPC library writes itself, whatever it is given: the server sees the proxy's."""


class Passing(grpc.GenericRpcHandler):
    """Serves every method there is by asking the server behind.

    Args:
        channel: To that server.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.script = Script()
        self._ask = functools.cache(channel.unary_unary)
        self._ask_for_several = functools.cache(channel.unary_stream)
        self._converse = functools.cache(channel.stream_stream)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return what serves a call. Bytes go through: there are no serialisers."""
        path = handler_call_details.method
        shape = shape_of(path)
        if shape is Shape.UNARY:
            return grpc.unary_unary_rpc_method_handler(functools.partial(self._unary, path))
        if shape is Shape.CONVERSATION:
            call = self._converse(path)
            return grpc.stream_stream_rpc_method_handler(functools.partial(_several, call))
        call = self._ask_for_several(path)
        return grpc.unary_stream_rpc_method_handler(functools.partial(_several, call))

    async def _unary(self, path: str, request: bytes, context: Any) -> bytes | None:
        meeting = self.script.begin(path, request)
        call = self._ask(path)(
            meeting.asked() if meeting else request, **_limits(context), **_headers(context)
        )
        try:
            await _send_headers(call, context)
            reply = await call
        except grpc.aio.AioRpcError as error:
            return await _fail(error, context)
        finally:
            call.cancel()  # if the client went away; nothing where it is done
        context.set_trailing_metadata(tuple(await call.trailing_metadata()))
        if meeting is None:
            return reply
        held = meeting.held()
        if held:
            await asyncio.sleep(held)
        return meeting.answered(reply)


async def _several(ask: Any, asked: Any, context: Any) -> None:
    """Pass on a call with a stream of replies, and of requests if it is asked with one."""
    call = ask(asked, **_limits(context), **_headers(context))
    try:
        await _send_headers(call, context)
        async for reply in call:
            await context.write(reply)
    except grpc.aio.AioRpcError as error:
        await _fail(error, context)
    finally:
        call.cancel()
    context.set_trailing_metadata(tuple(await call.trailing_metadata()))


def _limits(context: Any) -> dict[str, Any]:
    left = context.time_remaining()
    return {"timeout": None if left is None else max(0.0, left)}


def _headers(context: Any) -> dict[str, Any]:
    given = context.invocation_metadata() or ()
    return {"metadata": tuple(one for one in given if one[0] not in _SET_BY_THE_LIBRARY)}


async def _send_headers(call: Any, context: Any) -> None:
    headers = await call.initial_metadata()
    if headers:
        await context.send_initial_metadata(tuple(headers))


async def _fail(error: grpc.aio.AioRpcError, context: Any) -> None:
    await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))


async def serve(upstream: str, source: IO[bytes], sink: IO[bytes]) -> None:
    """Pass calls on until the source of scripts ends.

    Args:
        upstream: ``host:port`` of the server behind.
        source: Where scripts come from, pickled.
        sink: Where the port goes, and then what was done of each script, pickled.
    """
    service()  # imported now, so that no call waits for it
    async with grpc.aio.insecure_channel(upstream, _CHANNEL) as channel:
        passing = Passing(channel)
        server = grpc.aio.server(options=_SERVER)
        server.add_generic_rpc_handlers((passing,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sink.write(PORT.pack(port))
        sink.flush()
        while True:
            try:
                script = await asyncio.to_thread(pickle.load, source)
            except EOFError:
                break
            struck, passing.script = passing.script.struck, script
            pickle.dump(struck, sink)
            sink.flush()
        await server.stop(None)


def main() -> None:
    """Serve what standard input says."""
    _leave_out_pymilvus()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    upstream = pickle.load(source)  # noqa: S301  (from the process that started this one)
    asyncio.run(serve(upstream, source, sink))


def _leave_out_pymilvus() -> None:
    """Let its messages be imported without the client around them, which takes two seconds."""
    found = importlib.util.find_spec("pymilvus")
    if found is not None:
        package = types.ModuleType("pymilvus")
        package.__path__ = list(found.submodule_search_locations or ())
        sys.modules["pymilvus"] = package
