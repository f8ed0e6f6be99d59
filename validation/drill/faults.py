"""What goes wrong between Milvus and its store in a drill."""

from __future__ import annotations

import dataclasses

from validation.common.naming import require_known
from validation.drill.acts import (
    Act,
    expired_certificate,
    quiet,
    removed_key,
    replaced_key,
    scripted,
)
from validation.drill.damage import damaged_object
from validation.errors import ConfigurationError
from validation.s3.faults.script import Fault, Kind

HOLD_SECONDS = 8.0
_STALL_SECONDS = 12.0
"""Longer than Milvus waits for an answer (``minio.requestTimeoutMs``: 10 s)."""
NOTHING = "none"
"""The fault that is none: the control of a drill."""
_GET, _PUT = frozenset({"GET"}), frozenset({"PUT"})
_DATA = "/(insert_log|stats_log|index_files)/"


@dataclasses.dataclass(frozen=True)
class Scripted:
    """One fault of the drill.

    Args:
        name: As in ``milvus-kit drill --fault NAME``.
        story: What goes wrong, in a reader's words.
        act: Lets it begin and end.
        own_access: Whether Milvus has to reach its store by TLS with a key of its own.
        reads: Whether it meets what Milvus reads, so that ``static`` must have been read meanwhile.
            With an expired certificate no request comes to be told apart, read or write.
    """

    name: str
    story: str
    act: Act
    own_access: bool = False
    reads: bool = True


FAULTS: dict[str, Scripted] = {
    one.name: one
    for one in (
        Scripted(NOTHING, "nothing goes wrong: what is red here is the drill's own doing", quiet),
        Scripted(
            "slow-down",
            "every other request is answered 503 SlowDown",
            scripted(Fault(Kind.SLOW_DOWN, every=2)),
        ),
        Scripted(
            "internal-error",
            "every other request is answered 500 InternalError",
            scripted(Fault(Kind.INTERNAL_ERROR, every=2)),
        ),
        Scripted(
            "slow-first-byte",
            "every answer's first byte comes a second late",
            scripted(Fault(Kind.DELAY, seconds=1.0)),
        ),
        Scripted(
            "reset",
            "every other download is reset in the middle of its body",
            scripted(Fault(Kind.RESET, methods=_GET, path=_DATA, every=2)),
        ),
        Scripted(
            "truncated",
            "every other download ends in the middle of its body",
            scripted(Fault(Kind.TRUNCATE, methods=_GET, path=_DATA, every=2)),
        ),
        Scripted(
            "stopped",
            f"no byte passes for {HOLD_SECONDS:g} seconds",
            # Delays nobody, and counts the requests that were caught by the stop.
            scripted(Fault(Kind.DELAY, seconds=0.0), stops=True),
        ),
        Scripted(
            "corrupted",
            "one bit is wrong in every object that is downloaded",
            scripted(Fault(Kind.CORRUPT, methods=_GET, path=_DATA)),
        ),
        Scripted(
            "corrupted-upload",
            "one bit is wrong in every other upload, which the store has to refuse",
            scripted(Fault(Kind.CORRUPT_UPLOAD, methods=_PUT, path=_DATA, every=2)),
            reads=False,
        ),
        Scripted(
            "stalled-upload",
            f"every other upload stops for {_STALL_SECONDS:g} seconds in the middle of its body",
            scripted(
                Fault(
                    Kind.STALLED_UPLOAD, methods=_PUT, path=_DATA, every=2, seconds=_STALL_SECONDS
                )
            ),
            reads=False,
        ),
        Scripted(
            "damaged-object",
            "one bit of an index file is changed in the store, and put right after that",
            damaged_object,
        ),
        Scripted(
            "lost-answer",
            "every other upload is stored, and the connection is reset before that is said",
            scripted(Fault(Kind.LOST_ANSWER, methods=_PUT, every=2)),
            reads=False,
        ),
        Scripted(
            "expired-certificate",
            "the store's certificate has expired, and is renewed after that",
            expired_certificate,
            own_access=True,
            reads=False,
        ),
        Scripted(
            "removed-key",
            "Milvus's key is removed from the store, and put back after that",
            removed_key,
            own_access=True,
        ),
        Scripted(
            "replaced-key",
            "Milvus is restarted with a new key, and the old one is removed from the store",
            replaced_key,
            own_access=True,
        ),
    )
}


def named(names: list[str]) -> list[Scripted]:
    """Return the faults of these names in the drill's order; all if none is named.

    Raises:
        ConfigurationError: There is no such fault, or none that does anything.
    """
    require_known(names, FAULTS, what="fault", option="--fault")
    if set(names) == {NOTHING}:
        raise ConfigurationError(
            "a drill in which nothing goes wrong proves nothing, so it could not pass",
            where="--fault",
            seen=NOTHING,
            remedy=f"name another fault besides it, such as --fault {NOTHING} --fault reset",
        )
    return [one for one in FAULTS.values() if not names or one.name in names]
