"""Many addresses, one store: what is written through one of them is there through each other."""

from __future__ import annotations

import secrets

from validation.errors import UnreachableError
from validation.s3.client.endpoint import addresses_of, endpoint_of
from validation.s3.conformance.model import Evidence, NotDeclaredError, check, require
from validation.s3.workspace import Workspace

_PAIRS = 64
"""Enough for every pair of eight addresses; of more, each is at least written to and read once."""
_NOT_FOUND = 404


@check(
    "consistency.addresses",
    by="every role: each connects to whichever address DNS gives it",
    breaks="what one role writes is not there for another: rows are lost, or two may own a segment",
)
def addresses(space: Workspace) -> Evidence:
    """What is written through one address of the endpoint is seen at once through each other."""
    found = addresses_of(endpoint_of(space.storage))
    if len(found) == 1:
        raise NotDeclaredError(f"the endpoint has one address: {found[0]}")
    used, silent = _answering(space, found)
    if not used:
        raise UnreachableError("none of the endpoint's addresses answers", where=str(found))
    require(not silent, f"the endpoint's name has addresses that do not answer: {silent}")
    if len(used) == 1:
        raise NotDeclaredError(
            f"one address of the endpoint answers, {used[0]}; of another family, and silent:"
            f" {[one for one in found if one not in used]}"
        )
    conditional = not _made_again(space, used[0], used[0])
    pairs = _pairs(used)
    for writer, reader in pairs:
        said = _between(space, writer, reader, conditional=conditional)
        space.divided = tuple(used) if said else ()
        require(not said, f"written through {writer}, {said} through {reader}", addresses=used)
    return {"addresses": used, "pairs": len(pairs), "conditional_writes_compared": conditional}


def _pairs(used: list[str]) -> list[tuple[str, str]]:
    """Return the pairs that are tried, neighbours first.

    The neighbours alone make a ring: however the addresses fall into two stores, it crosses over.
    """
    count = len(used)
    steps = [(at, (at + step) % count) for step in range(1, count) for at in range(count)]
    return [(used[one], used[other]) for one, other in steps[: max(_PAIRS, count)]]


def _answering(space: Workspace, found: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return which addresses answer, and which do not.

    A family that the store does not serve at all is in neither: clients pass it over.
    """
    answers: dict[str, bool] = {}
    for address in found:
        try:
            space.send("HEAD", address=address)
        except UnreachableError:
            answers[address] = False
        else:
            answers[address] = True
    served = {":" in address for address, works in answers.items() if works}
    used = [address for address, works in answers.items() if works]
    silent = [one for one, works in answers.items() if not works and (":" in one) in served]
    return used, silent


def _made_again(space: Workspace, writer: str, reader: str) -> bool:
    """Return whether a key written through one address can be created anew through another.

    Through the same one this tells whether the store heeds conditions at all, which is another
    check's rule.
    """
    key = space.key("created")
    space.send("PUT", key, body=b"first", address=writer)
    headers = {"if-none-match": "*"}
    return space.send("PUT", key, body=b"second", headers=headers, address=reader).ok


def _between(space: Workspace, writer: str, reader: str, *, conditional: bool) -> str:
    """Return what is wrong when one address is written to and another read from; empty if right."""
    key, body = space.key("shared"), secrets.token_bytes(64)
    folder = key.rpartition("/")[0] + "/"
    written = space.send("PUT", key, body=body, address=writer)
    if not written.ok:
        return f"{written} to PUT and nothing to read"
    got = space.send("GET", key, address=reader)
    if (got.status, got.body) != (200, body):
        return f"{got} to GET" if not got.ok else "other content was read"
    query = {"list-type": "2", "prefix": folder}
    if key.encode() not in space.send("GET", query=query, address=reader).body:
        return "it was not listed"
    if conditional and _made_again(space, writer, reader):
        return "a conditional PUT made it a second time"
    space.send("DELETE", key, address=reader)
    gone = space.send("GET", key, address=writer)
    return f"{gone} after a DELETE" if gone.status != _NOT_FOUND else ""
