"""Which exchanges meet which fault, and what was done to them."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from validation.milvus.wire import status_code
from validation.selftest.wire.fault import Exchange, WireFault

SERVICE = "/milvus.proto.milvus.MilvusService/"


@dataclasses.dataclass
class Struck:
    """What was done.

    Args:
        times: How many exchanges each fault changed, or held back.
        failed: What a fault itself could not do, by what it raised: then nothing was changed, and
            what came of it proves nothing.
    """

    times: Counter[str] = dataclasses.field(default_factory=Counter)
    failed: Counter[str] = dataclasses.field(default_factory=Counter)


class Script:
    """The faults that are armed now, in the order in which they are done.

    Args:
        faults: They stay as they are: to change them is to make another script.
    """

    def __init__(self, faults: Sequence[WireFault] = ()) -> None:
        self.struck = Struck()
        self._faults = tuple(faults)
        self._seen = [0] * len(self._faults)

    def begin(self, path: str, request: bytes) -> Meeting | None:
        """Return what a call meets; None, without a look into it, where no fault is about it."""
        method = path.removeprefix(SERVICE)
        concerned = [at for at, fault in enumerate(self._faults) if method in fault.methods]
        if not concerned:
            return None
        message = messages(method)[0].FromString(request)
        meeting = [self._faults[at] for at in concerned if self._meets(at, message)]
        if not meeting:
            return None
        return Meeting(self.struck, method, message, request, meeting)

    def _meets(self, at: int, request: Any) -> bool:
        fault = self._faults[at]
        try:
            if fault.when is not None and not fault.when(request):
                return False
        except Exception as error:  # noqa: BLE001  (whatever it is, the call goes on)
            self.struck.failed[f"{fault.name}: {error!r}"] += 1
            return False
        self._seen[at] += 1
        return self._seen[at] % fault.every == 0


class Meeting:
    """A call and the faults that it meets.

    Args:
        struck: Where it is noted.
        method: The method's name.
        message: The request.
        request: The same as it came.
        faults: What is done to it.
    """

    def __init__(
        self,
        struck: Struck,
        method: str,
        message: Any,
        request: bytes,
        faults: Iterable[WireFault],
    ) -> None:
        self._struck = struck
        self._faults = tuple(faults)
        self._request = request
        changed = type(message)()
        changed.CopyFrom(message)
        self._exchange = Exchange(method, message, changed)

    def held(self) -> float:
        """Return for how long the reply, which has come, is held back."""
        seconds = 0.0
        for fault in self._faults:
            held = fault.held()
            self._struck.times[fault.name] += held > 0
            seconds += held
        return seconds

    def asked(self) -> bytes:
        """Return the request that goes to the server."""
        done = [self._strike(fault, "ask") for fault in self._faults]
        return self._exchange.request.SerializeToString() if any(done) else self._request

    def answered(self, reply: bytes) -> bytes:
        """Return the reply that goes to the client."""
        if all(fault.answer is None for fault in self._faults):
            return reply
        self._exchange.reply = message = messages(self._exchange.method)[1].FromString(reply)
        if status_code(getattr(message, "status", message)):
            return reply
        done = [self._strike(fault, "answer") for fault in self._faults]
        return message.SerializeToString() if any(done) else reply

    def _strike(self, fault: WireFault, what: str) -> bool:
        strike = getattr(fault, what)
        if strike is None:
            return False
        try:
            done = strike(self._exchange)
        except Exception as error:  # noqa: BLE001  (whatever it is, the call goes on)
            self._struck.failed[f"{fault.name}: {error!r}"] += 1
            return False
        # A fault that changes request and reply is one fault of one exchange.
        self._struck.times[fault.name] += done and not (what == "answer" and fault.ask)
        return done


@functools.cache
def messages(method: str) -> tuple[Any, Any]:
    """Return the classes of a method's request and reply."""
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415  (with pymilvus)

    found = service().methods_by_name[method]
    return GetMessageClass(found.input_type), GetMessageClass(found.output_type)


@functools.cache
def service() -> Any:
    """Return the description of Milvus's service."""
    from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

    return milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]


class Shape(Enum):
    """How many messages a method takes and gives."""

    UNARY = "one request, one reply"
    STREAM = "one request, any number of replies"
    CONVERSATION = "any number of each"


@functools.cache
def shape_of(path: str) -> Shape:
    """Return the shape of a method.

    Another service's is taken for a stream of replies: on the wire, one is no different from that.
    """
    found = service().methods_by_name.get(path.removeprefix(SERVICE))
    if found is None:
        return Shape.STREAM
    if found.client_streaming:
        return Shape.CONVERSATION
    return Shape.STREAM if found.server_streaming else Shape.UNARY
