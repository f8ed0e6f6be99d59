"""What goes wrong between Milvus and its store in a drill."""

from __future__ import annotations

import dataclasses

from validation.errors import ConfigurationError
from validation.s3.faults.script import Fault, Kind

HOLD_SECONDS = 8.0
_GET, _PUT = frozenset({"GET"}), frozenset({"PUT"})
_DATA = "/(insert_log|stats_log|index_files)/"


@dataclasses.dataclass(frozen=True)
class Scripted:
    """One fault of the drill.

    Args:
        name: As in ``milvus-kit drill --fault NAME``.
        story: What goes wrong, in a reader's words.
        faults: What the proxy is told; nothing for a quiet time.
        stops: Whether no byte passes at all.
    """

    name: str
    story: str
    faults: tuple[Fault, ...] = ()
    stops: bool = False


FAULTS: dict[str, Scripted] = {
    one.name: one
    for one in (
        Scripted("none", "nothing goes wrong: what is red here is the drill's own doing"),
        Scripted(
            "slow-down",
            "every other request is answered 503 SlowDown",
            (Fault(Kind.SLOW_DOWN, every=2),),
        ),
        Scripted(
            "internal-error",
            "every other request is answered 500 InternalError",
            (Fault(Kind.INTERNAL_ERROR, every=2),),
        ),
        Scripted(
            "slow-first-byte",
            "every answer's first byte comes a second late",
            (Fault(Kind.DELAY, seconds=1.0),),
        ),
        Scripted(
            "reset",
            "every other download is reset in the middle of its body",
            (Fault(Kind.RESET, methods=_GET, every=2),),
        ),
        Scripted(
            "truncated",
            "every other download ends in the middle of its body",
            (Fault(Kind.TRUNCATE, methods=_GET, every=2),),
        ),
        Scripted(
            "stopped",
            f"no byte passes for {HOLD_SECONDS:g} seconds",
            # Delays nobody, and counts the requests that were caught by the stop.
            (Fault(Kind.DELAY, seconds=0.0),),
            stops=True,
        ),
        Scripted(
            "corrupted",
            "one bit is wrong in every object that is downloaded",
            (Fault(Kind.CORRUPT, methods=_GET, path=_DATA),),
        ),
        Scripted(
            "corrupted-upload",
            "one bit is wrong in every other object that is uploaded",
            (Fault(Kind.CORRUPT_UPLOAD, methods=_PUT, path=_DATA, every=2),),
        ),
        Scripted(
            "lost-answer",
            "every other upload is stored, and the connection is reset before that is said",
            (Fault(Kind.LOST_ANSWER, methods=_PUT, every=2),),
        ),
        Scripted(
            "revoked-key",
            "every request is answered 403 InvalidAccessKeyId, as while a key is replaced",
            (Fault(Kind.REVOKED_KEY),),
        ),
    )
}


def named(names: list[str]) -> list[Scripted]:
    """Return the faults of these names in the drill's order; all if none is named.

    Raises:
        ConfigurationError: There is no such fault.
    """
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise ConfigurationError(
            "there is no such fault",
            where="--fault",
            seen=unknown[0],
            remedy=f"use one of {', '.join(FAULTS)}",
        )
    return [one for one in FAULTS.values() if not names or one.name in names]
