"""What a trial found: the figures that are judged, and in words what is behind each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from validation.drill.proof import Proof
from validation.drill.recovery import Recovery
from validation.drill.traffic import Traffic

_EXAMPLES = 5


@dataclasses.dataclass
class Findings:
    """What became of one fault.

    Args:
        seconds_to_recover: From its end until everything worked again; ``inf`` if it never did.
        lost: Acknowledged rows that are missing or changed; None if that cannot be known.
        restarts: How often Milvus had to be started again.
        unexpected: Rows that were never sent or are there twice; None likewise.
        wrong: Of each answer, 1.0 if it was wrong, else 0.0.
        damage: Of each answer that a damaged object could spoil, 1.0 if it was wrong, else 0.0, and
            0.0 if the object was not loaded; empty if none was damaged.
        failed: Of each search and insert that had to succeed, 1.0 if it failed, else 0.0.
        overlaps: By collection, each query's share of exact neighbours after recovery.
        evidence: For a reader.
        reasons: By metric, what is behind a figure that is not good.
        unknown: Why something cannot be known.
        stalled: Why Milvus's end, and the time it was away, say nothing of the store.
    """

    seconds_to_recover: float = math.inf
    lost: float | None = None
    unexpected: float | None = None
    restarts: int = 0
    wrong: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    damage: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    failed: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    overlaps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    unknown: str = ""
    stalled: str = ""

    @property
    def clean(self) -> bool:
        """Whether the next fault may use the same collections."""
        whole = not self.lost and not self.unexpected and not self.unknown
        right = not self.wrong.any() and all((one == 1).all() for one in self.overlaps.values())
        return whole and right and math.isfinite(self.seconds_to_recover)


def conclude(
    traffic: Traffic,
    recovery: Recovery,
    proofs: dict[str, Proof],
    *,
    failed: np.ndarray,
    served: slice | None = None,
) -> Findings:
    """Put together what was seen during a fault, on the way back and after it.

    Args:
        traffic: Over.
        recovery: How Milvus came back.
        proofs: By collection, what is in the store now.
        failed: Of each search and insert that had to succeed, 1.0 if it failed, else 0.0.
        served: Which answers of ``static`` an object damaged in the store could spoil. They are
            judged by themselves, and all others as ever.
    """
    each = proofs.values()
    static, spoilt = list(traffic.static.wrong), []
    if served is not None:
        spoilt = static[served] or [""]  # that it was not loaded at all is as right as can be
        del static[served]
    wrong = [*traffic.live.wrong, *static, *(said for one in each for said in one.wrong)]
    return Findings(
        seconds_to_recover=recovery.seconds,
        lost=_total(one.lost for one in each),
        unexpected=_total(one.unexpected for one in each),
        wrong=_flags(wrong),
        damage=_flags(spoilt),
        failed=failed,
        overlaps={kind: one.overlaps for kind, one in proofs.items()},
        evidence={
            "recovery": recovery.troubles,
            "traffic": traffic.evidence(),
            "wrong_answers": _some(wrong),
            "wrong_answers_from_damage": _some(spoilt),
            **{f"rows_{kind}": one.evidence for kind, one in proofs.items()},
        },
        reasons={
            "drill.rows_lost": _said({kind: one.why_lost() for kind, one in proofs.items()}),
            "drill.rows_unexpected": _said(
                {kind: one.why_unexpected() for kind, one in proofs.items()}
            ),
            "drill.wrong_answers": "; ".join(_some(wrong)[:1]),
            "drill.damage_served": "; ".join(_some(spoilt)[:1]),
            "drill.requests_failed": _said(traffic.failures()),
            "drill.seconds_to_recover": f"it never recovered: {recovery.failing}",
        },
        unknown=_said({kind: one.unknown for kind, one in proofs.items()}),
    )


def _flags(said: list[str]) -> np.ndarray:
    return np.array([bool(one) for one in said], dtype=np.float64)


def _some(said: list[str]) -> list[str]:
    return [one for one in said if one][:_EXAMPLES]


def _total(parts: Iterable[float | None]) -> float | None:
    """Return the sum; None if a part is unknown and the others alone are no defect."""
    known = list(parts)
    total = sum(part for part in known if part is not None)
    return None if None in known and not total else total


def _said(parts: dict[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in parts.items() if text)
