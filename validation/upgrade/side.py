"""A side of a comparison on disk: its plan, sealed before it was measured, and what was measured.

::

    FOLDER/
      plan.intoto.jsonl    what is compared and by which rules; signed, where a key is given
      rounds.json          latencies of every round, controls, recall of every query
      manifest/            what the database held
      side.intoto.jsonl    digests of plan, rounds and manifest, and of the seal of the baseline
                           that it is the other side of; the last to be written
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from validation.certificate import envelopes
from validation.certificate.signing import Key, Signer
from validation.certificate.statements import STATEMENT, canonical
from validation.common.files import checksum, require_empty, write_whole
from validation.errors import CertificateError, ConfigurationError
from validation.upgrade import document
from validation.upgrade.plan import OPERATIONS, QUERIES, Plan

PLAN, ROUNDS, SEAL, MANIFEST = "plan.intoto.jsonl", "rounds.json", "side.intoto.jsonl", "manifest"
BASELINE = "baseline"
_PREDICATE = "urn:milvus-kit:upgrade:"
_AGAIN = "measure it anew; nothing but what `baseline` and `compare` wrote can be judged"


class Measured(BaseModel):
    """What was measured on a side.

    Args:
        server: What it called itself.
        waited: How it came to rest before.
        rounds: By what was done, of each round the latencies in ms; infinite for one that failed.
        controls: The same of what is not Milvus: ``null server`` and ``s3``.
        void: By what was done, why its latencies must not be judged.
        overlap: Of each query, the share of its exact neighbours.
        changed: What the server did by itself between the first round and the last; empty for
            nothing.
        wrong: Answers that are not right as a whole.
        failed: By what was done, requests that failed.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    server: str
    waited: str = ""
    rounds: dict[str, list[list[float]]] = {}
    controls: dict[str, list[list[float]]] = {}
    void: dict[str, str] = {}
    changed: str = ""
    overlap: list[float] = []
    wrong: int = 0
    failed: dict[str, int] = {}


class Side(BaseModel):
    """A side, read back and found whole.

    Args:
        folder: Where it is.
        plan: What it was measured by.
        measured: What was.
        seal: SHA-256 of what its seal says; signatures do not change it.
        baseline: The same of the baseline that it came after; empty if it is one.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    folder: Path
    plan: Plan
    measured: Measured
    seal: str
    baseline: str = ""

    @property
    def manifest(self) -> Path:
        """Folder of its manifest."""
        return self.folder / MANIFEST


def begin(folder: Path, plan: Plan, signers: Sequence[Signer]) -> None:
    """Write the plan, before anything is measured.

    Raises:
        UsageError: There is a side in the folder already.
    """
    require_empty(folder, "give another folder with -o")
    folder.mkdir(parents=True, exist_ok=True)
    content = plan.model_dump(mode="json", by_alias=True)
    _seal(folder / PLAN, "plan:v0.1", {"plan": plan.digest}, content, signers)


def end(
    folder: Path,
    plan: Plan,
    measured: Measured,
    signers: Sequence[Signer],
    *,
    baseline: Side | None = None,
) -> None:
    """Write what was measured, and seal the side: a baseline, or the other side of one."""
    write_whole(folder / ROUNDS, measured.model_dump_json())
    digests = {"plan": plan.digest, ROUNDS: checksum(folder / ROUNDS)}
    digests[MANIFEST] = document.load(folder / MANIFEST).digest
    if baseline is not None:
        digests[BASELINE] = baseline.seal
    _seal(folder / SEAL, "side:v0.1", digests, {"server": measured.server}, signers)


def read(folder: Path, keys: Sequence[Key] = ()) -> Side:
    """Return a side that is whole, and signed by each of the keys.

    Raises:
        ConfigurationError: It is none, was cut short, or was changed after it was measured.
    """
    if not (folder / PLAN).exists():
        raise ConfigurationError(
            "there is no baseline here",
            where=str(folder),
            remedy="`milvus-kit baseline --target FILE -o FOLDER` measures one",
        )
    if not (folder / SEAL).exists():
        raise ConfigurationError(
            "this side was cut short: it was begun and never sealed",
            where=str(folder),
            remedy=_AGAIN,
        )
    _, content, _ = _opened(folder / PLAN, keys)
    sealed, _, seal = _opened(folder / SEAL, keys)
    try:
        plan = Plan.model_validate(content)
        raw = (folder / ROUNDS).read_bytes()
        measured = Measured.model_validate_json(raw)
    except (OSError, ValidationError) as error:
        raise ConfigurationError(
            f"this side cannot be read: {type(error).__name__}",
            where=str(folder),
            remedy="read it with the version of milvus-kit that wrote it",
        ) from None
    found = {
        "plan": plan.digest,
        ROUNDS: hashlib.sha256(raw).hexdigest(),
        MANIFEST: document.load(folder / MANIFEST).digest,
    }
    for what, digest in found.items():
        if sealed.get(what) != digest:
            raise ConfigurationError(
                f"its {what} was changed after it was sealed",
                where=str(folder),
                seen=digest[:16],
                remedy=_AGAIN,
            )
    lacks = _lacks(measured, plan)
    if lacks:
        raise ConfigurationError(
            f"this side cannot be judged: {lacks}", where=str(folder), remedy=_AGAIN
        )
    return Side(
        folder=folder,
        plan=plan,
        measured=measured,
        seal=seal,
        baseline=sealed.get(BASELINE, ""),
    )


def _lacks(measured: Measured, plan: Plan) -> str:
    """Return what a side lacks that was measured; empty if nothing, or if it could not be."""
    if not measured.rounds:
        return ""
    for of in (*OPERATIONS, *measured.controls):
        rounds = measured.controls.get(of) or measured.rounds.get(of, [])
        if len(rounds) != plan.rounds:
            return f"it holds {len(rounds)} rounds of {of}, and {plan.rounds} were planned"
        if not all(one and all(ms > 0 for ms in one) for one in rounds):
            return f"a round of {of} holds no latency, or what is none"
    if len(measured.overlap) != QUERIES:
        return f"it holds the recall of {len(measured.overlap)} queries, and {QUERIES} were planned"
    return ""


def require_baseline(base: Side) -> None:
    """Make sure that a side is a baseline.

    Raises:
        ConfigurationError: It is what came after one.
    """
    if base.baseline:
        raise ConfigurationError(
            "this is the side that came after; give BASELINE first",
            where=str(base.folder),
            seen=f"it was measured against the baseline {base.baseline[:16]}",
            remedy="`milvus-kit compare BASELINE AFTER`",
        )
    if not base.measured.rounds:
        raise ConfigurationError(
            "nothing was measured of this baseline",
            where=str(base.folder),
            seen=base.measured.waited,
            remedy="measure it anew with `milvus-kit baseline`",
        )


def require_sides(base: Side, other: Side) -> None:
    """Make sure that a side was measured against this very baseline, and by its plan.

    Raises:
        ConfigurationError: It was not.
    """
    require_baseline(base)
    if base.plan.digest != other.plan.digest:
        raise ConfigurationError(
            "the two sides were measured by different plans: rules, data, rounds or topology",
            where=str(other.folder),
            seen=other.plan.digest[:16],
            remedy="compare a side with the baseline that it was measured against",
        )
    if other.baseline != base.seal:
        raise ConfigurationError(
            "this side was measured against another baseline"
            if other.baseline
            else "this is a baseline, not the side that came after one",
            where=str(other.folder),
            seen=(other.baseline or other.seal)[:16],
            remedy="compare a baseline with what `milvus-kit compare BASELINE -o FOLDER` measured",
        )


def _seal(
    path: Path,
    kind: str,
    digests: dict[str, str],
    content: dict[str, Any],
    signers: Sequence[Signer],
) -> None:
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()
        ],
        "predicateType": _PREDICATE + kind,
        "predicate": content,
    }
    plain = json.loads(canonical(statement))
    envelopes.write([envelopes.Envelope(canonical(plain)).signed(signers)], path)


def _opened(path: Path, keys: Sequence[Key]) -> tuple[dict[str, str], dict[str, Any], str]:
    """Return the digests and the content of a sealed statement, and its own digest."""
    try:
        (envelope,) = envelopes.read(path)
        statement = envelopes.opened(envelope, keys, where=str(path))
        digests = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
        own = hashlib.sha256(envelope.payload).hexdigest()
        return digests, dict(statement["predicate"]), own
    except CertificateError as error:
        raise ConfigurationError(error.what, where=error.where, remedy=_AGAIN) from None
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError("it holds no statement of this kit's", where=str(path)) from None
