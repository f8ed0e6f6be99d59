"""One thing that was tried, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import grpc

_CODES = (1400, 1401)
"""Milvus's for "not authenticated" and "not permitted"."""
_SIGNS = ("permission deny", "PrivilegeNotPermitted", "auth check failure")


@dataclasses.dataclass(frozen=True)
class Act:
    """One thing that was tried.

    Args:
        name: What, in a reader's words.
        wrong: Whether it came out as it must not.
        said: How it was answered; never a secret.
    """

    name: str
    wrong: bool
    said: str = ""


def behind(acts: Iterable[Act]) -> str:
    """Return which acts came out wrong, in a sentence; empty if none did."""
    return "; ".join(
        f"{one.name}: {one.said}" if one.said else one.name for one in acts if one.wrong
    )


def refused(error: BaseException | None) -> bool:
    """Tell whether a server said that we may not; pymilvus wraps that in what it raises."""
    codes = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    while error is not None:
        if isinstance(error, grpc.Call) and error.code() in codes:
            return True
        if getattr(error, "code", None) in _CODES or any(one in str(error) for one in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def answer_to(call: Callable[[], object]) -> tuple[bool, str]:
    """Return whether a server refused a call for who we are, and what it said.

    Any other answer, an error too, is one to somebody who was let in.

    Raises:
        grpc.RpcError: It did not answer at all, so that nothing can be said.
    """
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415  (slow to import)

    try:
        call()
    except (grpc.RpcError, MilvusException) as error:
        if refused(error):
            return True, "refused"
        if _silent(error):
            raise
        return False, f"not refused: {str(error).strip().splitlines()[0][:200]}"
    return False, "allowed"


def _silent(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, grpc.Call) and error.code() in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }:
            return True
        error = error.__cause__ or error.__context__
    return False


def wrongs(acts: Sequence[Act]) -> list[float]:
    """Return one sample for each act: 1 where it came out as it must not."""
    return [float(one.wrong) for one in acts]
