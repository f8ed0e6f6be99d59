"""The answer in one word and one line: compute-bound, storage-bound or undecided."""

from __future__ import annotations

from collections.abc import Sequence

from validation.attribution.model import Answer, Bound, Part


def answer(parts: Sequence[Part], *, slo: str = "") -> Answer:
    """Return the answer that the parts give together.

    It is storage-bound if any part is, compute-bound only if every part is, else undecided.

    Args:
        parts: Of `load_part` and `search_part`.
        slo: The rule in force and how the searches stand to it; empty if there is none.
    """
    bounds = [part.bound for part in parts]
    if Bound.STORAGE in bounds:
        bound = Bound.STORAGE
    elif bounds and all(one is Bound.COMPUTE for one in bounds):
        bound = Bound.COMPUTE
    else:
        bound = Bound.UNDECIDED
    # What decides comes first; a part with another word than the whole says so.
    ordered = sorted(parts, key=lambda part: part.bound is not bound)
    texts = [
        part.text() + ("" if part.bound is bound or part.reason else f" ({part.bound.value})")
        for part in ordered
    ]
    return Answer(bound, _line(bound, slo, "; ".join(texts)), tuple(parts))


def unanswered(reason: str, *, slo: str = "") -> Answer:
    """Return the answer where nothing could be measured, with the reason."""
    return Answer(Bound.UNDECIDED, _line(Bound.UNDECIDED, slo, reason), ())


def _line(bound: Bound, slo: str, said: str) -> str:
    at = f"at its SLO ({slo})" if slo else "(no latency rule is in force)"
    return f"this stack is {bound.value} {at}: {said or 'nothing was measured'}"
