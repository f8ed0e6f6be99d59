"""How faults begin and end: context managers that Milvus's traffic goes on in.

Each gives a `Seen`, which is complete once it is over: it says how many of Milvus's requests met
the fault, since one that nothing met proves nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

from validation.errors import MeasurementError
from validation.s3.faults.script import Fault

if TYPE_CHECKING:  # these load a client of Milvus, which listing the faults does not need
    from validation.drill.bench import Bench
    from validation.drill.traffic import Traffic

_BACK_SECONDS = 60.0
_UNTIL_DISARMED = 3_600.0
_FORBIDDEN = 403
_REFUSED = range(400, 499)
"""499 is what MinIO notes of a client that went away: it refused nothing then."""
_EXPIRED = ("certificate expired", "bad certificate")
"""What TLS clients say of an expired certificate: OpenSSL the first, Go's the second as well."""


@dataclasses.dataclass
class Seen:
    """What a fault has to show for itself.

    Attributes:
        requests: How many of Milvus's requests met it.
        evidence: For a reader.
        armed: Whether it is the proxy that does it to requests, which can be told one by one.
        served: Which answers to searches of ``static``, as `Searches.wrong` has them, could come
            from an object damaged in the store; None if none was damaged.
        seamless_from: Since when no search or insert may fail, as `Traffic.count` had counted them
            then; None if some may.
    """

    requests: int = 0
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)
    armed: bool = False
    served: slice | None = None
    seamless_from: tuple[int, int] | None = None


Act: TypeAlias = "Callable[[Bench, Traffic], AbstractContextManager[Seen]]"
"""From the servers and the traffic."""


@contextlib.contextmanager
def quiet(bench: Bench, traffic: Traffic) -> Iterator[Seen]:
    """Let nothing go wrong."""
    script, seen = bench.proxy.script, Seen(seamless_from=traffic.count())
    before = script.answered.total()
    yield seen
    seen.requests = script.answered.total() - before


def scripted(*faults: Fault, stops: bool = False) -> Act:
    """Return the act of faults that the proxy injects.

    Args:
        faults: What it is told.
        stops: Whether it also lets no byte pass.
    """

    @contextlib.contextmanager
    def act(bench: Bench, _traffic: Traffic) -> Iterator[Seen]:
        script, seen = bench.proxy.script, Seen(armed=True)
        before, answered = script.injected.total(), script.answered.copy()
        script.arm(*faults)
        if stops:
            script.stop(_UNTIL_DISARMED)
        try:
            yield seen
        finally:
            script.disarm()
            seen.requests = script.injected.total() - before
            answers = script.answered - answered
            seen.evidence = {
                "answers_of_the_store": {str(status): n for status, n in answers.items()},
                "requests_refused_by_the_store": sum(answers[one] for one in _REFUSED),
            }

    return act


@contextlib.contextmanager
def expired_certificate(bench: Bench, _traffic: Traffic) -> Iterator[Seen]:
    """Present a certificate that has expired, and in the end a renewed one by the same CA."""
    certificates, proxy, seen = bench.own.certificates, bench.proxy, Seen()
    before = proxy.script.refused.copy()
    proxy.present(certificates.sign(expired=True))
    try:
        yield seen
    finally:
        proxy.present(certificates.sign())
        alerts = proxy.script.refused - before
        seen.requests = sum(alerts[one] for one in _EXPIRED)
        seen.evidence = {"handshakes_refused_by_milvus": dict(alerts)}


@contextlib.contextmanager
def removed_key(bench: Bench, _traffic: Traffic) -> Iterator[Seen]:
    """Remove Milvus's key from the store, and in the end put it back."""
    keys, key, script, seen = bench.own.keys, bench.own.key, bench.proxy.script, Seen()
    if key is None:
        raise MeasurementError("Milvus has no key of its own")
    before = script.answered[_FORBIDDEN]
    keys.remove(key)
    try:
        _require_refused(bench, refused=keys.refuses(key))
        yield seen
    finally:
        keys.restore(key)
        seen.requests = script.answered[_FORBIDDEN] - before
        seen.evidence = {"requests_refused_by_the_store": seen.requests}


@contextlib.contextmanager
def replaced_key(bench: Bench, traffic: Traffic) -> Iterator[Seen]:
    """Make a new key, restart Milvus with it, and remove the old one: nothing may fail after."""
    script, seen = bench.proxy.script, Seen()
    began = time.monotonic()
    old = bench.replace_key()
    traffic.await_good(time.monotonic(), seconds=_BACK_SECONDS)  # or the gates below turn red
    gap = time.monotonic() - began
    bench.own.keys.remove(old)
    _require_refused(bench, refused=bench.own.keys.refuses(old))
    before = script.answered.copy()
    seen.seamless_from = traffic.count()
    try:
        yield seen
    finally:
        answers = script.answered - before
        seen.requests = answers.total()
        seen.evidence = {
            "seconds_without_answers": round(gap, 2),
            "answers_to_the_new_key": {str(status): n for status, n in answers.items()},
        }


def _require_refused(bench: Bench, *, refused: bool) -> None:
    if not refused:
        raise MeasurementError(
            "the store still accepts a key that was removed", where=bench.proxy.endpoint
        )
